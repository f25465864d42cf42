#include <twofold/kernels/array/array.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <ranges>
#include <utility>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

/// The extent of an axis that the function needs to know, the axis counted from the front.
std::pair<int, int64_t> known_axis(const char* function, const Tensor& x, int64_t axis) {
  check_input(function, 0, x, t_state.source);
  const int rank = x.rank();
  if (rank < 0) fail(Code::InvalidArgument, fmt::format("{}() needs to know the rank of {}", function, to_string(x)));
  if (axis < -rank || axis >= rank)
    fail(Code::InvalidArgument, fmt::format("{}() along axis {} of a tensor of rank {}", function, axis, rank));
  const int at = static_cast<int>(axis < 0 ? axis + rank : axis);
  if (!x.shape().knows(at))
    fail(Code::InvalidArgument,
         fmt::format("{}() needs to know the extent of axis {} of {}", function, axis, to_string(x)));
  return {at, x.dim(at)};
}

Tensor part_of(const Tensor& x, int axis, int64_t begin, int64_t size) {
  Axes from, sizes;
  for (int i = 0; i < axis; ++i) from.push_back(0), sizes.push_back(-1);
  from.push_back(begin), sizes.push_back(size);
  return slice(x, from, sizes);
}

}  // namespace

Tensor stack(std::span<const Tensor> tensors, int64_t axis, std::source_location where) {
  const SourceScope source_scope(where);
  std::vector<Tensor> expanded;
  for (size_t i = 0; i < tensors.size(); ++i) {
    check_input("stack", i, tensors[i], where);
    const bool same = i == 0 || (tensors[i].shape() == tensors[0].shape() && tensors[0].shape().is_known());
    const ShapeCheckAttrs check{.what = ShapeCheck::same, .words = "stack", .numbers = {static_cast<int64_t>(i), 0}};
    expanded.push_back(expand_dims(
        same ? tensors[i] : internal::shape_checked({&tensors[i], &tensors[0]}, check, where), axis));
  }
  return concat(expanded, axis, where);
}

Tensor stack(std::initializer_list<Operand> tensors, int64_t axis, std::source_location where) {
  const SourceScope source_scope(where);
  return stack(resolve_all(tensors, "stack"), axis, where);
}

std::vector<Tensor> unstack(Operand x, int64_t axis) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  const auto [at, extent] = known_axis("unstack", t, axis);
  std::vector<Tensor> slices;
  for (int64_t i = 0; i < extent; ++i) slices.push_back(squeeze(part_of(t, at, i, 1), at));
  return slices;
}

std::vector<Tensor> split(Operand x, Axes sizes, int64_t axis) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  const auto [at, extent] = known_axis("split", t, axis);
  int64_t sum = 0, gaps = 0;
  bool fits = true;
  for (int64_t s : sizes) {
    if (s == -1)
      ++gaps;
    else
      fits = fits && s >= 0 && !__builtin_add_overflow(sum, s, &sum);
  }
  if (!fits || gaps > 1 || sum > extent || (gaps == 0 && sum != extent))
    fail(Code::InvalidArgument, fmt::format("split() of an axis of extent {} into {}", extent, print_field(sizes)));
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (int64_t s : sizes) {
    const int64_t size = s == -1 ? extent - sum : s;
    parts.push_back(part_of(t, at, begin, size));
    begin += size;
  }
  return parts;
}

std::vector<Tensor> split(Operand x, int64_t parts, int64_t axis) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  const auto [at, extent] = known_axis("split", t, axis);
  if (parts < 1 || extent % parts != 0)
    fail(Code::InvalidArgument, fmt::format("split() of an axis of extent {} into {} equal parts", extent, parts));
  std::vector<Tensor> equal;
  for (int64_t i = 0; i < parts; ++i) equal.push_back(part_of(t, at, i * (extent / parts), extent / parts));
  return equal;
}

Tensor flatten(Operand x, int64_t first, int64_t last) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("flatten", 0, t, x.where());
  const int rank = t.rank();
  if (rank < 0) fail(Code::InvalidArgument, fmt::format("flatten() needs to know the rank of {}", to_string(t)));
  if (rank == 0) return reshape(t, Shape{1});
  const int64_t from = first < 0 ? first + rank : first, to = last < 0 ? last + rank : last;
  if (from < 0 || to >= rank || from > to)
    fail(Code::InvalidArgument, fmt::format("flatten() of axes {}..{} of a tensor of rank {}", first, last, rank));
  Shape y;
  int unknown = 0;
  bool empty = false;
  // A tensor's elements can be counted, so a product overflows only where another extent is 0; it is left unknown then.
  const auto product = [](std::optional<int64_t> a, std::optional<int64_t> b) {
    int64_t n = 0;
    if (a == 0 || b == 0) return std::optional(n);
    return a && b && !__builtin_mul_overflow(*a, *b, &n) ? std::optional(n) : std::nullopt;
  };
  for (int i = 0; i < rank; ++i) {
    if (i <= from || i > to)
      y.push_back(t.shape().extent(i));
    else
      y.set(y.rank() - 1, product(y.extent(y.rank() - 1), t.shape().extent(i)));
  }
  for (int64_t extent : y.raw()) unknown += extent < 0, empty = empty || extent == 0;
  if (unknown == 0 || (unknown == 1 && !empty)) return reshape(t, y);
  // More than one extent is known at run time only.
  const Tensor extents = shape(t);
  return reshape(t, concat({slice(extents, 0, from), constant({-1}), slice(extents, to + 1, -1)}, 0));
}

Tensor one_hot(Operand x, Extent depth, OneHotOptions o) {
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input("one_hot", 0, t, x.where());
  if (t.dtype() != int32 && t.dtype() != int64)
    fail(Code::InvalidArgument, fmt::format("one_hot() takes int32 or int64, not {}", name_of(t.dtype())),
         "tf::cast(x, tf::int32)");
  if (depth.known() && *depth.known() < 0)
    fail(Code::InvalidArgument, fmt::format("one_hot() of depth {}", *depth.known()));
  const Tensor places = cast(internal::counted(depth), t.dtype());
  const auto number = [&](const Number& v) {
    if (!v.fits(o.dtype))
      fail(Code::InvalidArgument,
           fmt::format("one_hot() of {}, which {} does not hold", print_field(v), name_of(o.dtype)));
    return tensor(v.literal(o.dtype), {.dtype = o.dtype});
  };
  return where(equal(expand_dims(t, -1), places), number(o.on), number(o.off));
}

namespace {

/// The tensor of element(0), element(1), ... element(n - 1).
template <class T, class F>
Tensor counted(uint64_t n, F element) {
  if (n > static_cast<uint64_t>(INT64_MAX) / sizeof(T))
    fail(Code::ResourceExhausted, fmt::format("range() of {} numbers is more than memory holds", n));
  auto v = Value::make(dtype_of<T>, Shape{static_cast<int64_t>(n)});
  auto* to = static_cast<T*>(v->data());
  for (uint64_t i = 0; i < n; ++i) to[i] = element(i);
  return Tensor::adopt(v.detach());
}

/// Counts in uint64_t, where nothing overflows: any two int64_t are less than 2^64 apart.
template <class T>
Tensor whole_range(int64_t start, int64_t limit, int64_t delta) {
  const auto from = static_cast<uint64_t>(start), to = static_cast<uint64_t>(limit), by = static_cast<uint64_t>(delta);
  const uint64_t span = delta > 0 ? (limit > start ? to - from : 0) : limit < start ? from - to : 0;
  const uint64_t step = delta > 0 ? by : 0 - by, n = span / step + (span % step != 0);
  const auto element = [&](uint64_t i) { return static_cast<int64_t>(from + i * by); };
  if constexpr (std::is_integral_v<T>)
    for (const uint64_t end : {uint64_t{0}, n - 1})
      if (n > 0 && !std::in_range<T>(element(end)))
        fail(Code::InvalidArgument,
             fmt::format("range() reaches {}, which {} does not hold", element(end), name_of(dtype_of<T>)));
  return counted<T>(n, [&](uint64_t i) { return static_cast<T>(element(i)); });
}

template <class T>
Tensor floating_range(double start, double limit, double delta) {
  if (!std::isfinite(start) || !std::isfinite(delta) || std::isnan(limit))
    fail(Code::InvalidArgument, fmt::format("range() from {} to {} by {}", start, limit, delta));
  const double span = limit - start;
  double quotient = std::isinf(span) ? limit / delta - start / delta : span / delta;
  if (std::isinf(limit) && quotient > 0)
    fail(Code::InvalidArgument, fmt::format("range() from {} to {} by {} has no end", start, limit, delta));
  if (quotient < 0x1p23) quotient = static_cast<T>(quotient);  // beyond, float32 has no more fractions to round
  if (!(quotient > 0)) return counted<T>(0, [](uint64_t) { return T(0); });
  if (!(quotient < 0x1p53))  // and float64 could not tell the elements apart
    fail(Code::ResourceExhausted, fmt::format("range() of {} numbers is more than memory holds", quotient));
  const auto element = [&](uint64_t i) { return static_cast<T>(start + static_cast<double>(i) * delta); };
  const auto indices = std::views::iota(uint64_t{0}, static_cast<uint64_t>(std::ceil(quotient)));
  const T end = static_cast<T>(limit);
  const auto past = std::ranges::partition_point(
      indices, [&](uint64_t i) { return delta > 0 ? element(i) < end : element(i) > end; });
  return counted<T>(static_cast<uint64_t>(past - indices.begin()), element);
}

}  // namespace

Tensor range(const Literal& start, const Literal& limit, const Literal& delta, ConstantOptions o,
             std::source_location where) {
  const SourceScope source_scope(where);
  const CurrentOp current("range", where);
  const Literal* ends[] = {&start, &limit, &delta};
  DType own = int32;
  for (const Literal* v : ends) {
    if (!v->is_scalar())
      fail(Code::InvalidArgument, fmt::format("range() takes numbers, not a tensor of shape {}", v->shape().str()));
    own = promote(own, v->default_dtype());
  }
  if (delta.floating() == 0) fail(Code::InvalidArgument, "range() with steps of 0");
  const DType dtype = o.dtype.value_or(own);
  const Tensor values = dispatch(dtype, [&]<class T>(T) -> Tensor {
    if constexpr (std::is_same_v<T, bool>) {
      fail(Code::InvalidArgument, "range() of bool", "tf::range(2)");
    } else if constexpr (std::is_floating_point_v<T>) {
      if (is_floating(own)) return floating_range<T>(start.floating(), limit.floating(), delta.floating());
    } else {
      for (const Literal* v : ends)
        if (v->holds_floating()) v->to_tensor(dtype);  // throws: the dtype does not hold it
    }
    if constexpr (!std::is_same_v<T, bool>) return whole_range<T>(start.integer(), limit.integer(), delta.integer());
  });
  return constant(values, {.name = o.name.empty() ? "range" : o.name}, where);
}
Tensor range(const Literal& limit, ConstantOptions o, std::source_location where) {
  return range(0, limit, 1, o, where);
}

Tensor size(Operand x) {
  const SourceScope source_scope(x.where());
  return prod(shape(x));
}

int64_t rank(const Tensor& x, std::source_location where) {
  const SourceScope source_scope(where);
  check_input("rank", 0, x, where);
  if (x.rank() < 0) fail(Code::InvalidArgument, fmt::format("The rank of {} is unknown", to_string(x)));
  return x.rank();
}

}  // namespace twofold
