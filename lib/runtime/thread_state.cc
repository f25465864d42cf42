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
[[noreturn]] static void fail_shape(std::source_location where, Code code, std::string message, std::string hint) {
  if (t_state.current.line()) where = t_state.current;
  fail_at(where, t_state.current_op, code, std::move(message), std::move(hint));
}

void internal::throw_unknown_extent(const Shape& shape, int64_t axis, std::source_location where) {
  if (!shape.has_rank())
    fail_shape(where, Code::FailedPrecondition, "A shape of unknown rank has no extents until a run has them",
               "tf::shape(x)");
  if (axis < 0)
    fail_shape(where, Code::FailedPrecondition,
               fmt::format("The shape {} is not known in full until a run has it", shape.str()),
               "tf::shape(x), or tf::size(x) for the number of elements");
  fail_shape(where, Code::FailedPrecondition,
             fmt::format("Extent {} of the shape {} is not known until a run has it", axis, shape.str()),
             fmt::format("tf::shape(x)[{}]", axis));
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
