#include <twofold/lib/runtime/thread_state.h>

#include <fmt/format.h>

#include <utility>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/shape.h>

namespace twofold {

thread_local constinit ThreadState t_state;

// These and what shapes throw are of lib/core by their headers: an Error names the op that is under way on its thread,
// which is known here.
void fail(Code code, std::string message, std::string hint) {
  fail_at(t_state.current, t_state.current_op, code, std::move(message), std::move(hint));
}
void fail_at(std::source_location where, std::string_view op, Code code, std::string message, std::string hint) {
  if (t_state.source_scopes) where = t_state.source;
  throw Error(code, {.message = std::move(message), .op = std::string(op), .where = where, .hint = std::move(hint)});
}

// Of shapes, which know no op: where one is under way it is its line that counts, not that of the library's code.
static std::source_location line_of_shape(std::source_location where) {
  return t_state.source_scopes ? t_state.source : t_state.current.line() ? t_state.current : where;
}
[[noreturn]] static void fail_shape(std::source_location where, Code code, std::string message, std::string hint) {
  fail_at(line_of_shape(where), t_state.current_op, code, std::move(message), std::move(hint));
}

void internal::throw_unknown_extent(const Shape& shape, int64_t axis, std::source_location where) {
  std::string message = fmt::format("Extent {} of the shape {} is not known until a run has it", axis, shape.str()),
              hint = fmt::format("tf::shape(x)[{}]", axis);
  if (!shape.has_rank()) {
    message = "A shape of unknown rank has no extents until a run has them", hint = "tf::shape(x)";
  } else if (axis < 0) {
    message = fmt::format("The shape {} is not known in full until a run has it", shape.str());
    hint = "tf::shape(x), or tf::size(x) for the number of elements";
  }
  throw UnknownExtent(Code::FailedPrecondition, {.message = std::move(message),
                                                 .op = t_state.current_op,
                                                 .where = line_of_shape(where),
                                                 .hint = std::move(hint)});
}

void internal::compared_unknown(const Shape& a, const Shape& b) {
  // By the program itself: not within an op or a function of the library.
  if (!t_state.traces_values || t_state.source_scopes || *t_state.current_op) return;
  throw UnknownExtent(
      Code::FailedPrecondition,
      {.message = fmt::format("The shapes {} and {} were compared, which only a run has in full", a.str(), b.str()),
       .hint = "x.dim(i) for an extent, which guards the trace"});
}

void internal::throw_no_axis(const Shape& shape, int64_t axis, std::source_location where) {
  fail_shape(where, Code::OutOfRange, fmt::format("Axis {} of a shape {} of rank {}", axis, shape.str(), shape.rank()),
             "");
}

void internal::throw_too_large(const Shape& shape, std::source_location where) {
  fail_shape(where, Code::ResourceExhausted, fmt::format("A tensor of shape {} has too many elements", shape.str()),
             "");
}

}  // namespace twofold
