// Stochastic gradient descent.
#pragma once

#include <source_location>
#include <vector>

#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>

namespace twofold::train {

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double weight_decay = 0;
  bool nesterov = false;
};

/// For each parameter p with gradient g, in this order (source: PyTorch's torch.optim.SGD, dampening 0):
///
///     g = g + weight_decay * p
///     v = momentum * v + g              if momentum > 0; v starts at 0
///     g = nesterov ? g + momentum * v : v
///     p = p - lr * g
///
/// A parameter that the loss does not depend on, be it for a branch not taken, is left alone. The velocities are
/// variables, made with the optimiser.
class SGD {
 public:
  /// Throws InvalidArgument if there is no parameter, if one is not floating or not fully shaped, on negative options,
  /// and on `nesterov` without momentum.
  explicit SGD(std::vector<Variable> parameters, SGDOptions options = {},
               std::source_location where = std::source_location::current());

  /// compute_gradients, then apply_gradients. Eager, it needs a live tape, which `tf::step` provides.
  Operation minimize(const Tensor& loss, std::source_location where = std::source_location::current());
  /// d loss / d p for each parameter; undefined where the loss does not depend on it.
  std::vector<Tensor> compute_gradients(const Tensor& loss,
                                        std::source_location where = std::source_location::current()) const;
  /// One step along `gradients`, one for each parameter. Throws InvalidArgument on another number of gradients, or if
  /// all are undefined: "No gradients provided for any variable".
  Operation apply_gradients(const std::vector<Tensor>& gradients,
                            std::source_location where = std::source_location::current());

  const std::vector<Variable>& parameters() const { return parameters_; }
  const SGDOptions& options() const { return options_; }

 private:
  Tensor update(size_t parameter, Tensor gradient) const;

  std::vector<Variable> parameters_;
  std::vector<Variable> velocities_;  // empty without momentum
  SGDOptions options_;
};

}  // namespace twofold::train
