// Records of softmax, the normalisations and bias_add.
#include <algorithm>
#include <cmath>
#include <optional>

#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/bias_add/bias_add.h>
#include <twofold/kernels/layer_norm/layer_norm.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/lib/op/apply.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

Array softmax_of(const Array& x, int64_t axis, bool logarithm) {
  const auto k = static_cast<size_t>(axis < 0 ? axis + x.shape.rank() : axis);
  return generate(x.dtype, x.shape, [&](const Index& i) {
    Index along = i;
    double sum = 0;
    for (along[k] = 0; along[k] < x.shape[static_cast<int>(k)]; ++along[k]) sum += std::exp(at(x, along) - at(x, i));
    return logarithm ? -std::log(sum) : 1 / sum;
  });
}

void add_softmax(std::vector<Record>& all, const char* op, Tensor (*f)(Operand, int64_t), bool logarithm) {
  for (const int64_t axis : {-1, 0}) {
    Record r{.op = op, .label = "axis " + std::to_string(axis)};
    r.call = [f, axis](auto in) { return Tensors{f(in[0], axis)}; };
    r.reference = [axis, logarithm](auto in) { return Arrays{softmax_of(in[0], axis, logarithm)}; };
    r.shapes = {{{1}}, {{5}}, {{3, 4}}, {{2, 3, 2}}, {{0, 4}}, {{4, 1}}, {{33, 129}}, {{300, 7}}};
    r.dtypes = {float32, float64};
    r.tolerance32 = 2e-6;
    r.gradient_of = {0};
    all.push_back(r);
  }
}

/// Elements of one channel: f(index) for each, the channel being along `axis`.
struct Channels {
  const Array& x;
  size_t axis;
  Channels(const Array& a, int64_t ax) : x(a), axis(static_cast<size_t>(ax < 0 ? ax + a.shape.rank() : ax)) {}
  int64_t count() const { return x.shape[static_cast<int>(axis)]; }
  std::vector<double> sums(const std::function<double(const Index&, size_t)>& term) const {
    std::vector<double> s(static_cast<size_t>(count()), 0);
    for_each_index(x.shape, [&](const Index& i) {
      const auto c = static_cast<size_t>(i[axis]);
      s[c] += term(i, c);
    });
    return s;
  }
  double size() const { return static_cast<double>(x.values.size()) / static_cast<double>(count()); }
};

struct Statistics {
  std::vector<double> mean, variance;
  explicit Statistics(const Channels& c) {
    mean = c.sums([&](const Index& i, size_t) { return at(c.x, i) / c.size(); });
    variance = c.sums([&](const Index& i, size_t k) { return std::pow(at(c.x, i) - mean[k], 2) / c.size(); });
  }
};

Arrays batch_norm_of(std::span<const Array> in, int64_t axis, double epsilon) {
  const Channels c(in[0], axis);
  const Statistics s(c);
  const Array y = generate(in[0].dtype, in[0].shape, [&](const Index& i) {
    const auto k = static_cast<size_t>(i[c.axis]);
    return (at(in[0], i) - s.mean[k]) / std::sqrt(s.variance[k] + epsilon) * in[1].values[k] + in[2].values[k];
  });
  return {y, {in[0].dtype, in[1].shape, s.mean}, {in[0].dtype, in[1].shape, s.variance}};
}

/// dx, dscale and doffset by the chain rule through mean and variance, one step after another.
Arrays batch_norm_grad_of(std::span<const Array> in, int64_t axis, double epsilon) {
  const Array &x = in[0], &scale = in[1], &dy = in[2];
  const Channels c(x, axis);
  const Statistics s(c);
  const auto inverse = [&](size_t k) { return 1 / std::sqrt(s.variance[k] + epsilon); };
  const auto doffset = c.sums([&](const Index& i, size_t) { return at(dy, i); });
  const auto dscale = c.sums([&](const Index& i, size_t k) { return at(dy, i) * (at(x, i) - s.mean[k]) * inverse(k); });
  const auto dvariance = c.sums([&](const Index& i, size_t k) {
    return at(dy, i) * scale.values[k] * (at(x, i) - s.mean[k]) * -0.5 * std::pow(inverse(k), 3);
  });
  const auto dmean = c.sums([&](const Index& i, size_t k) { return -at(dy, i) * scale.values[k] * inverse(k); });
  const Array dx = generate(x.dtype, x.shape, [&](const Index& i) {
    const auto k = static_cast<size_t>(i[c.axis]);
    return at(dy, i) * scale.values[k] * inverse(k) + dvariance[k] * 2 * (at(x, i) - s.mean[k]) / c.size() +
           dmean[k] / c.size();
  });
  return {dx, {x.dtype, scale.shape, dscale}, {x.dtype, scale.shape, doffset}};
}

Tensors batch_norm_and_grad(std::span<const Tensor> in, const BatchNormAttrs& attrs) {
  const auto here = std::source_location::current();
  const Tensor offset = in[1];
  const Tensor* forward[] = {&in[0], &in[1], &offset};
  const Outputs saved = apply_all(*find_op("BatchNorm"), forward, attrs, here);
  std::vector<const Tensor*> backward = {&in[0], &in[1], &in[2], &saved[1], &saved[3]};
  if (attrs.relu) backward.push_back(&saved[4]);
  const Outputs out = apply_all(*find_op("BatchNormGrad"), backward, attrs, here);
  return {out.begin(), out.end()};
}

/// Records of what the optimiser makes of a relu after `r` and before `grad`.
void add_rectified(std::vector<Record>& all, Record r, Record grad, int axis) {
  r.label += ", rectified", grad.label += ", rectified";
  r.gradient_of = {}, grad.gradient_of = {};
  const BatchNormAttrs attrs{.epsilon = 1e-3, .axis = axis, .relu = true};
  r.call = [attrs](auto in) {
    const Tensor* inputs[] = {&in[0], &in[1], &in[2]};
    const Outputs out = apply_all(*find_op("BatchNorm"), inputs, attrs, std::source_location::current());
    return Tensors{out[0], out[1], out[2]};
  };
  r.reference = [plain = r.reference](auto in) {
    Arrays out = plain(in);
    for (double& y : out[0].values) y = std::max(y, 0.);
    return out;
  };
  grad.call = [attrs](auto in) { return batch_norm_and_grad(in, attrs); };
  grad.reference = [plain = grad.reference, attrs](auto in) {
    const Array y = batch_norm_of(std::array{in[0], in[1], in[1]}, attrs.axis, attrs.epsilon)[0];
    std::vector<Array> inputs(in.begin(), in.end());
    for (size_t i = 0; i < y.values.size(); ++i)
      if (y.values[i] <= 0) inputs[2].values[i] = 0;
    return plain(inputs);
  };
  r.samples[1] = grad.samples[1] = {-2, 2};
  all.push_back(std::move(r));
  all.push_back(std::move(grad));
}

std::vector<std::vector<Shape>> with_channels(const std::vector<Shape>& xs, int axis, bool like_x) {
  std::vector<std::vector<Shape>> all;
  for (const Shape& x : xs) {
    const Shape channels{x[axis < 0 ? axis + x.rank() : axis]};
    all.push_back({x, channels, like_x ? x : channels});
  }
  return all;
}

void add_batch_norm(std::vector<Record>& all, int axis, const std::vector<Shape>& shapes) {
  Record r{.op = "BatchNorm", .label = "axis " + std::to_string(axis)};
  r.call = [axis](auto in) {
    const BatchNormResult b = batch_norm(in[0], in[1], in[2], {.epsilon = 1e-3, .axis = axis});
    return Tensors{b.y, b.mean, b.variance};
  };
  r.reference = [axis](auto in) { return batch_norm_of(in, axis, 1e-3); };
  r.shapes = with_channels(shapes, axis, false);
  r.dtypes = {float32, float64};
  r.samples = {{-2, 3}, {0.5, 2}, {-1, 1}};
  r.tolerance32 = 5e-6;
  r.tolerance64 = 1e-13;
  r.gradient_of = {0, 1, 2};
  r.gradient_needs_rank = true;
  all.push_back(r);

  for (const int which : {0, 1, 2}) {  // gradients through one output alone
    Record one = r;
    one.label += which == 0 ? ", y alone" : which == 1 ? ", mean alone" : ", variance alone";
    one.call = [call = r.call, which](auto in) { return Tensors{call(in)[static_cast<size_t>(which)]}; };
    one.reference = [reference = r.reference, which](auto in) {
      return Arrays{reference(in)[static_cast<size_t>(which)]};
    };
    if (which != 0) one.gradient_of = {0};
    all.push_back(one);
  }

  Record grad{.op = "BatchNormGrad", .label = r.label};
  grad.call = [axis](auto in) { return batch_norm_and_grad(in, {.epsilon = 1e-3, .axis = axis}); };
  grad.reference = [axis](auto in) { return batch_norm_grad_of(in, axis, 1e-3); };
  grad.shapes = with_channels(shapes, axis, true);
  grad.dtypes = r.dtypes;
  grad.samples = {{-2, 3}, {0.5, 2}, {-1, 1}};
  grad.tolerance32 = 1e-4;
  grad.tolerance64 = 1e-12;
  grad.gradient_of = {0, 1, 2};
  grad.gradient_needs_rank = true;
  all.push_back(grad);
  add_rectified(all, r, grad, axis);
}

/// `of_x`: the dtype of x, where it is not that of the statistics.
void add_running_statistics(std::vector<Record>& all, int axis, double momentum, std::optional<DType> of_x,
                            const std::vector<Shape>& xs) {
  Record r{.op = "RunningStatistics", .label = "axis " + std::to_string(axis)};
  r.call = [axis, momentum](auto in) {
    const RunningStatisticsOptions options{.momentum = momentum, .axis = axis};
    const auto [mean, variance] = running_statistics(in[0], in[1], in[2], in[3], in[4], options);
    return Tensors{mean, variance};
  };
  r.reference = [axis, momentum](std::span<const Array> in) -> Arrays {
    const double n = Channels(in[4], axis).size();
    Array mean = in[0], variance = in[1];
    for (size_t c = 0; c < mean.values.size(); ++c) {
      mean.values[c] += momentum * (in[2].values[c] - mean.values[c]);
      variance.values[c] += momentum * (in[3].values[c] * (n > 1 ? n / (n - 1) : 1) - variance.values[c]);
    }
    return {mean, variance};
  };
  for (const Shape& x : xs) {
    const Shape c{x[axis < 0 ? axis + x.rank() : axis]};
    r.shapes.push_back({c, c, c, c, x});
  }
  r.dtypes = {float32, float64};
  r.fixed.resize(4);
  r.fixed.push_back(of_x);
  r.samples = {{-1, 1}, {0, 2}, {-1, 1}, {0, 2}, {-2, 3}};
  all.push_back(r);
}

void add_batch_norm_inference(std::vector<Record>& all, int axis, const std::vector<Shape>& xs) {
  Record r{.op = "Mul", .label = "batch_norm_inference, axis " + std::to_string(axis)};
  r.call = [axis](auto in) {
    const BatchNormOptions options{.epsilon = 1e-3, .axis = axis};
    return Tensors{batch_norm_inference(in[0], in[1], in[2], in[3], in[4], options)};
  };
  r.reference = [axis](std::span<const Array> in) -> Arrays {
    const auto k = static_cast<size_t>(axis < 0 ? axis + in[0].shape.rank() : axis);
    return {generate(in[0].dtype, in[0].shape, [&](const Index& i) {
      const auto c = static_cast<size_t>(i[k]);
      return (at(in[0], i) - in[1].values[c]) / std::sqrt(in[2].values[c] + 1e-3) * in[3].values[c] + in[4].values[c];
    })};
  };
  for (const Shape& x : xs) {
    const Shape c{x[axis < 0 ? axis + x.rank() : axis]};
    r.shapes.push_back({x, c, c, c, c});
  }
  r.dtypes = {float32, float64};
  r.samples = {{-2, 3}, {-1, 1}, {0.5, 2}, {0.5, 2}, {-1, 1}};
  r.tolerance32 = 5e-6;
  r.gradient_of = {0, 1, 2, 3, 4};
  all.push_back(r);
}

void add_layer_norm(std::vector<Record>& all, const char* label, const Axes& axes,
                    const std::vector<std::vector<Shape>>& shapes) {
  Record r{.op = "Mean", .label = label};
  r.call = [axes](auto in) { return Tensors{layer_norm(in[0], in[1], in[2], axes, {.epsilon = 1e-3})}; };
  r.reference = [axes](std::span<const Array> in) -> Arrays {
    const Array& x = in[0];
    std::vector<bool> reduced(static_cast<size_t>(x.shape.rank()), axes.empty());
    for (int64_t a : axes) reduced[static_cast<size_t>(a < 0 ? a + x.shape.rank() : a)] = true;
    const auto mean_by = [&](const Index& of, const std::function<double(const Index&)>& f) {
      double sum = 0, n = 0;
      for_each_index(x.shape, [&](const Index& i) {
        for (size_t k = 0; k < i.size(); ++k)
          if (!reduced[k] && i[k] != of[k]) return;
        sum += f(i), ++n;
      });
      return sum / n;
    };
    return {generate(x.dtype, x.shape, [&](const Index& i) {
      const double mean = mean_by(i, [&](const Index& j) { return at(x, j); });
      const double variance = mean_by(i, [&](const Index& j) { return std::pow(at(x, j) - mean, 2); });
      return (at(x, i) - mean) / std::sqrt(variance + 1e-3) * at(in[1], i) + at(in[2], i);
    })};
  };
  r.shapes = shapes;
  r.dtypes = {float32, float64};
  r.samples = {{-2, 3}, {0.5, 2}, {-1, 1}};
  r.tolerance32 = 5e-6;
  r.tolerance64 = 1e-13;
  r.gradient_of = {0, 1, 2};
  all.push_back(r);
}

/// Two biases, one after the other: records of pointwise ops with two operands are tried on others' shapes, too.
void add_bias_add(std::vector<Record>& all, DataFormat format, const std::vector<Shape>& xs) {
  const bool nchw = format == DataFormat::nchw;
  Record r{.op = "Add", .label = nchw ? "bias_add, nchw" : "bias_add, nhwc"};
  r.call = [format](auto in) {
    const BiasAddOptions options{.data_format = format};
    return Tensors{bias_add(bias_add(in[0], in[1], options), in[2], options)};
  };
  r.reference = [nchw](std::span<const Array> in) -> Arrays {
    return {generate(in[0].dtype, in[0].shape, [&](const Index& i) {
      const auto c = static_cast<size_t>(nchw ? i[1] : i.back());
      return stored(at(in[0], i) + in[1].values[c], in[0].dtype) + in[2].values[c];
    })};
  };
  for (const Shape& x : xs) {
    const Shape c{x[nchw ? 1 : x.rank() - 1]};
    r.shapes.push_back({x, c, c});
  }
  r.dtypes = {float32, float64, int32};
  r.gradient_of = {0, 1, 2};
  all.push_back(r);
}

}  // namespace

void add_normalisation_records(std::vector<Record>& all) {
  add_softmax(all, "Softmax", softmax, false);
  add_softmax(all, "LogSoftmax", log_softmax, true);
  add_batch_norm(all, 1, {{4, 3}, {2, 3, 2, 2}, {1, 2, 3}, {2, 0, 3}, {5, 1}, {9, 5, 7, 11}, {4, 16, 57, 33}});
  add_batch_norm(all, -1, {{4, 3}, {2, 2, 2, 3}, {1, 3, 2}, {5, 1}, {9, 7, 11, 5}, {4, 57, 33, 16}});
  add_running_statistics(all, 1, 0.1, {}, {{4, 3}, {2, 3, 2, 2}, {1, 2, 3}, {2, 0, 3}, {1, 5}, {2, 700, 2}});
  add_running_statistics(all, -1, 0.7, int32, {{4, 3}, {2, 2, 2, 3}, {1, 5}, {9, 7, 11, 5}});
  add_batch_norm_inference(all, 1, {{4, 3}, {2, 3, 2, 2}, {1, 2, 3}, {2, 0, 3}, {9, 5, 7, 11}});
  add_batch_norm_inference(all, -1, {{4, 3}, {2, 2, 2, 3}, {0, 3}, {9, 7, 11, 5}});
  add_layer_norm(all, "layer_norm, last axis", -1, {{{3, 4}, {4}, {4}}, {{2, 3, 2}, {2}, {2}}, {{5}, {5}, {5}}});
  add_layer_norm(all, "layer_norm, last two", {-2, -1}, {{{2, 3, 2}, {3, 2}, {3, 2}}, {{7, 5, 3}, {5, 3}, {}}});
  add_layer_norm(all, "layer_norm, all", {}, {{{3, 4}, {3, 1}, {4}}});
  add_bias_add(all, DataFormat::nchw, {{4, 3}, {2, 3, 2, 2}, {1, 2, 3}, {2, 0, 3}, {9, 5, 7, 11}});
  add_bias_add(all, DataFormat::nhwc, {{4, 3}, {2, 2, 2, 3}, {0, 3}, {9, 7, 11, 5}});
}

}  // namespace op_test
