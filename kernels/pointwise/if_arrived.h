// What guards a gradient that control flow may leave out.
#pragma once

#include <twofold/lib/op/tensor.h>

namespace twofold {

/// x where the bool scalar `arrived` is true, else all `otherwise`. What guards a gradient that control flow may leave
/// out at run time: unlike with `where`, no gradient at all arrives at x then, as if x had not been used.
Tensor if_arrived(const Tensor& arrived, const Tensor& x, double otherwise);

}  // namespace twofold
