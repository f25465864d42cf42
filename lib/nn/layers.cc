#include <twofold/lib/nn/layers.h>

#include <fmt/format.h>

#include <cmath>

#include <twofold/graph/graph.h>
#include <twofold/kernels/array/array.h>
#include <twofold/kernels/dropout/dropout.h>
#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/matmul/matmul.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/random/random.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>

namespace twofold::nn {
namespace {

using WeightAndBias = std::pair<Variable, std::optional<Variable>>;

// Uniform within 1 / sqrt(n), n being the number of elements of the weight that make one output.
WeightAndBias make_weight_and_bias(const char* layer, const Shape& weight_shape, bool bias, DType dtype) {
  const NameScope scope(layer);
  const int64_t n = weight_shape.num_elements() / weight_shape[0];
  const double bound = 1 / std::sqrt(static_cast<double>(n));
  const auto uniform = [&](const Shape& shape, const char* name) {
    return Variable(random_uniform(shape, {.low = -bound, .high = bound, .dtype = dtype}), {.name = name});
  };
  Variable weight = uniform(weight_shape, "weight");
  if (!bias) return {weight, std::nullopt};
  return {weight, uniform({weight_shape[0]}, "bias")};
}

WeightAndBias make_linear(int64_t in, int64_t out, const LinearOptions& options, std::source_location where) {
  const SourceScope source_scope(where);
  if (in <= 0 || out <= 0)
    fail(Code::InvalidArgument, fmt::format("Linear needs a positive number of features, not {} to {}", in, out));
  return make_weight_and_bias("Linear", {out, in}, options.bias, options.dtype);
}

WeightAndBias make_conv2d(int64_t in, int64_t out, Pair2d kernel, const Conv2dOptions& o, std::source_location where) {
  const SourceScope source_scope(where);
  if (in <= 0 || out <= 0 || kernel.h <= 0 || kernel.w <= 0)
    fail(Code::InvalidArgument, fmt::format("Conv2d needs positive numbers, not {} to {} channels by a kernel of {}",
                                            in, out, print_field(kernel)));
  if (o.groups <= 0 || in % o.groups != 0 || out % o.groups != 0)
    fail(Code::InvalidArgument, fmt::format("Conv2d of {} to {} channels cannot be in {} groups", in, out, o.groups));
  return make_weight_and_bias("Conv2d", {out, in / o.groups, kernel.h, kernel.w}, o.bias, o.dtype);
}

// As PyTorch prints them: one number where both are the same.
std::string pair_repr(Pair2d p) { return p.h == p.w ? fmt::format("{}", p.h) : fmt::format("({}, {})", p.h, p.w); }
std::string padding_repr(const Padding2d& p) {
  if (p.same) return "same";
  return p.top == p.bottom && p.left == p.right ? pair_repr({p.top, p.left}) : print_field(p);
}
template <class Options>
std::string pool_repr(Pair2d kernel_size, const Options& o) {
  return fmt::format("kernel_size={}, stride={}, padding={}", pair_repr(kernel_size),
                     pair_repr(o.stride.value_or(kernel_size)), padding_repr(o.padding));
}

const Variable& bias_of(const char* layer, const std::optional<Variable>& bias, std::source_location where) {
  if (!bias) fail_at(where, "", Code::FailedPrecondition, fmt::format("This {} has no bias", layer), "{.bias = true}");
  return *bias;
}

}  // namespace

Linear::Linear(int64_t in_features, int64_t out_features, LinearOptions options, std::source_location where)
    : Linear(in_features, out_features, make_linear(in_features, out_features, options, where)) {}

Linear::Linear(int64_t in_features, int64_t out_features, std::pair<Variable, std::optional<Variable>> made)
    : in_features_(in_features),
      out_features_(out_features),
      weight_(add_parameter("weight", made.first)),
      bias_(made.second) {
  if (bias_) add_parameter("bias", *bias_);
}

Tensor Linear::forward(const Tensor& x) const {
  const Tensor y = matmul(x, weight_, {.transpose_b = true});
  return bias_ ? y + *bias_ : y;
}

const Variable& Linear::bias(std::source_location where) const { return bias_of("Linear", bias_, where); }

std::string Linear::extra_repr() const {
  return fmt::format("in_features={}, out_features={}, bias={}", in_features_, out_features_, bias_ ? "True" : "False");
}

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, Pair2d kernel_size, Conv2dOptions options,
               std::source_location where)
    : Conv2d(in_channels, out_channels, kernel_size, options,
             make_conv2d(in_channels, out_channels, kernel_size, options, where)) {}

Conv2d::Conv2d(int64_t in_channels, int64_t out_channels, Pair2d kernel_size, const Conv2dOptions& options,
               WeightAndBias made)
    : in_channels_(in_channels),
      out_channels_(out_channels),
      kernel_size_(kernel_size),
      options_(options),
      weight_(add_parameter("weight", made.first)),
      bias_(made.second) {
  if (bias_) add_parameter("bias", *bias_);
}

Tensor Conv2d::forward(const Tensor& x) const {
  const Conv2dOptions& o = options_;
  const twofold::Conv2dOptions options{.stride = o.stride,
                                       .padding = o.padding,
                                       .dilation = o.dilation,
                                       .groups = o.groups,
                                       .data_format = o.data_format};
  return bias_ ? conv2d(x, weight_, *bias_, options) : conv2d(x, weight_, options);
}

const Variable& Conv2d::bias(std::source_location where) const { return bias_of("Conv2d", bias_, where); }

// As PyTorch prints it: what has its default is left out, but for kernel and stride.
std::string Conv2d::extra_repr() const {
  const auto pair = [](Pair2d p) { return fmt::format("({}, {})", p.h, p.w); };
  const Conv2dOptions& o = options_;
  std::string text =
      fmt::format("{}, {}, kernel_size={}, stride={}", in_channels_, out_channels_, pair(kernel_size_), pair(o.stride));
  if (o.padding.same)
    text += ", padding=same";
  else if (o.padding.top == o.padding.bottom && o.padding.left == o.padding.right) {
    if (o.padding.top || o.padding.left) text += ", padding=" + pair({o.padding.top, o.padding.left});
  } else {
    text += ", padding=" + print_field(o.padding);
  }
  if (o.dilation != Pair2d(1)) text += ", dilation=" + pair(o.dilation);
  if (o.groups != 1) text += fmt::format(", groups={}", o.groups);
  if (!o.bias) text += ", bias=False";
  return text;
}

Tensor MaxPool2d::forward(const Tensor& x) const { return max_pool2d(x, kernel_size_, options_); }
Tensor AvgPool2d::forward(const Tensor& x) const { return avg_pool2d(x, kernel_size_, options_); }
std::string MaxPool2d::extra_repr() const {
  return pool_repr(kernel_size_, options_) + ", dilation=1, ceil_mode=False";
}
std::string AvgPool2d::extra_repr() const { return pool_repr(kernel_size_, options_); }

Dropout::Dropout(double p, std::source_location where) : p_(p) {
  const SourceScope source_scope(where);
  if (!(p >= 0 && p < 1)) fail(Code::InvalidArgument, fmt::format("Dropout of rate {}; it must be in [0, 1)", p));
}
Tensor Dropout::forward(const Tensor& x) const { return is_training() ? dropout(x, p_) : x; }
std::string Dropout::extra_repr() const { return fmt::format("p={}, inplace=False", p_); }

Tensor ReLU::forward(const Tensor& x) const { return relu(x); }
Tensor Sigmoid::forward(const Tensor& x) const { return sigmoid(x); }
Tensor Tanh::forward(const Tensor& x) const { return tanh(x); }
Tensor SiLU::forward(const Tensor& x) const { return silu(x); }
Tensor GELU::forward(const Tensor& x) const { return gelu(x); }
Tensor Softmax::forward(const Tensor& x) const { return softmax(x, dim_); }
std::string Softmax::extra_repr() const { return fmt::format("dim={}", dim_); }
Tensor LogSoftmax::forward(const Tensor& x) const { return log_softmax(x, dim_); }
std::string LogSoftmax::extra_repr() const { return fmt::format("dim={}", dim_); }
Tensor Flatten::forward(const Tensor& x) const { return flatten(x, start_dim_, end_dim_); }
std::string Flatten::extra_repr() const { return fmt::format("start_dim={}, end_dim={}", start_dim_, end_dim_); }

static Variable make_embedding(int64_t rows, int64_t columns, DType dtype, std::source_location where) {
  const SourceScope source_scope(where);
  if (rows <= 0 || columns <= 0)
    fail(Code::InvalidArgument,
         fmt::format("Embedding needs a positive number of rows and columns, not {} and {}", rows, columns));
  const NameScope scope("Embedding");
  return Variable(random_normal({rows, columns}, {.dtype = dtype}), {.name = "weight"});
}

Embedding::Embedding(int64_t num_embeddings, int64_t embedding_dim, DType dtype, std::source_location where)
    : num_embeddings_(num_embeddings),
      embedding_dim_(embedding_dim),
      weight_(add_parameter("weight", make_embedding(num_embeddings, embedding_dim, dtype, where))) {}
Tensor Embedding::forward(const Tensor& x) const { return embedding(weight_, x); }
std::string Embedding::extra_repr() const { return fmt::format("{}, {}", num_embeddings_, embedding_dim_); }

Tensor Sequential::forward(const Tensor& x) const {
  Tensor y = x;
  for (const auto& [name, child] : named_children()) y = (*child)(y);
  return y;
}

}  // namespace twofold::nn
