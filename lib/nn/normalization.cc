#include <twofold/lib/nn/normalization.h>

#include <fmt/format.h>

#include <twofold/graph/graph.h>
#include <twofold/kernels/array/array.h>
#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/layer_norm/layer_norm.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>

namespace twofold::nn {

struct BatchNorm2d::Made {
  std::optional<Variable> weight, bias;
  Variable running_mean, running_var;
};

BatchNorm2d::Made BatchNorm2d::make(int64_t n, const BatchNorm2dOptions& o, std::source_location where) {
  const SourceScope source_scope(where);
  if (n <= 0) fail(Code::InvalidArgument, fmt::format("BatchNorm2d needs a positive number of channels, not {}", n));
  if (!(o.eps >= 0) || !(o.momentum >= 0) || !(o.momentum <= 1))
    fail(Code::InvalidArgument,
         fmt::format("BatchNorm2d needs eps >= 0 and a momentum in [0, 1], not {} and {}", o.eps, o.momentum));
  const NameScope scope("BatchNorm2d");
  const auto filled = [&](const char* name, double value, bool trainable) {
    return Variable(full({n}, value, {.dtype = o.dtype}), {.name = name, .trainable = trainable});
  };
  std::optional<Variable> weight, bias;
  if (o.affine) weight = filled("weight", 1, true), bias = filled("bias", 0, true);
  return {weight, bias, filled("running_mean", 0, false), filled("running_var", 1, false)};
}

BatchNorm2d::BatchNorm2d(int64_t num_features, BatchNorm2dOptions options, std::source_location where)
    : BatchNorm2d(num_features, options, make(num_features, options, where)) {}

BatchNorm2d::BatchNorm2d(int64_t num_features, const BatchNorm2dOptions& options, const Made& made)
    : num_features_(num_features),
      options_(options),
      weight_(made.weight),
      bias_(made.bias),
      running_mean_(add_buffer("running_mean", made.running_mean)),
      running_var_(add_buffer("running_var", made.running_var)) {
  if (!options_.affine) return;
  add_parameter("weight", *weight_);
  add_parameter("bias", *bias_);
}

Tensor BatchNorm2d::forward(const Tensor& x) const {
  const int64_t axis = options_.data_format == DataFormat::nchw ? 1 : 3;
  const auto or_filled = [&](const std::optional<Variable>& v, double value) {
    return v ? Tensor(*v) : full({num_features_}, value, {.dtype = options_.dtype});
  };
  Shape images = Shape::of_rank(4);
  images.set(static_cast<int>(axis), num_features_);
  const Tensor weight = or_filled(weight_, 1), offset = or_filled(bias_, 0);
  const Tensor scale = twofold::internal::shape_checked(
      {&weight, &x},
      {.words = fmt::format("BatchNorm2d of {} channels was given a tensor of shape {{}}", num_features_),
       .wanted = {unknown_shape, images}},
      std::source_location::current());
  if (!is_training())
    return batch_norm_inference(x, running_mean_, running_var_, scale, offset, {.epsilon = options_.eps, .axis = axis});

  const BatchNormResult norm = batch_norm(x, scale, offset, {.epsilon = options_.eps, .axis = axis});
  const RunningStatistics now = running_statistics(running_mean_, running_var_, norm.mean, norm.variance, x,
                                                   {.momentum = options_.momentum, .axis = axis});
  return with_effects(norm.y, {running_mean_.assign(now.mean), running_var_.assign(now.variance)});
}

static const Variable& affine(const std::optional<Variable>& v, std::source_location where) {
  if (!v) fail_at(where, "", Code::FailedPrecondition, "This BatchNorm2d has no weight and bias", "{.affine = true}");
  return *v;
}
const Variable& BatchNorm2d::weight(std::source_location where) const { return affine(weight_, where); }
const Variable& BatchNorm2d::bias(std::source_location where) const { return affine(bias_, where); }

std::string BatchNorm2d::extra_repr() const {
  return fmt::format("{}, eps={}, momentum={}, affine={}, track_running_stats=True", num_features_, options_.eps,
                     options_.momentum, options_.affine ? "True" : "False");
}

static std::pair<Variable, Variable> make_layer_norm(const Shape& shape, const LayerNormOptions& o,
                                                     std::source_location where) {
  const SourceScope source_scope(where);
  if (!(o.eps >= 0)) fail(Code::InvalidArgument, fmt::format("LayerNorm needs eps >= 0, not {}", o.eps));
  if (!shape.is_known() || shape.rank() == 0)
    fail(Code::InvalidArgument, fmt::format("LayerNorm needs a known shape of one axis at least, not {}", shape.str()));
  const NameScope scope("LayerNorm");
  const auto filled = [&](const char* name, double value) {
    return Variable(full(shape, value, {.dtype = o.dtype}), {.name = name});
  };
  const Variable weight = filled("weight", 1);
  return {weight, filled("bias", 0)};
}

LayerNorm::LayerNorm(Shape normalized_shape, LayerNormOptions options, std::source_location where)
    : LayerNorm(normalized_shape, options, make_layer_norm(normalized_shape, options, where)) {}

LayerNorm::LayerNorm(Shape normalized_shape, LayerNormOptions options, const std::pair<Variable, Variable>& made)
    : shape_(normalized_shape),
      options_(options),
      weight_(add_parameter("weight", made.first)),
      bias_(add_parameter("bias", made.second)) {}
Tensor LayerNorm::forward(const Tensor& x) const {
  Axes last;
  for (int i = -shape_.rank(); i < 0; ++i) last.push_back(i);
  const Tensor weight = weight_;
  const Tensor scale = twofold::internal::shape_checked(
      {&weight, &x},
      {.what = ShapeCheck::ends_with,
       .words = fmt::format("LayerNorm of {} was given a tensor of shape {{}}", shape_.str()),
       .wanted = {unknown_shape, shape_}},
      std::source_location::current());
  return layer_norm(x, scale, bias_, last, {.epsilon = options_.eps});
}
std::string LayerNorm::extra_repr() const {
  return fmt::format("{}, eps={}, elementwise_affine=True", shape_.str(), options_.eps);
}

}  // namespace twofold::nn
