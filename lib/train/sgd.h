// Stochastic gradient descent.
#pragma once

#include <vector>

#include <twofold/lib/train/optimizer.h>

namespace twofold::train {

/// Options of `SGD`.
struct SGDOptions {
  LearningRate lr = 1e-3;   ///< the learning rate to begin with
  double momentum = 0;      ///< the share of the last update that is kept; 0: none
  double weight_decay = 0;  ///< this times the parameter is added to the gradient
  bool nesterov = false;    ///< looks ahead along the velocity (Nesterov). Needs a momentum
};

/// For each parameter p with gradient g, in this order (source: PyTorch's torch.optim.SGD, dampening 0):
///
///     g = g + weight_decay * p
///     v = momentum * v + g              if momentum > 0; v starts at 0
///     g = nesterov ? g + momentum * v : v
///     p = p - lr * g
///
/// Without momentum and weight_decay, `minimize` touches only those rows of a parameter which the loss has read, where
/// it is read by `embedding` or `gather` along axis 0 alone: a step costs what these rows cost, not the table.
class SGD final : public Optimizer {
 public:
  /// Throws InvalidArgument as all optimisers do, on negative options, and on `nesterov` without momentum.
  explicit SGD(std::vector<Variable> parameters, SGDOptions options = {},
               std::source_location where = std::source_location::current());
  /// As given.
  const SGDOptions& options() const { return options_; }

 private:
  Tensor update(size_t i, const Tensor& gradient, const Tensor& lr) const override;
  bool takes_rows() const override;
  Tensor update_rows(size_t i, const RowsGradient& gradient, const Tensor& lr) const override;

  SGDOptions options_;
  std::vector<Variable> velocities_;  // empty without momentum
};

}  // namespace twofold::train
