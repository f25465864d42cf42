// Elementwise arithmetic, comparisons, `where` and `cast`. What each function computes, for which dtypes and with which
// gradient stands in its record in ops.def.
//
// Operands broadcast as NumPy's do: shapes are aligned at their last axes, and an extent of 1 is repeated. Two tensors
// are brought to one dtype by `promote`; a literal takes the tensor's. Errors: InvalidArgument "Incompatible shapes:
// [2,3] vs. [4,3]", found at construction where the shapes are known, and for a dtype that the op does not take.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <twofold/kernels/pointwise/pointwise_attrs.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

#define TWOFOLD_UNARY(function, ...) Tensor function(Operand x);
#define TWOFOLD_BINARY(function, ...) Tensor function(Operand a, Operand b);
#include <twofold/kernels/pointwise/ops.def>

/// a where `condition` (bool) is true, else b; all three broadcast. The gradient of each of a and b is dy where it was
/// taken and 0 elsewhere. TensorFlow SelectV2, PyTorch where.
Tensor where(Operand condition, Operand a, Operand b);

// Made of the ops above.

/// x, but no less than `low` and no more than `high`; NaN stays. A bound that is infinite, or that x's dtype does not
/// reach, bounds nothing. The gradient is dy from low to high, both included, and 0 beyond. InvalidArgument: a bound is
/// NaN, low > high, of integers a fraction or bounds between which the dtype has no number. TensorFlow clip_by_value,
/// PyTorch clamp.
Tensor clip(Operand x, Number low, Number high);

/// x where x > 0, else alpha * x. PyTorch leaky_relu.
Tensor leaky_relu(Operand x, double alpha = 0.01);

/// x where x > 0, else alpha * (exp(x) - 1). PyTorch elu.
Tensor elu(Operand x, double alpha = 1);

/// x in another dtype; x itself if it has that already. Floating to integer truncates toward zero and saturates, NaN
/// gives 0; integer to integer wraps; to bool is x != 0. The gradient is cast back between floating dtypes, otherwise
/// unconnected. TensorFlow Cast.
Tensor cast(Operand x, DType to);

/// @{
/// add, subtract, multiply, divide and negative: the functions of ops.def.
Tensor operator+(Operand a, Operand b);
Tensor operator-(Operand a, Operand b);
Tensor operator*(Operand a, Operand b);
Tensor operator/(Operand a, Operand b);
Tensor operator-(Operand x);
/// @}
/// mod: the remainder has b's sign, as in Python.
Tensor operator%(Operand a, Operand b);
/// @{
/// logical_and, logical_or, logical_xor and logical_not, of bools.
Tensor operator&(Operand a, Operand b);
Tensor operator|(Operand a, Operand b);
Tensor operator^(Operand a, Operand b);
Tensor operator~(Operand x);
/// @}
/// @{
/// less, less_equal, greater and greater_equal: bool.
Tensor operator<(Operand a, Operand b);
Tensor operator<=(Operand a, Operand b);
Tensor operator>(Operand a, Operand b);
Tensor operator>=(Operand a, Operand b);
/// @}

namespace internal {
template <class T>
concept AnyTensor = std::derived_from<std::remove_cvref_t<T>, Tensor>;
template <class T>
decltype(auto) rebind(T&& t, Tensor next) {
  if constexpr (std::is_same_v<T, Tensor&>) {
    return t = std::move(next);
  } else {
    static_assert(kNever<T>,
                  "a Tensor's elements do not change: t += x is t = t + x and needs a Tensor variable t; of x[i] make "
                  "a new x by tf::where or tf::concat");
    return next;
  }
}
}  // namespace internal

/// @{
/// `t += x` is `t = t + x`: the handle t is of another tensor then, and copies of it stay as they were.
template <internal::AnyTensor T>
decltype(auto) operator+=(T&& t, Operand x) {
  return internal::rebind(std::forward<T>(t), Operand(t, x.where()) + x);
}
template <internal::AnyTensor T>
decltype(auto) operator-=(T&& t, Operand x) {
  return internal::rebind(std::forward<T>(t), Operand(t, x.where()) - x);
}
template <internal::AnyTensor T>
decltype(auto) operator*=(T&& t, Operand x) {
  return internal::rebind(std::forward<T>(t), Operand(t, x.where()) * x);
}
template <internal::AnyTensor T>
decltype(auto) operator/=(T&& t, Operand x) {
  return internal::rebind(std::forward<T>(t), Operand(t, x.where()) / x);
}
/// @}

}  // namespace twofold
