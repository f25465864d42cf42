// Layers that normalise.
#pragma once

#include <optional>
#include <source_location>
#include <utility>

#include <twofold/kernels/window2d/window2d.h>
#include <twofold/lib/nn/module.h>

namespace twofold::nn {

/// Options of `BatchNorm2d`.
struct BatchNorm2dOptions {
  double eps = 1e-5;      ///< added to the variance
  double momentum = 0.1;  ///< the share of a new batch in the running statistics
  bool affine = true;     ///< with weight and bias
  DataFormat data_format = DataFormat::nchw;  ///< the order of the axes
  DType dtype = float32;                      ///< of the parameters
};

/// y = (x - mean) / sqrt(variance + eps) * weight + bias for each channel of images x (N, C, H, W), or (N, H, W, C)
/// under nhwc. Weight, at first 1, and bias, at first 0, have shape (C,).
///
/// Training, mean and biased variance are those of the batch, and the buffers follow them:
///
///     running_mean = (1 - momentum) * running_mean + momentum * mean                   at first 0
///     running_var  = (1 - momentum) * running_var  + momentum * variance * n / (n - 1) at first 1
///
/// n being the number of elements of a channel (1 counts as 2). Deferred, they do when y is run. Evaluating, the
/// running statistics are used and stay. Throws InvalidArgument for a number of channels that is not positive, eps or
/// momentum that are negative or a momentum above 1, and x of another rank or number of channels. Source: Ioffe and
/// Szegedy, "Batch Normalization", 2015; PyTorch's torch.nn.BatchNorm2d.
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t num_features, BatchNorm2dOptions options = {},
                       std::source_location where = std::source_location::current());
  Tensor forward(const Tensor& x) const override;
  /// @{
  /// Throw FailedPrecondition if it is not affine.
  const Variable& weight(std::source_location where = std::source_location::current()) const;
  const Variable& bias(std::source_location where = std::source_location::current()) const;
  /// @}
  /// @{
  /// What evaluation normalises by, one element a channel.
  const Variable& running_mean() const { return running_mean_; }
  const Variable& running_var() const { return running_var_; }
  /// @}
  std::string type_name() const override { return "BatchNorm2d"; }
  std::string extra_repr() const override;

 private:
  struct Made;
  static Made make(int64_t num_features, const BatchNorm2dOptions& options, std::source_location where);
  BatchNorm2d(int64_t num_features, const BatchNorm2dOptions& options, const Made& made);

  int64_t num_features_;
  BatchNorm2dOptions options_;
  std::optional<Variable> weight_, bias_;
  Variable running_mean_, running_var_;
};

/// Options of `LayerNorm`.
struct LayerNormOptions {
  double eps = 1e-5;      ///< added to the variance
  DType dtype = float32;  ///< of the parameters
};

/// y = (x - mean) / sqrt(variance + eps) * weight + bias, mean and variance being those of each slice of the last axes,
/// which have the shape `normalized_shape`; so have weight, at first 1, and bias, at first 0. Source: Ba, Kiros and
/// Hinton, "Layer Normalization", 2016; PyTorch's torch.nn.LayerNorm.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(Shape normalized_shape, LayerNormOptions options = {},
                     std::source_location where = std::source_location::current());
  Tensor forward(const Tensor& x) const override;
  /// @{
  /// Of the normalised shape.
  const Variable& weight() const { return weight_; }
  const Variable& bias() const { return bias_; }
  /// @}
  std::string type_name() const override { return "LayerNorm"; }
  std::string extra_repr() const override;

 private:
  LayerNorm(Shape normalized_shape, LayerNormOptions options, const std::pair<Variable, Variable>& made);

  Shape shape_;
  LayerNormOptions options_;
  Variable weight_, bias_;
};

}  // namespace twofold::nn
