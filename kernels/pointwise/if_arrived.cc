#include <twofold/kernels/pointwise/if_arrived.h>

#include <utility>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

Tensor guarded(const Gradient& g, double absent) {
  return g.arrived.defined() ? if_arrived(g.arrived, g.value, absent) : g.value;
}

Tensor marked_arrived(const Tensor& t) {
  const OnDevice on(t.value()->device());
  return if_arrived(tensor(true), t, 0);
}

Tensor either_arrived(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined() || a.same_as(b)) return a.defined() && b.defined() ? a : Tensor();
  return logical_or(a, b);
}

static Tensor added(const Tensor& a, const Tensor& b) {
  return a.dtype() == DType::list ? apply(list_add_op, {&a, &b}, t_state.source) : add(a, b);
}

void add_gradient(Gradient& sum, Gradient other) {
  if (!sum.value.defined()) {
    sum = std::move(other);
    return;
  }
  if (sum.arrived.same_as(other.arrived)) {
    sum.value = added(sum.value, other.value);
  } else {
    // Added to -0 anything stays as it is, to the bit.
    sum.value = added(guarded(sum, -0.0), guarded(other, -0.0));
    sum.arrived = either_arrived(sum.arrived, other.arrived);
  }
  sum.conditional = sum.conditional && other.conditional;
}

}  // namespace twofold
