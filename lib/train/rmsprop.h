// RMSProp and Adagrad.
#pragma once

#include <vector>

#include <twofold/lib/train/optimizer.h>

namespace twofold::train {

/// Options of `RMSProp`.
struct RMSPropOptions {
  LearningRate lr = 1e-2;   ///< the learning rate to begin with
  double alpha = 0.99;      ///< the share of the mean of squares that is kept
  double eps = 1e-8;        ///< added to the divisor
  double weight_decay = 0;  ///< this times the parameter is added to the gradient
  double momentum = 0;      ///< the share of the last update that is kept; 0: none
  bool centered = false;    ///< divides by the variance, not by the mean of squares
};

/// For each parameter p with gradient g (source: Tieleman and Hinton, lecture 6.5, 2012; PyTorch's
/// torch.optim.RMSprop):
///
///     g = g + weight_decay * p
///     s = alpha * s + (1 - alpha) * g * g       s, a and b start at 0
///     a = alpha * a + (1 - alpha) * g           if centered
///     d = sqrt(centered ? max(s - a * a, 0) : s) + eps      eps beside the root, as in PyTorch
///     b = momentum * b + g / d                  if momentum > 0
///     p = p - lr * (momentum > 0 ? b : g / d)
class RMSProp final : public Optimizer {
 public:
  /// Throws InvalidArgument as all optimisers do, and on negative options.
  explicit RMSProp(std::vector<Variable> parameters, RMSPropOptions options = {},
                   std::source_location where = std::source_location::current());
  /// As given.
  const RMSPropOptions& options() const { return options_; }

 private:
  Tensor update(size_t i, const Tensor& gradient, const Tensor& lr) const override;

  RMSPropOptions options_;
  std::vector<Variable> squares_, averages_, velocities_;  // the last two are empty where they are not wanted
};

/// Options of `Adagrad`.
struct AdagradOptions {
  LearningRate lr = 1e-2;                ///< the learning rate to begin with
  double lr_decay = 0;                   ///< the rate is divided by 1 + this times the steps done
  double weight_decay = 0;               ///< this times the parameter is added to the gradient
  double initial_accumulator_value = 0;  ///< what the sums of squares begin with
  double eps = 1e-10;                    ///< added to the divisor
};

/// For each parameter p with gradient g, at its step number t = 1, 2, ... (source: Duchi, Hazan and Singer, "Adaptive
/// Subgradient Methods", 2011; PyTorch's torch.optim.Adagrad):
///
///     g = g + weight_decay * p
///     s = s + g * g                             s starts at initial_accumulator_value
///     p = p - lr / (1 + (t - 1) * lr_decay) * (g / (sqrt(s) + eps))
class Adagrad final : public Optimizer {
 public:
  /// Throws InvalidArgument as all optimisers do, and on negative options.
  explicit Adagrad(std::vector<Variable> parameters, AdagradOptions options = {},
                   std::source_location where = std::source_location::current());
  /// As given.
  const AdagradOptions& options() const { return options_; }

 private:
  Tensor update(size_t i, const Tensor& gradient, const Tensor& lr) const override;

  AdagradOptions options_;
  std::vector<Variable> squares_, counts_;
};

}  // namespace twofold::train
