#include <twofold/lib/nn/layers.h>

#include <fmt/format.h>

#include <cmath>

#include <twofold/graph/graph.h>
#include <twofold/kernels/matmul/matmul.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/random/random.h>
#include <twofold/kernels/reduce/reduce.h>
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

Tensor Sequential::forward(const Tensor& x) const {
  Tensor y = x;
  for (const auto& [name, child] : named_children()) y = child->forward(y);
  return y;
}

Tensor mse_loss(Operand input, Operand target) {
  const SourceFrame frame(input.where());
  return mean(square(input - target));
}

}  // namespace twofold::nn
