// Gradients that control flow may leave out.
#pragma once

#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// x where the bool scalar `arrived` is true, else all `otherwise`: for a gradient that control flow may leave out at
/// run time; of a list, one without elements. Unlike with `where`, no gradient at all arrives at x if `arrived` is false, as if x had not been used.
Tensor if_arrived(const Tensor& arrived, const Tensor& x, double otherwise);

/// What did not arrive as `absent`, so that it can be looked at.
Tensor guarded(const Gradient& g, double absent);
/// An eager gradient that control flow might have left out, guarded as in a graph: so the parts of its own gradient are
/// added up in the same way.
Tensor marked_arrived(const Tensor& t);
/// Whether `a` or `b` arrived; undefined: surely.
Tensor either_arrived(const Tensor& a, const Tensor& b);
/// Adds a gradient on, in this order.
void add_gradient(Gradient& sum, Gradient other);

}  // namespace twofold
