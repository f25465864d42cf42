// Ops that move or reshape elements and compute none.
#pragma once

#include <initializer_list>
#include <source_location>
#include <span>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/extents.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

// Any dtype. Extents may be tensors (lib/op/extents.h), in a list or as a whole. All but stop_gradient, shape,
// zeros_like and ones_like are differentiable.

/// x's elements in row-major order under another shape. One extent may be -1 and follows from the rest: `reshape(x,
/// {tf::shape(x)[0], -1})`. InvalidArgument: "Cannot reshape a tensor with 6 elements to shape [4,2] (8 elements)".
/// TensorFlow's reshape.
Tensor reshape(Operand x, const Extents& shape);
/// x under the shape of `like`, of which nothing else is used. Never x itself, but a tensor of its own.
Tensor reshape_like(Operand x, Operand like);

/// x with axes of extent 1 inserted, so that they are `axes` of the result; negative ones count from its end.
/// InvalidArgument: an axis out of range or given twice. TensorFlow's expand_dims, with NumPy's several axes.
Tensor expand_dims(Operand x, Axes axes);

/// x without `axes`, or without any axis of extent 1 if the list is empty. InvalidArgument: "Can not squeeze dim[0],
/// expected a dimension of 1, got 3". TensorFlow's squeeze.
Tensor squeeze(Operand x, Axes axes = {});

/// y = x. TensorFlow's identity.
Tensor identity(Operand x);
/// y = x, through which no gradient flows. TensorFlow's stop_gradient.
Tensor stop_gradient(Operand x);

/// Axis i of the result is axis permutation[i] of x; an empty permutation reverses the axes. InvalidArgument: not a
/// permutation of x's axes. TensorFlow's transpose.
Tensor transpose(Operand x, Axes permutation = {});

/// x repeated along axes of extent 1 and along new leading axes until it has `shape`; -1 keeps x's extent.
/// InvalidArgument: "Cannot broadcast a tensor of shape [3] to shape [2,4]". TensorFlow's broadcast_to.
Tensor broadcast_to(Operand x, const Extents& shape);
/// x broadcast to the shape of `like`, of which nothing else is used. Never x itself, but a tensor of its
/// own.
Tensor broadcast_like(Operand x, Operand like);

/// @{
/// The tensors one after another along `axis`. They promote to one dtype. InvalidArgument: other extents differ, no
/// tensor at all, an axis out of range. TensorFlow's concat.
Tensor concat(std::span<const Tensor> tensors, int64_t axis,
              std::source_location where = std::source_location::current());
Tensor concat(std::initializer_list<Operand> tensors, int64_t axis,
              std::source_location where = std::source_location::current());
/// @}

/// The elements begin[i] <= index < begin[i] + size[i] of each axis i; size -1 reaches to the end. A negative begin
/// counts from the end; axes beyond the lists are taken whole. InvalidArgument: "Expected size[0] in [0, 3], but got
/// 5". TensorFlow's slice.
Tensor slice(Operand x, const Extents& begin, const Extents& size);
/// Slice `i` of the first axis, which may count from the end: `x[i]`.
Tensor index(Operand x, int64_t i);
namespace internal {
/// As many elements of each axis from `begin` on as `like` has.
Tensor slice_like(const Tensor& x, const Tensor& like, const Axes& begin);
}  // namespace internal
/// The adjoint of slice: zeros of the shape of `like` with x in it from `begin` on.
Tensor pad_like(Operand x, Operand like, Axes begin);

/// x's extents as an int32 vector in host memory, in a run those that x has then; no kernel runs for them, nor for
/// `shape(x)[i]`. InvalidArgument: an extent beyond int32. TensorFlow's shape.
Tensor shape(Operand x);

/// y = x, known to have the shape from here on as far as that says, -1 being any extent. InvalidArgument: "Shape (2, 3)
/// is not compatible with expected shape (?, 4)", where x's shape is known at once, else in the run. TensorFlow's
/// ensure_shape.
Tensor ensure_shape(Operand x, Shape shape);

/// @{
/// Zeros or ones of x's shape and dtype; x's elements are not used. TensorFlow's zeros_like and ones_like.
Tensor zeros_like(Operand x);
Tensor ones_like(Operand x);
/// @}

/// Attributes of ops whose result has a given shape.
struct ShapeAttrs {
  Shape shape;  ///< unused where the shape is an operand
  TWOFOLD_FIELDS(shape)
};
/// Attributes of the op that makes a vector of numbers, some of them inputs.
struct ExtentsAttrs {
  Axes numbers;
  Axes places;  ///< of the inputs among them
  TWOFOLD_FIELDS(numbers, places)
};
/// Attributes of ops over some axes.
struct AxesAttrs {
  Axes axes;
  TWOFOLD_FIELDS(axes)
};
/// Attributes of Concat.
struct ConcatAttrs {
  int64_t axis = 0;
  TWOFOLD_FIELDS(axis)
};
/// Attributes of ConcatPart, the gradient of Concat by its input number `part`.
struct ConcatPartAttrs {
  int64_t axis = 0;
  int64_t part = 0;
  TWOFOLD_FIELDS(axis, part)
};
/// Attributes of Slice.
struct SliceAttrs {
  Axes begin;
  Axes size;  ///< unused where the size is that of a second operand
  TWOFOLD_FIELDS(begin, size)
};
namespace internal {
/// Zeros of like's shape with x, which is floating, from `begin` on.
Tensor pad_at(const Tensor& like, const Tensor& x, const Tensor& begin);
Tensor pack_extents(std::span<const Tensor* const> inputs, const ExtentsAttrs& attrs, std::source_location where);
}  // namespace internal

/// Attributes of the gradient of a slice, which pads with zeros.
struct PadAttrs {
  Axes begin;
  Shape shape;  ///< unused where the shape is that of a second operand
  TWOFOLD_FIELDS(begin, shape)
};

namespace op_name {
TWOFOLD_OP_NAME(Transpose);
TWOFOLD_OP_NAME(BroadcastTo);
TWOFOLD_OP_NAME(BroadcastLike);
TWOFOLD_OP_NAME(Slice);
TWOFOLD_OP_NAME(PadLike);
TWOFOLD_OP_NAME(ConcatV2);
TWOFOLD_OP_NAME(ConcatPart);
TWOFOLD_OP_NAME(Shape);
TWOFOLD_OP_NAME(Extents);
TWOFOLD_OP_NAME(ZerosLike);
TWOFOLD_OP_NAME(OnesLike);
}  // namespace op_name

}  // namespace twofold
