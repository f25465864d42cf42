// Adam and AdamW.
#pragma once

#include <vector>

#include <twofold/lib/train/optimizer.h>

namespace twofold::train {

/// Options of `Adam`.
struct AdamOptions {
  LearningRate lr = 1e-3;   ///< the learning rate to begin with
  double beta1 = 0.9;       ///< the share of the mean of gradients that is kept
  double beta2 = 0.999;     ///< the share of the mean of squares that is kept
  double eps = 1e-8;        ///< added to the divisor
  double weight_decay = 0;  ///< this times the parameter is added to the gradient
};

/// For each parameter p with gradient g, at its step number t = 1, 2, ... (source: Kingma and Ba, "Adam", 2015; order
/// and rounding as PyTorch's torch.optim.Adam):
///
///     g = g + weight_decay * p
///     m = beta1 * m + (1 - beta1) * g           m and v start at 0
///     v = beta2 * v + (1 - beta2) * g * g
///     p = p - lr / (1 - beta1^t) * (m / (sqrt(v) / sqrt(1 - beta2^t) + eps))
class Adam : public Optimizer {
 public:
  /// Throws InvalidArgument as all optimisers do, on negative options and on a beta that is not below 1.
  explicit Adam(std::vector<Variable> parameters, AdamOptions options = {},
                std::source_location where = std::source_location::current());
  /// As given.
  const AdamOptions& options() const { return options_; }

 protected:
  Adam(const char* name, std::vector<Variable> parameters, AdamOptions options, std::source_location where);
  Tensor update(size_t i, const Tensor& gradient, const Tensor& lr) const override;
  /// `update`, and AdamW's where `decoupled`.
  Tensor step(size_t i, const Tensor& gradient, const Tensor& lr, bool decoupled) const;

 private:
  AdamOptions options_;
  std::vector<Variable> m_, v_, counts_;
};

/// Options of `AdamW`.
struct AdamWOptions {
  LearningRate lr = 1e-3;      ///< the learning rate to begin with
  double beta1 = 0.9;          ///< the share of the mean of gradients that is kept
  double beta2 = 0.999;        ///< the share of the mean of squares that is kept
  double eps = 1e-8;           ///< added to the divisor
  double weight_decay = 1e-2;  ///< the parameter is multiplied by 1 - lr * this first
};

/// Adam with the decay apart: p = p - lr * weight_decay * p first, and none in g. (Source: Loshchilov and Hutter,
/// "Decoupled Weight Decay Regularization", 2019; PyTorch's torch.optim.AdamW)
class AdamW final : public Adam {
 public:
  explicit AdamW(std::vector<Variable> parameters, AdamWOptions options = {},
                 std::source_location where = std::source_location::current());

 private:
  Tensor update(size_t i, const Tensor& gradient, const Tensor& lr) const override;
};

}  // namespace twofold::train
