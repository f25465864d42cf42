// One step of an optimiser for one parameter, as one op: it reads and writes everything once.
#pragma once

#include <span>
#include <vector>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

struct OpDef;

// Each takes the parameter, its gradient, the optimiser's state for it and the learning rate, a float64 scalar, and
// returns the new parameter, then the new state: p, g and the state of one shape, all float32 or all float64. A `t` in
// the state is the number of updates done, an int64 scalar, and t' = t + 1. What all elements share is computed in
// float64 and rounded to their dtype. Once a kernel has failed on a GPU, parameter and state keep their values. Not
// differentiable. lib/train tells what the symbols mean.

/// v' = momentum v + g; p' = p - lr (nesterov ? g + momentum v' : v'). Without momentum `state` is empty and p' is
/// p - lr g. g has weight_decay p added first.
struct SGDUpdateAttrs {
  double momentum = 0;
  double weight_decay = 0;
  bool nesterov = false;
  TWOFOLD_FIELDS(momentum, weight_decay, nesterov)
};
std::vector<Tensor> sgd_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                               const SGDUpdateAttrs& attrs);

/// m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2;
/// p' = p - lr / (1 - beta1^t') m' / (sqrt(v') / sqrt(1 - beta2^t') + eps). `state` is m, v, t. g has weight_decay p
/// added first, or, decoupled, p is multiplied by 1 - lr weight_decay first.
struct AdamUpdateAttrs {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;
  TWOFOLD_FIELDS(beta1, beta2, eps, weight_decay, decoupled)
};
std::vector<Tensor> adam_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                const AdamUpdateAttrs& attrs);

/// s' = alpha s + (1 - alpha) g^2; centered: a' = alpha a + (1 - alpha) g; d = sqrt(centered ? max(s' - a'^2, 0) : s')
/// + eps; with momentum: b' = momentum b + g / d; p' = p - lr (g / d or b'). `state` is s, a if centered, b with
/// momentum. g has weight_decay p added first.
struct RMSPropUpdateAttrs {
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
  TWOFOLD_FIELDS(alpha, eps, weight_decay, momentum, centered)
};
std::vector<Tensor> rmsprop_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                   const RMSPropUpdateAttrs& attrs);

/// s' = s + g^2; p' = p - lr / (1 + t lr_decay) g / (sqrt(s') + eps). `state` is s, and t if there is an lr_decay. g
/// has weight_decay p added first.
struct AdagradUpdateAttrs {
  double weight_decay = 0;
  double eps = 1e-10;
  double lr_decay = 0;
  TWOFOLD_FIELDS(weight_decay, eps, lr_decay)
};
std::vector<Tensor> adagrad_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                   const AdagradUpdateAttrs& attrs);

/// SGD of a parameter (extent, columns..) of which a step has gathered only some rows: as `sgd_update` without momentum
/// and decay, for a g that is zeros with `rows` (indices.shape + columns) added where `indices` (int32 or int64, from
/// `internal::checked_indices`) say. Only those rows of p are read and written, unless lr is infinite or NaN. Sums are
/// made as `scatter_add` makes them.
Tensor sgd_rows_update(const Tensor& p, const Tensor& rows, const Tensor& indices, const Tensor& lr);
const OpDef& sgd_rows_update_op();

/// The ops behind these functions, whose inputs and outputs are the functions' in order.
const OpDef& op_of(const SGDUpdateAttrs&);
const OpDef& op_of(const AdamUpdateAttrs&);
const OpDef& op_of(const RMSPropUpdateAttrs&);
const OpDef& op_of(const AdagradUpdateAttrs&);

void register_optimizer();

namespace op_name {
TWOFOLD_OP_NAME(SGDUpdate);
TWOFOLD_OP_NAME(AdamUpdate);
TWOFOLD_OP_NAME(RMSPropUpdate);
TWOFOLD_OP_NAME(AdagradUpdate);
TWOFOLD_OP_NAME(SGDRowsUpdate);
}  // namespace op_name

}  // namespace twofold
