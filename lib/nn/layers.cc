#include <twofold/lib/nn/layers.h>

#include <fmt/format.h>

#include <cmath>

#include <twofold/graph/graph.h>
#include <twofold/kernels/array/array.h>
#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/matmul/matmul.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/random/random.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/lib/core/error.h>

namespace twofold::nn {
namespace {

std::pair<Variable, std::optional<Variable>> make_linear(int64_t in, int64_t out, const LinearOptions& options,
                                                         std::source_location where) {
  const SourceFrame frame(where);
  if (in <= 0 || out <= 0)
    fail(Code::InvalidArgument, fmt::format("Linear needs a positive number of features, not {} to {}", in, out));
  const NameScope scope("Linear");
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  const auto uniform = [&](const Shape& shape, const char* name) {
    return Variable(random_uniform(shape, {.low = -bound, .high = bound, .dtype = options.dtype}), {.name = name});
  };
  Variable weight = uniform({out, in}, "weight");
  if (!options.bias) return {weight, std::nullopt};
  return {weight, uniform({out}, "bias")};
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

const Variable& Linear::bias(std::source_location where) const {
  if (!bias_)
    fail_at(where, "", Code::FailedPrecondition, "This Linear has no bias", "nn::Linear(in, out, {.bias = true})");
  return *bias_;
}

std::string Linear::extra_repr() const {
  return fmt::format("in_features={}, out_features={}, bias={}", in_features_, out_features_, bias_ ? "True" : "False");
}

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
  const SourceFrame frame(where);
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
Tensor Embedding::forward(const Tensor& x) const { return gather(weight_, x); }
std::string Embedding::extra_repr() const { return fmt::format("{}, {}", num_embeddings_, embedding_dim_); }

static Variable make_filled(const Shape& shape, double value, const char* name, DType dtype,
                            std::source_location where) {
  const SourceFrame frame(where);
  if (!shape.is_known() || shape.rank() == 0)
    fail(Code::InvalidArgument, fmt::format("LayerNorm needs a known shape of one axis at least, not {}", shape.str()));
  const NameScope scope("LayerNorm");
  return Variable(full(shape, value, {.dtype = dtype}), {.name = name});
}

LayerNorm::LayerNorm(Shape normalized_shape, LayerNormOptions options, std::source_location where)
    : shape_(normalized_shape),
      options_(options),
      weight_(add_parameter("weight", make_filled(normalized_shape, 1, "weight", options.dtype, where))),
      bias_(add_parameter("bias", make_filled(normalized_shape, 0, "bias", options.dtype, where))) {}
Tensor LayerNorm::forward(const Tensor& x) const {
  Axes last;
  for (int i = -shape_.rank(); i < 0; ++i) {
    if (x.shape().has_rank() && (x.rank() < shape_.rank() || (x.dim(i) >= 0 && x.dim(i) != shape_[i + shape_.rank()])))
      fail(Code::InvalidArgument,
           fmt::format("LayerNorm of {} was given a tensor of shape {}", shape_.str(), x.shape().str()));
    last.push_back(i);
  }
  const Tensor centred = x - mean(x, last, {.keepdims = true});
  const Tensor deviation = sqrt(mean(square(centred), last, {.keepdims = true}) + options_.eps);
  return centred / deviation * weight_ + bias_;
}
std::string LayerNorm::extra_repr() const {
  return fmt::format("{}, eps={}, elementwise_affine=True", shape_.str(), options_.eps);
}

Tensor Sequential::forward(const Tensor& x) const {
  Tensor y = x;
  for (const auto& [name, child] : named_children()) y = child->forward(y);
  return y;
}

}  // namespace twofold::nn
