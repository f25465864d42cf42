#include <twofold/kernels/window2d/window2d.h>

#include <fmt/format.h>

#include <string_view>

#include <twofold/kernels/window2d/infer.h>
#include <twofold/lib/op/apply.h>

namespace twofold {

Padding2d::Padding2d(const char* word, std::source_location where) : same(std::string_view(word) == "same") {
  if (!same && std::string_view(word) != "valid")
    fail_at(where, "", Code::InvalidArgument,
            "Padding must be \"valid\", \"same\" or numbers, but is \"" + std::string(word) + "\"");
}

FieldValue to_field(const Pair2d& v) { return to_field(std::vector{v.h, v.w}); }
FieldValue to_field(const Padding2d& v) {
  return to_field(std::vector{int64_t{v.same}, v.top, v.bottom, v.left, v.right});
}
// The numbers of a field that has `n`.
static std::vector<int64_t> numbers_of(const FieldValue& f, size_t n) {
  std::vector<int64_t> numbers;
  from_field(f, numbers);
  if (numbers.size() != n) FieldValue::fail_kind();
  return numbers;
}
void from_field(const FieldValue& f, Pair2d& v) {
  const auto n = numbers_of(f, 2);
  v = Pair2d(n[0], n[1]);
}
void from_field(const FieldValue& f, Padding2d& v) {
  const auto n = numbers_of(f, 5);
  v = Padding2d(n[1], n[2], n[3], n[4]);
  v.same = n[0] != 0;
}
std::string print_field(const Pair2d& v) { return fmt::format("({}, {})", v.h, v.w); }
std::string print_field(const Padding2d& v) {
  return fmt::format("{}({}, {}, {}, {})", v.same ? "same" : "", v.top, v.bottom, v.left, v.right);
}
std::string print_field(DataFormat v) { return v == DataFormat::nchw ? "NCHW" : "NHWC"; }

namespace window2d {

void check_at_least(InferContext& c, const char* name, int64_t least, std::initializer_list<int64_t> values) {
  for (int64_t v : values)
    if (v < least || v > INT32_MAX)
      c.fail(fmt::format("{} must {}, but is {}", name,
                         v >= least ? "be below 2^31"
                         : least    ? "be positive"
                                    : "not be negative",
                         v));
}

Shape rank4(InferContext& c, const Shape& s, const char* hint) {
  if (!s.has_rank()) return Shape::of_rank(4);
  if (s.rank() != 4) c.fail(fmt::format("Shape must be rank 4 but is rank {}", s.rank()), hint);
  return s;
}

void check_countable(InferContext& c, const WindowAxis& axis, int64_t in) {
  using Wide = __int128;
  const Wide span = Wide{axis.kernel} * axis.dilation + Wide{in} * axis.stride + axis.before + axis.after;
  if (span > INT64_MAX)
    c.fail(fmt::format("A kernel of {} over an extent of {} spans more than can be counted", axis.kernel, in));
}

std::optional<int64_t> out_extent(InferContext& c, const WindowAxis& axis, std::optional<int64_t> in) {
  if (!in || (!axis.same && axis.kernel < 0)) return {};
  check_countable(c, axis, *in);
  const int64_t out = axis.out_of(*in);
  if (out <= 0 && !(axis.same && *in == 0))
    c.fail(fmt::format("A kernel of {}, which spans {}, does not fit into an extent of {} with padding {} and {}",
                       axis.kernel, axis.window(), *in, axis.before, axis.after));
  return out;
}

}  // namespace window2d
}  // namespace twofold
