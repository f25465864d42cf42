// What is differentiated, traced or called as a whole.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <twofold/lib/op/tensor.h>

namespace twofold::internal {

/// A function of tensors: a body of control flow, a composition of ops.
using TensorFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

}  // namespace twofold::internal
