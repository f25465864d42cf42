// What updates of optimisers are made of, for the library's own sources: no header that programs include has this.
#pragma once

#include <span>
#include <vector>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>

namespace twofold::train {

/// Reads variables, in their order.
std::vector<Tensor> read_all(const std::vector<Variable>& variables);
/// Assigns next[0] to the parameter, after the rest to the variables of `state`. The parameter's new value.
Tensor assign_all(const Variable& parameter, const std::vector<Variable>& state, const std::vector<Tensor>& next);
/// The parameter and its state, as an op of kernels/optimizer changes them. `gradient`: its operands between the
/// parameter and the state. In an eager step that waits for the step's end, or until one of the variables is read, and
/// goes over the old values; the result is undefined then.
Tensor update_all(const OpDef& op, const Variable& parameter, std::span<const Tensor> gradient,
                  const std::vector<Variable>& state, const Tensor& lr, AttrsView attrs);

}  // namespace twofold::train
