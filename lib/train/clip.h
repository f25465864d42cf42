// Keeping gradients within bounds.
#pragma once

#include <source_location>
#include <utility>
#include <vector>

#include <twofold/lib/op/tensor.h>

namespace twofold::train {

/// The gradients times min(1, max_norm / (norm + 1e-6)), and norm, the square root of the sum of all squares of all
/// elements, a float64 scalar, of which no square overflows or underflows. Beside an infinite element the finite ones
/// become 0 and it NaN; NaN makes all NaN. Undefined gradients stay so and count nothing; one that is given twice
/// counts twice. InvalidArgument: max_norm is negative, all are undefined. (PyTorch: clip_grad_norm_; TensorFlow:
/// clip_by_global_norm)
std::pair<std::vector<Tensor>, Tensor> clip_by_global_norm(
    const std::vector<Tensor>& gradients, double max_norm,
    std::source_location where = std::source_location::current());

/// Each element of each gradient, but no less than -bound and no more than bound. InvalidArgument: bound is negative.
/// (PyTorch: clip_grad_value_)
std::vector<Tensor> clip_by_value(const std::vector<Tensor>& gradients, double bound,
                                  std::source_location where = std::source_location::current());

}  // namespace twofold::train
