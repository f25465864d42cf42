// Array functions made of other ops: joining, splitting, repeating, and sources that count.
#pragma once

#include <concepts>
#include <source_location>
#include <span>
#include <vector>

#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/extents.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// @{
/// Sources filled with one number. Every extent is a number or a scalar integer tensor: `ones({tf::shape(x)[0], 2})`.
/// InvalidArgument: one is left open.
Tensor zeros(const Extents& shape, DType dtype = float32, std::source_location where = std::source_location::current());
Tensor ones(const Extents& shape, DType dtype = float32, std::source_location where = std::source_location::current());
/// @}
/// `value`, one number, everywhere. As `zeros`.
Tensor full(const Extents& shape, const Literal& value, ConstantOptions options = {},
            std::source_location where = std::source_location::current());

/// @{
/// The tensors side by side along a new axis, which is axis `axis` of the result. Shapes are equal; dtypes promote to
/// one, and literals take it. InvalidArgument: no tensor at all, shapes that differ, an axis out of range. TensorFlow's
/// stack.
Tensor stack(std::span<const Tensor> tensors, int64_t axis = 0,
             std::source_location where = std::source_location::current());
Tensor stack(std::initializer_list<Operand> tensors, int64_t axis = 0,
             std::source_location where = std::source_location::current());
/// @}

/// The slices of x along `axis`, without it. InvalidArgument: its extent is unknown, an axis out of range. TensorFlow's
/// unstack.
std::vector<Tensor> unstack(Operand x, int64_t axis = 0);

/// @{
/// x cut along `axis` into `parts` equal parts, or into parts of those sizes, of which one may be -1 and takes the
/// rest. InvalidArgument: the extent is unknown or is not the sum. TensorFlow's split.
std::vector<Tensor> split(Operand x, int64_t parts, int64_t axis = 0);
std::vector<Tensor> split(Operand x, Axes sizes, int64_t axis = 0);
/// @}

/// x with its axes first..last made one; negative ones count from the end. A scalar becomes a vector. PyTorch's
/// flatten.
Tensor flatten(Operand x, int64_t first = 0, int64_t last = -1);

/// x repeated multiples[i] times along axis i. InvalidArgument: another number of multiples than axes, a negative one.
/// TensorFlow's tile.
Tensor tile(Operand x, const Extents& multiples);

/// Options of `one_hot`.
struct OneHotOptions {
  Number on = 1;          ///< at the index
  Number off = 0;         ///< elsewhere
  DType dtype = float32;  ///< of the result
};
/// `on` where the new last axis has the index that x holds, else `off`; all `off` for an index out of range. x is int32
/// or int64, y of shape x.shape + (depth). InvalidArgument: another dtype of x, a negative depth, an `on` or `off` that
/// the dtype does not hold. TensorFlow's one_hot.
Tensor one_hot(Operand x, Extent depth, OneHotOptions options = {});

/// start, start + delta, ... short of limit: element i is start + i * delta. Of whole numbers int32, int64 where they
/// do not fit, else float32; options.dtype overrides. A source, as `constant`.
///
/// Whole numbers are exact. Others are computed in float64 and rounded once, to the dtype, as the limit is. Of these
/// there are ceil((limit - start) / delta), the quotient rounded to the dtype too, without those at the end that reach
/// the limit once rounded; so `range(0., 1., 0.01)` has 100 of them and none is 1.
///
/// InvalidArgument: delta is 0, a number is NaN, start or delta is infinite, there is no end, an element that the dtype
/// does not hold, floating numbers for an integer dtype, a bool dtype. ResourceExhausted: more than memory holds.
/// TensorFlow's range, NumPy's arange.
Tensor range(const Literal& start, const Literal& limit, const Literal& delta = 1, ConstantOptions options = {},
             std::source_location where = std::source_location::current());
/// From 0 by 1.
Tensor range(const Literal& limit, ConstantOptions options = {},
             std::source_location where = std::source_location::current());

namespace internal {
Tensor range(const twofold::Extent& start, const twofold::Extent& limit, int64_t delta, const ConstantOptions& options,
             std::source_location where);
/// 0, 1, ... n - 1, int64.
Tensor counted(const twofold::Extent& n);
template <class T>
concept ScalarTensor = std::same_as<T, Tensor>;
}  // namespace internal
/// The same of scalar int32 or int64 tensors, delta being a number: `range(tf::shape(x)[0])`. InvalidArgument: a dtype
/// that does not hold theirs.
template <internal::ScalarTensor T>
Tensor range(const T& limit, ConstantOptions options = {},
             std::source_location where = std::source_location::current()) {
  return internal::range({0, where}, {limit, where}, 1, options, where);
}
/// The same from `start` on, by `delta`.
template <class A, class B>
requires((internal::ScalarTensor<A> && (internal::ScalarTensor<B> || std::integral<B>)) ||
         (std::integral<A> && internal::ScalarTensor<B>)) Tensor
    range(const A& start, const B& limit, int64_t delta = 1, ConstantOptions options = {},
          std::source_location where = std::source_location::current()) {
  return internal::range({start, where}, {limit, where}, delta, options, where);
}

/// Ones on the diagonal of a matrix of rows x columns (-1: square), else zeros. A source. InvalidArgument: negative
/// extents. TensorFlow's eye.
Tensor eye(Extent rows, Extent columns = -1, DType dtype = float32,
           std::source_location where = std::source_location::current());

/// The number of elements of x, an int32 scalar in host memory as `shape` is, so that it serves where a graph does not
/// know it yet. It wraps beyond int32. TensorFlow's size.
Tensor size(Operand x);

/// The number of axes. InvalidArgument if it is unknown. TensorFlow's rank.
int64_t rank(const Tensor& x, std::source_location where = std::source_location::current());

}  // namespace twofold
