// Gradients of a composition, for gradient rules.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <twofold/lib/op/tensor.h>

namespace twofold {

using VjpFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

/// For rules of fused ops: the vector-Jacobian product of the composition `f` at `inputs`, i.e. the gradients of
/// sum_i <dys[i], f(inputs)[i]> by each input. Undefined dys are left out; undefined results are unconnected.
std::vector<Tensor> vjp(const VjpFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys);

}  // namespace twofold
