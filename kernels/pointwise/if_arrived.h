// Gradients that control flow may leave out.
#pragma once

#include <twofold/lib/op/tensor.h>

namespace twofold {

/// x where the bool scalar `arrived` is true, else all `otherwise`: for a gradient that control flow may leave out at
/// run time. Unlike with `where`, no gradient at all arrives at x if `arrived` is false, as if x had not been used.
Tensor if_arrived(const Tensor& arrived, const Tensor& x, double otherwise);

}  // namespace twofold
