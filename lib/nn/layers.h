// Layers.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <source_location>

#include <twofold/kernels/conv2d/conv2d.h>
#include <twofold/kernels/pool2d/pool2d.h>
#include <twofold/lib/nn/module.h>

namespace twofold::nn {

/// Options of `Linear`.
struct LinearOptions {
  bool bias = true;       ///< adds a parameter after the product
  DType dtype = float32;  ///< of the parameters
};

/// y = x weight^T + bias; x (..., in_features) of rank 2 or more, y (..., out_features). weight (out_features,
/// in_features) and bias (out_features) begin uniform in [-1/sqrt(in_features), 1/sqrt(in_features)). Throws
/// InvalidArgument if a number of features is not positive. Source: PyTorch's torch.nn.Linear.
class Linear : public Module {
 public:
  Linear(int64_t in_features, int64_t out_features, LinearOptions options = {},
         std::source_location where = std::source_location::current());

  Tensor forward(const Tensor& x) const override;
  /// Of shape (out_features, in_features).
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

/// Options of `Conv2d`.
struct Conv2dOptions {
  Pair2d stride = 1;                          ///< how far apart the places of the window lie
  Padding2d padding = 0;                      ///< around the image
  Pair2d dilation = 1;                        ///< how far apart a filter's elements lie
  int64_t groups = 1;                         ///< channels are split into so many, each convolved by itself
  bool bias = true;                           ///< adds a parameter after the product
  DataFormat data_format = DataFormat::nchw;  ///< the order of the axes
  DType dtype = float32;                      ///< of the parameters
};

/// y = conv2d(x, weight) + bias, of which conv2d.h tells formula, shapes and errors. weight (out_channels, in_channels
/// / groups, kernel.h, kernel.w) and bias (out_channels) begin uniform in [-1/sqrt(n), 1/sqrt(n)), n being the number
/// of elements that make one output. InvalidArgument: a number that is not positive, groups that do not divide both
/// numbers of channels. Source: PyTorch's torch.nn.Conv2d.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in_channels, int64_t out_channels, Pair2d kernel_size, Conv2dOptions options = {},
         std::source_location where = std::source_location::current());

  Tensor forward(const Tensor& x) const override;
  /// The filters, of shape (out_channels, in_channels / groups, height, width).
  const Variable& weight() const { return weight_; }
  /// Throws FailedPrecondition if it was made without.
  const Variable& bias(std::source_location where = std::source_location::current()) const;
  std::string type_name() const override { return "Conv2d"; }
  std::string extra_repr() const override;

 private:
  Conv2d(int64_t in_channels, int64_t out_channels, Pair2d kernel_size, const Conv2dOptions& options,
         std::pair<Variable, std::optional<Variable>> made);

  int64_t in_channels_, out_channels_;
  Pair2d kernel_size_;
  Conv2dOptions options_;
  Variable weight_;
  std::optional<Variable> bias_;
};

/// max_pool2d and avg_pool2d, of which pool2d.h tells formula, options and errors. Source: PyTorch's
/// torch.nn.MaxPool2d and AvgPool2d.
class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(Pair2d kernel_size, MaxPool2dOptions options = {})
      : kernel_size_(kernel_size), options_(options) {}
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "MaxPool2d"; }
  std::string extra_repr() const override;

 private:
  Pair2d kernel_size_;
  MaxPool2dOptions options_;
};
/// avg_pool2d(x).
class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(Pair2d kernel_size, AvgPool2dOptions options = {})
      : kernel_size_(kernel_size), options_(options) {}
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "AvgPool2d"; }
  std::string extra_repr() const override;

 private:
  Pair2d kernel_size_;
  AvgPool2dOptions options_;
};

/// dropout of rate p while training, x while evaluating. Throws InvalidArgument unless 0 <= p < 1. Source: PyTorch's
/// torch.nn.Dropout.
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5, std::source_location where = std::source_location::current());
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Dropout"; }
  std::string extra_repr() const override;

 private:
  double p_;
};

/// max(x, 0), element by element.
class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "ReLU"; }
};

/// 1 / (1 + exp(-x)), tanh(x), x * sigmoid(x), x times the normal distribution's share below x: element by element.
class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Sigmoid"; }
};
/// tanh(x).
class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Tanh"; }
};
/// silu(x).
class SiLU : public Module {
 public:
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "SiLU"; }
};
/// gelu(x).
class GELU : public Module {
 public:
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "GELU"; }
};

/// softmax and log_softmax along `dim`.
class Softmax : public Module {
 public:
  explicit Softmax(int64_t dim = -1) : dim_(dim) {}
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Softmax"; }
  std::string extra_repr() const override;

 private:
  int64_t dim_;
};
/// log_softmax(x, axis).
class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(int64_t dim = -1) : dim_(dim) {}
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "LogSoftmax"; }
  std::string extra_repr() const override;

 private:
  int64_t dim_;
};

/// The axes start_dim..end_dim made one: by default all but the first. Source: PyTorch's torch.nn.Flatten.
class Flatten : public Module {
 public:
  explicit Flatten(int64_t start_dim = 1, int64_t end_dim = -1) : start_dim_(start_dim), end_dim_(end_dim) {}
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Flatten"; }
  std::string extra_repr() const override;

 private:
  int64_t start_dim_, end_dim_;
};

/// Row x of a table for each integer x: y (x.shape, embedding_dim). weight (num_embeddings, embedding_dim) begins
/// normal. InvalidArgument if a number is not positive; OutOfRange, when it runs: an x that is no row. Source:
/// PyTorch's torch.nn.Embedding.
class Embedding : public Module {
 public:
  Embedding(int64_t num_embeddings, int64_t embedding_dim, DType dtype = float32,
            std::source_location where = std::source_location::current());
  Tensor forward(const Tensor& x) const override;
  /// The table, a row for each number.
  const Variable& weight() const { return weight_; }
  std::string type_name() const override { return "Embedding"; }
  std::string extra_repr() const override;

 private:
  int64_t num_embeddings_, embedding_dim_;
  Variable weight_;
};

/// Its children one after another, named "0", "1", ...
class Sequential : public Module {
 public:
  template <class... M>
    requires(sizeof...(M) > 0)
  explicit Sequential(M... children) {
    if constexpr ((std::derived_from<M, Module> && ...)) {
      (add(std::to_string(named_children().size()), std::move(children)), ...);
    } else {
      static_assert(kNever<M...>,
                    "a Sequential is made of modules: nn::ReLU() for tf::relu, and of a function of your own a struct "
                    "derived from nn::Module");
    }
  }
  Tensor forward(const Tensor& x) const override;
  std::string type_name() const override { return "Sequential"; }
};

}  // namespace twofold::nn
