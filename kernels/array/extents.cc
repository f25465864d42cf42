// Array functions whose extents may be tensors.
#include <fmt/format.h>

#include <algorithm>

#include <twofold/kernels/array/array.h>
#include <twofold/kernels/cumsum/cumsum.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

/// An extent as a scalar of `dtype`, to compute with.
Tensor scalar(const Extent& e, DType dtype) {
  return e.known() ? tensor(*e.known(), {.dtype = dtype}) : cast(e.symbol(), dtype);
}

/// x repeated `n` times along `axis`, all extents being known.
Tensor repeated(const Tensor& x, int axis, int64_t n) {
  const Shape& s = x.shape();
  Shape before, behind, y = s;
  for (int i = 0; i < s.rank(); ++i) (i < axis ? before : behind).push_back(s[i]);
  int64_t extent = 0;
  if (__builtin_mul_overflow(s[axis], n, &extent))
    fail(Code::ResourceExhausted, fmt::format("tile() of {} elements {} times along axis {}", s[axis], n, axis));
  y.set(axis, extent);
  const int64_t rows = before.num_elements(), row = behind.num_elements();
  return reshape(broadcast_to(reshape(x, {rows, 1, row}), {rows, n, row}), y);
}

/// The same where extents are known only when it runs. `extents`, those of x, becomes those of the result.
Tensor repeated(const Tensor& x, Tensor& extents, int axis, const Extent& n) {
  const Tensor before = slice(extents, 0, axis), behind = slice(extents, axis, -1);
  const Tensor given = scalar(n, int64), copies = where(less(given, 0), -2, given);  // -1 would be an extent left open
  const Tensor rows = prod(before), row = prod(behind);
  extents = concat({before, expand_dims(extents[axis] * copies, 0), slice(extents, axis + 1, -1)}, 0);
  return reshape(broadcast_to(reshape(x, {rows, 1, row}), {rows, copies, row}), extents);
}

}  // namespace

Tensor tile(Operand x, const Extents& multiples) {
  const SourceScope source_scope(x.where());
  Tensor t = x.resolve();
  check_input("tile", 0, t, x.where());
  const std::vector<Extent> all = multiples.list();
  t = internal::shape_checked(
      {&t},
      {.words = fmt::format("tile() of a tensor of shape {{}} was given {} multiples", all.size()),
       .wanted = {Shape::of_rank(static_cast<int>(all.size()))}},
      x.where());
  Tensor extents;  // int64, since products need not fit into int32
  for (int i = 0; i < static_cast<int>(all.size()); ++i) {
    const Extent& n = all[static_cast<size_t>(i)];
    if (n.known() && *n.known() < 0)
      fail(Code::InvalidArgument, fmt::format("tile() {} times along axis {}", *n.known(), i));
    if (n.known() == 1) continue;
    if (n.known() && t.shape().is_known() && !extents.defined()) {
      t = repeated(t, i, *n.known());
      continue;
    }
    if (!extents.defined()) extents = cast(shape(t), int64);
    t = repeated(t, extents, i, n);
  }
  return t;
}

Tensor internal::range(const twofold::Extent& start, const twofold::Extent& limit, int64_t delta,
                       const ConstantOptions& o, std::source_location where) {
  const SourceScope source_scope(where);
  if (delta == 0) fail(Code::InvalidArgument, "range() with steps of 0");
  DType dtype = int32;
  for (const twofold::Extent* e : {&start, &limit})
    dtype = promote(dtype, e->dtype().value_or(Literal(e->known().value_or(0)).default_dtype()));
  if (const DType own = dtype; o.dtype) {
    dtype = *o.dtype;
    if ((start.dtype() || limit.dtype()) && promote(own, dtype) != dtype)
      fail(Code::InvalidArgument, fmt::format("range() of {} as {}", name_of(own), name_of(dtype)),
           fmt::format("tf::cast(tf::range(...), {})", spelling_of(dtype)));
  }
  if (start.known() && limit.known())
    return twofold::range(*start.known(), *limit.known(), delta, {.dtype = dtype, .name = o.name}, where);
  // ceil((limit - start) / delta) of them.
  const Tensor span = scalar(start, int64) - scalar(limit, int64);
  const Tensor count = maximum(negative(floor_divide(span, delta)), 0);
  // In int64, as range() of numbers counts whole numbers.
  return cast(scalar(start, int64) + counted(count) * delta, dtype);
}

Tensor internal::counted(const twofold::Extent& n) {
  if (!n.known()) return cumsum(ones({n}, int64), 0, {.exclusive = true});
  auto v = Value::make(int64, Shape{*n.known()});
  auto* numbers = static_cast<int64_t*>(v->data());
  for (int64_t i = 0; i < *n.known(); ++i) numbers[i] = i;
  return Tensor::adopt(v.detach());
}

Tensor eye(Extent rows, Extent columns, DType dtype, std::source_location where) {
  const SourceScope source_scope(where);
  if (columns.known() == -1) columns = rows;
  if (rows.known() && *rows.known() < 0) fail(Code::InvalidArgument, fmt::format("eye() of {} rows", *rows.known()));
  if (columns.known() && *columns.known() < 0)
    fail(Code::InvalidArgument, fmt::format("eye() of {} columns", *columns.known()));
  if (rows.known() && columns.known()) {
    const Shape shape{*rows.known(), *columns.known()};
    checked_bytes(dtype, shape);
    auto v = Value::make(dtype, shape);
    dispatch(dtype, [&]<class T>(T) {
      auto* elements = static_cast<T*>(v->data());
      std::fill_n(elements, v->num_elements(), T(0));
      for (int64_t k = 0; k < std::min(shape[0], shape[1]); ++k) elements[k * shape[1] + k] = T(1);
    });
    return constant(Tensor::adopt(v.detach()), {.name = "eye"}, where);
  }
  return cast(equal(expand_dims(internal::counted(rows), 1), internal::counted(columns)), dtype);
}

namespace {

// A source of `shape` filled with one number.
Tensor filled(const char* function, const Extents& extents, const Literal& value, const ConstantOptions& o,
              std::source_location where) {
  const auto shape = extents.shape();
  if (!shape) {
    const SourceScope source_scope(where);
    return broadcast_to(tensor(value, o), extents);
  }
  if (!shape->is_known())
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("The shape of {} must be fully known, but is {}", function, shape->str()), "tf::shape(x)[0]");
  return constant(value, *shape, o, where);
}

}  // namespace

Tensor zeros(const Extents& shape, DType dtype, std::source_location where) {
  return filled("zeros", shape, dtype == bool_ ? Literal(false) : Literal(0), {.dtype = dtype, .name = "zeros"}, where);
}
Tensor ones(const Extents& shape, DType dtype, std::source_location where) {
  return filled("ones", shape, dtype == bool_ ? Literal(true) : Literal(1), {.dtype = dtype, .name = "ones"}, where);
}
Tensor full(const Extents& shape, const Literal& value, ConstantOptions o, std::source_location where) {
  if (value.shape().saturated_elements() != 1)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("full is filled with one number, not with a list of shape {}", value.shape().str()),
            "tf::constant(value, shape)");
  return filled("full", shape, value, o, where);
}

}  // namespace twofold
