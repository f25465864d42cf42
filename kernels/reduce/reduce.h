// Reductions: sum, mean, prod, max, min, argmax, and what is made of them.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of reductions.
struct ReduceOptions {
  bool keepdims = false;  ///< reduced axes stay, with extent 1
};

/// y = the sum of x over `axes`; an empty list means all axes, negative ones count from the end. Integers keep their
/// dtype and wrap. The sum of no elements is 0. float32 is summed in short runs whose sums are added in float64.
/// InvalidArgument: an axis out of range or given twice, a bool tensor. TensorFlow's reduce_sum.
Tensor sum(Operand x, Axes axes = {}, ReduceOptions options = {});

/// y = sum(x, axes) / the number of elements summed. Floating dtypes only: an integer mean would round, so cast first.
/// The mean of no elements is NaN. Otherwise as `sum`. TensorFlow's reduce_mean.
Tensor mean(Operand x, Axes axes = {}, ReduceOptions options = {});

/// y = the product of x over `axes`. The product of no elements is 1; float32 is multiplied in float64. The gradient is
/// the product of the others, right where some are zero, too, up to order 7. Otherwise as `sum`. TensorFlow's
/// reduce_prod.
Tensor prod(Operand x, Axes axes = {}, ReduceOptions options = {});

/// y = the largest element of x over `axes`, NaN counting as the largest (NumPy, PyTorch). The maximum of no elements
/// is -inf, for integers the lowest value. The gradient is shared evenly among equal maxima. Axes and errors as `sum`.
/// TensorFlow's reduce_max.
Tensor max(Operand x, Axes axes = {}, ReduceOptions options = {});

/// y = the smallest element of x over `axes`; otherwise as `max`: NaN comes before all, the minimum of no elements is
/// inf, for integers the highest value. TensorFlow's reduce_min.
Tensor min(Operand x, Axes axes = {}, ReduceOptions options = {});

/// y = the int64 index along `axis` of the largest element, the lowest such index; NaN counts as the largest. Not
/// differentiable. InvalidArgument: an axis out of range or without elements, a bool tensor. TensorFlow's argmax.
Tensor argmax(Operand x, int64_t axis = 0, ReduceOptions options = {});

/// The same of the smallest element. TensorFlow's argmin.
Tensor argmin(Operand x, int64_t axis = 0, ReduceOptions options = {});

/// @{
/// Whether any, or every, element of the bool tensor x is true, over `axes` as `sum`. Of no elements: false, true. Not
/// differentiable. InvalidArgument: not bool. TensorFlow's reduce_any, reduce_all.
Tensor any(Operand x, Axes axes = {}, ReduceOptions options = {});
Tensor all(Operand x, Axes axes = {}, ReduceOptions options = {});
/// @}

/// log(sum(exp(x), axes)), without overflow: the largest element m is taken out as m + log(sum(exp(x - m))). Floating
/// dtypes; of no elements or of -inf alone it is -inf. The gradient is softmax(x), 0 of -inf alone; with an element
/// that is inf it is NaN, as in PyTorch. TensorFlow's reduce_logsumexp, PyTorch's logsumexp.
Tensor logsumexp(Operand x, Axes axes = {}, ReduceOptions options = {});

/// sqrt(sum(x^2, axes)), the Euclidean norm. No intermediate result overflows or underflows: only a norm that the dtype
/// does not hold is inf or 0. Floating dtypes; of no elements it is 0. The gradient is x / norm, 0 where the norm is 0.
/// Axes and errors as `mean`. TensorFlow's norm, PyTorch's linalg.vector_norm.
Tensor norm(Operand x, Axes axes = {}, ReduceOptions options = {});

/// Options of `variance`.
struct VarianceOptions {
  double correction = 0;  ///< 1 gives the unbiased estimate of a sample's, as PyTorch's default does
  bool keepdims = false;  ///< the axes stay, with extent 1
};
/// sum((x - mean(x, axes))^2, axes) / max(n - correction, 0), n being the number of elements that are reduced to one:
/// inf where the correction leaves nothing to divide by, NaN where the sum is 0 too. Squares do not overflow if the
/// variance does not. Floating dtypes. InvalidArgument: a correction that is not finite. TensorFlow's reduce_variance,
/// PyTorch's var.
Tensor variance(Operand x, Axes axes = {}, VarianceOptions options = {});

/// @{
/// TensorFlow's names of the functions above.
inline Tensor reduce_sum(Operand x, Axes axes = {}, ReduceOptions options = {}) { return sum(x, axes, options); }
inline Tensor reduce_mean(Operand x, Axes axes = {}, ReduceOptions options = {}) { return mean(x, axes, options); }
inline Tensor reduce_prod(Operand x, Axes axes = {}, ReduceOptions options = {}) { return prod(x, axes, options); }
inline Tensor reduce_max(Operand x, Axes axes = {}, ReduceOptions options = {}) { return max(x, axes, options); }
inline Tensor reduce_min(Operand x, Axes axes = {}, ReduceOptions options = {}) { return min(x, axes, options); }
inline Tensor reduce_any(Operand x, Axes axes = {}, ReduceOptions options = {}) { return any(x, axes, options); }
inline Tensor reduce_all(Operand x, Axes axes = {}, ReduceOptions options = {}) { return all(x, axes, options); }
/// @}

/// The adjoint of broadcasting: x summed over the axes along which a tensor of `like`'s shape was broadcast to x's
/// shape. Never x itself, but a tensor of its own. Only the shape of `like` is used.
Tensor sum_to_like(Operand x, Operand like);
/// The same with the shape given in full.
Tensor sum_to_shape(Operand x, Shape shape);

namespace internal {
/// The most directions along which a product is differentiated, one less than the highest order of its gradients: the
/// kernel keeps 2^directions numbers for every element.
inline constexpr int kMostProdDirections = 6;
}  // namespace internal

/// Attributes of reductions.
struct ReduceAttrs {
  Axes axes;  ///< as given; empty means all
  bool keepdims = false;
  TWOFOLD_FIELDS(axes, keepdims)
};
/// f(sum(x^2, axes) / (mean ? max(n - correction, 0) : 1) + epsilon), f being the square root or nothing.
struct SumOfSquaresAttrs {
  Axes axes;
  bool keepdims = false;
  bool mean = false;
  bool root = false;
  double correction = 0;
  double epsilon = 0;
  DType dtype = float32;  ///< the result's: x's or float64
  TWOFOLD_FIELDS(axes, keepdims, mean, root, correction, epsilon, dtype)
};
namespace internal {
/// What `norm`, `variance`, layer_norm and clipping by a norm are made of. `attrs.dtype` follows x unless `wide`, when
/// it is float64.
Tensor sum_of_squares(const Tensor& x, SumOfSquaresAttrs attrs, bool wide = false);
}  // namespace internal
/// Attributes of ArgMax.
struct ArgMaxAttrs {
  int64_t axis = 0;
  bool keepdims = false;
  TWOFOLD_FIELDS(axis, keepdims)
};
/// Attributes of SumTo.
struct SumToAttrs {
  Shape shape;
  TWOFOLD_FIELDS(shape)
};

namespace op_name {
TWOFOLD_OP_NAME(Sum);
TWOFOLD_OP_NAME(Mean);
TWOFOLD_OP_NAME(Max);
TWOFOLD_OP_NAME(Min);
TWOFOLD_OP_NAME(ArgMax);
TWOFOLD_OP_NAME(SumTo);
TWOFOLD_OP_NAME(SumToLike);
TWOFOLD_OP_NAME(ReducedCount);
TWOFOLD_OP_NAME(Prod);
TWOFOLD_OP_NAME(ProdGrad);
TWOFOLD_OP_NAME(SumOfSquares);
}  // namespace op_name

}  // namespace twofold
