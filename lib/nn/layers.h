// Layers.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <source_location>

#include <twofold/lib/nn/module.h>

namespace twofold::nn {

struct LinearOptions {
  bool bias = true;
  DType dtype = float32;
};

/// y = x weight^T + bias; x (..., in_features) of rank 2 or more, y (..., out_features). weight (out_features,
/// in_features) and bias (out_features) begin uniform in [-1/sqrt(in_features), 1/sqrt(in_features)). Throws
/// InvalidArgument if a number of features is not positive. Source: PyTorch's torch.nn.Linear.
class Linear : public Module {
 public:
  Linear(int64_t in_features, int64_t out_features, LinearOptions options = {},
         std::source_location where = std::source_location::current());

  Tensor forward(const Tensor& x) const override;
  const Variable& weight() const { return weight_; }
  /// Throws FailedPrecondition if it was made without.
  const Variable& bias(std::source_location where = std::source_location::current()) const;
  std::string type_name() const override { return "Linear"; }
  std::string extra_repr() const override;

 private:
  Linear(int64_t in_features, int64_t out_features, std::pair<Variable, std::optional<Variable>> made);

  int64_t in_features_, out_features_;
  Variable weight_;
  std::optional<Variable> bias_;
};

/// max(x, 0), element by element.
class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "ReLU"; }
};

/// Its children one after another, named "0", "1", ...
class Sequential : public Module {
 public:
  template <class... M>
    requires(sizeof...(M) > 0 && (std::derived_from<M, Module> && ...))
  explicit Sequential(M... children) {
    (add(std::to_string(named_children().size()), std::move(children)), ...);
  }
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Sequential"; }
};

/// The mean of (input - target)^2 over all elements. Source: PyTorch's mse_loss.
Tensor mse_loss(Operand input, Operand target);

}  // namespace twofold::nn
