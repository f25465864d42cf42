// Gradients of a composition, for gradient rules.
#pragma once

#include <span>
#include <vector>

#include <twofold/lib/op/tensor_function.h>

namespace twofold {

/// For rules of fused ops: the vector-Jacobian product of the composition `f` at `inputs`, i.e. the gradients of
/// sum_i <dys[i], f(inputs)[i]> by each input. Undefined dys are left out; undefined results are unconnected.
std::vector<Tensor> vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys);

}  // namespace twofold
