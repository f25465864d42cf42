#include <twofold/kernels/array/array.h>

#include <fmt/format.h>

#include <cmath>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/apply.h>

namespace twofold {
namespace {

/// The extent of an axis that the function needs to know, the axis counted from the front.
std::pair<int, int64_t> known_axis(const char* function, const Tensor& x, int64_t axis) {
  check_input(function, 0, x, t_state.frame);
  const int rank = x.rank();
  if (rank < 0) fail(Code::InvalidArgument, fmt::format("{}() needs to know the rank of {}", function, to_string(x)));
  if (axis < -rank || axis >= rank)
    fail(Code::InvalidArgument, fmt::format("{}() along axis {} of a tensor of rank {}", function, axis, rank));
  const int at = static_cast<int>(axis < 0 ? axis + rank : axis);
  if (x.dim(at) < 0)
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
  const SourceFrame frame(where);
  std::vector<Tensor> expanded;
  for (size_t i = 0; i < tensors.size(); ++i) {
    check_input("stack", i, tensors[i], where);
    if (!tensors[i].shape().compatible_with(tensors[0].shape()))
      fail(Code::InvalidArgument, fmt::format("stack() needs equal shapes, but number 0 has {} and number {} has {}",
                                              tensors[0].shape().str(), i, tensors[i].shape().str()));
    expanded.push_back(expand_dims(tensors[i], axis));
  }
  return concat(expanded, axis, where);
}

Tensor stack(std::initializer_list<Operand> tensors, int64_t axis, std::source_location where) {
  std::vector<Tensor> resolved;
  for (const Operand& t : tensors) resolved.push_back(t.resolve());
  return stack(std::span<const Tensor>(resolved), axis, where);
}

std::vector<Tensor> unstack(Operand x, int64_t axis) {
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  const auto [at, extent] = known_axis("unstack", t, axis);
  std::vector<Tensor> slices;
  for (int64_t i = 0; i < extent; ++i) slices.push_back(squeeze(part_of(t, at, i, 1), at));
  return slices;
}

std::vector<Tensor> split(Operand x, Axes sizes, int64_t axis) {
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  const auto [at, extent] = known_axis("split", t, axis);
  int64_t sum = 0, gaps = 0;
  bool fits = true;
  for (int64_t s : sizes) {
    s == -1 ? ++gaps : sum += s;
    fits = fits && s >= -1;
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
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  const auto [at, extent] = known_axis("split", t, axis);
  if (parts < 1 || extent % parts != 0)
    fail(Code::InvalidArgument, fmt::format("split() of an axis of extent {} into {} equal parts", extent, parts));
  std::vector<Tensor> equal;
  for (int64_t i = 0; i < parts; ++i) equal.push_back(part_of(t, at, i * (extent / parts), extent / parts));
  return equal;
}

Tensor flatten(Operand x, int64_t first, int64_t last) {
  const SourceFrame frame(x.where());
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
  for (int i = 0; i < rank; ++i) {
    if (i <= from || i > to)
      y.push_back(t.dim(i));
    else
      y.set(y.rank() - 1, t.dim(i) < 0 || y[y.rank() - 1] < 0 ? -1 : y[y.rank() - 1] * t.dim(i));
  }
  for (int64_t extent : y) unknown += extent < 0;
  if (unknown <= 1 && y.num_elements() != 0) return reshape(t, y);
  // More than one extent shows at run time only.
  const Tensor extents = shape(t);
  return reshape(t, concat({slice(extents, 0, from), constant({-1}), slice(extents, to + 1, -1)}, 0));
}

Tensor tile(Operand x, Axes multiples) {
  const SourceFrame frame(x.where());
  Tensor t = x.resolve();
  check_input("tile", 0, t, x.where());
  if (t.rank() >= 0 && t.rank() != multiples.size())
    fail(Code::InvalidArgument,
         fmt::format("tile() of a tensor of rank {} was given {} multiples", t.rank(), multiples.size()));
  for (int i = 0; i < multiples.size(); ++i) {
    const int64_t n = multiples[i];
    if (n < 0) fail(Code::InvalidArgument, fmt::format("tile() {} times along axis {}", n, i));
    if (n == 1) continue;
    const std::vector<Tensor> copies(static_cast<size_t>(n), t);
    t = n == 0 ? part_of(t, i, 0, 0) : concat(copies, i, x.where());
  }
  return t;
}

Tensor one_hot(Operand x, int64_t depth, OneHotOptions o) {
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  check_input("one_hot", 0, t, x.where());
  if (t.dtype() != int32 && t.dtype() != int64)
    fail(Code::InvalidArgument, fmt::format("one_hot() takes int32 or int64, not {}", name_of(t.dtype())),
         "tf::cast(x, tf::int32)");
  if (depth < 0) fail(Code::InvalidArgument, fmt::format("one_hot() of depth {}", depth));
  const Tensor places = range(depth, {.dtype = t.dtype()});
  const auto number = [&](double v) { return cast(tensor(v, {.dtype = float64}), o.dtype); };
  return where(equal(expand_dims(t, -1), places), number(o.on), number(o.off));
}

Tensor range(const Literal& start, const Literal& limit, const Literal& delta, ConstantOptions o,
             std::source_location where) {
  const SourceFrame frame(where);
  const Tensor ends[] = {tensor(start), tensor(limit), tensor(delta)};
  double number[3];
  DType dtype = int32;
  for (int i = 0; i < 3; ++i) {
    if (ends[i].rank() != 0)
      fail(Code::InvalidArgument,
           fmt::format("range() takes numbers, not a tensor of shape {}", ends[i].shape().str()));
    dtype = promote(dtype, ends[i].dtype());
    number[i] = cast(ends[i], float64).item<double>();
  }
  if (number[2] == 0) fail(Code::InvalidArgument, "range() with steps of 0");
  const double count = std::ceil((number[1] - number[0]) / number[2]);
  std::vector<double> values;
  for (int64_t i = 0; static_cast<double>(i) < count; ++i)
    values.push_back(number[0] + static_cast<double>(i) * number[2]);
  return constant(cast(tensor(values), o.dtype.value_or(dtype)), {.name = o.name.empty() ? "range" : o.name}, where);
}
Tensor range(const Literal& limit, ConstantOptions o, std::source_location where) {
  return range(0, limit, 1, o, where);
}

Tensor eye(int64_t rows, int64_t columns, DType dtype, std::source_location where) {
  const SourceFrame frame(where);
  if (columns < 0) columns = rows;
  if (rows < 0) fail(Code::InvalidArgument, fmt::format("eye() of {} rows", rows));
  std::vector<double> values(static_cast<size_t>(rows * columns), 0);
  for (int64_t k = 0; k < std::min(rows, columns); ++k) values[static_cast<size_t>(k * columns + k)] = 1;
  return constant(cast(tensor(values, {rows, columns}), dtype), {.name = "eye"}, where);
}

Tensor size(Operand x) {
  const SourceFrame frame(x.where());
  return prod(shape(x));
}

int64_t rank(const Tensor& x, std::source_location where) {
  const SourceFrame frame(where);
  check_input("rank", 0, x, where);
  if (x.rank() < 0) fail(Code::InvalidArgument, fmt::format("The rank of {} is unknown", to_string(x)));
  return x.rank();
}

}  // namespace twofold
