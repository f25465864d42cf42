#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/batch_norm/batch_norm_ops.h>

#include <fmt/format.h>

#include <optional>

#include <twofold/kernels/bias_add/bias_add.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/if_arrived.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {
namespace {

/// Checks that the first `n` inputs have one floating dtype.
void check_dtypes(const InferContext& c, int n) {
  const DType t = c.dtype(0);
  if (!is_floating(t))
    c.fail("Batch normalisation of " + std::string(name_of(t)) + " is not supported", "tf::cast(x, tf::float32)");
  for (int i = 1; i < n; ++i)
    if (c.dtype(i) != t)
      c.fail("Operands must have one dtype, but are " + std::string(name_of(t)) + " and " +
             std::string(name_of(c.dtype(i))));
}

/// Number of channels, if it is known. Checks the shapes of x, whose channels lie along `along`, and of the `vectors`.
std::optional<int64_t> infer_channels(const InferContext& c, const Shape& x, int64_t along,
                                      std::initializer_list<int> vectors) {
  std::optional<int64_t> channels;
  if (x.has_rank()) {
    if (x.rank() < 2)
      c.fail("Shape must be at least rank 2 but is rank " + std::to_string(x.rank()), "tf::expand_dims(x, 0)");
    const int axis = c.axis(along, x.rank());
    channels = x.extent(axis);
    for (int i = 0; i < x.rank(); ++i)
      if (i != axis && x.extent(i) == 0) c.fail("Channels without elements have no mean");
  }
  for (int i : vectors) {
    const Shape& v = c.shape(i);
    if (!v.has_rank()) continue;
    if (v.rank() != 1) c.fail("Shape must be rank 1 but is rank " + std::to_string(v.rank()));
    if (channels && v.knows(0) && v[0] != *channels)
      c.fail("Dimensions must be equal, but are " + std::to_string(*channels) + " and " + std::to_string(v[0]));
    if (!channels) channels = v.extent(0);
  }
  return channels;
}

/// The shape of the output that tells where a rectified y is flat: the lowest and the highest such x of each channel.
Shape flat_shape(std::optional<int64_t> channels) { return {channels.value_or(-1), 2}; }
Shape per_channel(std::optional<int64_t> channels) { return {channels.value_or(-1)}; }

void infer(InferContext& c) {
  check_dtypes(c, c.num_inputs());
  const auto& attrs = c.attrs<BatchNormAttrs>();
  if (!(attrs.epsilon >= 0)) c.fail(fmt::format("Epsilon must not be negative, but is {}", attrs.epsilon));
  const auto channels = infer_channels(c, c.shape(0), attrs.axis, {1, 2});
  c.output(c.dtype(0), c.shape(0));
  for (int i = 0; i < 3; ++i) c.output(c.dtype(0), per_channel(channels));
  c.output(c.dtype(0), flat_shape(attrs.relu ? channels : std::optional<int64_t>(0)));
}

void infer_grad(InferContext& c) {
  check_dtypes(c, c.num_inputs());
  const auto& attrs = c.attrs<BatchNormAttrs>();
  if (c.num_inputs() != (attrs.relu ? 6 : 5)) c.fail("Where y is flat is an input if it is rectified, and only then");
  const auto channels = infer_channels(c, c.shape(0), attrs.axis, {1, 3, 4});
  if (!c.shape(2).compatible_with(c.shape(0))) c.fail("x and dy must have one shape");
  if (attrs.relu && !c.shape(5).compatible_with(flat_shape(channels)))
    c.fail("Where y is flat takes two numbers a channel");
  c.output(c.dtype(0), c.shape(0).has_rank() ? c.shape(0) : c.shape(2));
  for (int i = 0; i < 2; ++i) c.output(c.dtype(0), per_channel(channels));
}

void infer_running(InferContext& c) {
  check_dtypes(c, 4);
  const auto& attrs = c.attrs<RunningStatisticsAttrs>();
  if (!(attrs.momentum >= 0 && attrs.momentum <= 1))
    c.fail(fmt::format("The momentum must lie in [0, 1], but is {}", attrs.momentum));
  const auto channels = infer_channels(c, c.shape(4), attrs.axis, {0, 1, 2, 3});
  for (int i = 0; i < 2; ++i) c.output(c.dtype(0), per_channel(channels));
}

/// Every axis but the channels', and the shape under which a vector of channels broadcasts to x.
struct Reduced {
  Axes axes;
  Shape broadcast;

  Reduced(const Tensor& x, int64_t axis) {
    const int rank = x.rank();
    if (rank < 0)
      fail(Code::InvalidArgument, "This gradient of batch normalisation needs the rank of x, which is unknown",
           "tf::placeholder(tf::float32, {-1, 3, 28, 28})");
    if (axis < 0) axis += rank;
    for (int i = 0; i < rank; ++i) {
      if (i != axis) axes.push_back(i);
      broadcast.push_back(i == axis ? -1 : 1);
    }
  }
};

/// The statistics and the gradient made of primitive ops, which can be differentiated again.
struct Composed {
  const BatchNormAttrs& attrs;

  std::vector<Tensor> statistics(std::span<const Tensor> in) const {
    const Tensor& x = in[0];
    const Reduced r(x, attrs.axis);
    return {mean(x, r.axes), mean(square(x - mean(x, r.axes, {.keepdims = true})), r.axes)};
  }
  /// (x, scale, dy) to (dx, dscale, doffset), the saved statistics taken as functions of x:
  /// dx = scale / std * (dy - mean(dy) - xhat * mean(dy * xhat)).
  std::vector<Tensor> gradient(std::span<const Tensor> in) const {
    const Tensor &x = in[0], &scale = in[1], &dy = in[2];
    const Reduced r(x, attrs.axis);
    const ReduceOptions keep{.keepdims = true};
    const Tensor centred = x - mean(x, r.axes, keep);
    const Tensor deviation = sqrt(mean(square(centred), r.axes, keep) + attrs.epsilon);
    const Tensor xhat = centred / deviation, weighted = dy * xhat;
    const Tensor dx =
        reshape(scale, r.broadcast) / deviation * (dy - mean(dy, r.axes, keep) - xhat * mean(weighted, r.axes, keep));
    return {dx, sum(weighted, r.axes), sum(dy, r.axes)};
  }
};

void gradient(Backward& b) {
  const auto& attrs = b.attrs<BatchNormAttrs>();
  const Tensor &x = b.input(0), &dy = b.dy(0);
  Gradient dx;
  if (dy.defined()) {
    const Tensor* inputs[] = {&x, &b.input(1), &dy, &b.output(1), &b.output(3)};
    Outputs grads = apply_all(batch_norm_grad_op, inputs, attrs, std::source_location::current());
    dx = {grads[0], b.arrived(0)};
    if (b.needs(1)) b.dx(1, grads[1], b.arrived(0));
    if (b.needs(2)) b.dx(2, grads[2], b.arrived(0));
  }
  if (b.needs(0) && (b.dy(1).defined() || b.dy(2).defined())) {
    const Composed composed{attrs};
    const Tensor inputs[] = {x}, dys[] = {b.dy(1), b.dy(2)};
    add_gradient(dx, gradient_of(vjp([&](auto in) { return composed.statistics(in); }, inputs, dys)[0]));
  }
  if (b.needs(0) && dx.value.defined()) b.dx(0, dx.value, dx.arrived);
}

void grad_gradient(Backward& b) {
  const Composed composed{b.attrs<BatchNormAttrs>()};
  const Tensor inputs[] = {b.input(0), b.input(1), b.input(2)}, dys[] = {b.dy(0), b.dy(1), b.dy(2)};
  const std::vector<Tensor> dxs = vjp([&](auto in) { return composed.gradient(in); }, inputs, dys);
  for (int i = 0; i < 3; ++i)
    if (const Gradient dx = gradient_of(dxs[static_cast<size_t>(i)]); b.needs(i) && dx.value.defined())
      b.dx(i, dx.value, dx.arrived);
}

}  // namespace

constinit OpDef batch_norm_op{
    .key = op_name::BatchNorm,
    .node_name = "batch_norm",
    .doc = "y = (x - mean) / sqrt(variance + epsilon) * scale + offset over the batch (PyTorch batch_norm in training)",
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 3,
    .hidden = 2,  // 1 / sqrt(variance + epsilon), and where a rectified y is flat
    .infer = infer,
    .differentiable = Differentiability::rule,
    .gradient = gradient,
    .reads = {.inputs = 0b011, .outputs = 0b1010},
    .attrs = &internal::kAttrsType<BatchNormAttrs>,
};

constinit OpDef batch_norm_grad_op{
    .key = op_name::BatchNormGrad,
    .node_name = "batch_norm_grad",
    .doc =
        "(x, scale, dy, mean, inv_std) to (dx, dscale, doffset) of BatchNorm; with where y is flat too, if that is "
        "rectified",
    .min_inputs = 5,
    .max_inputs = 6,
    .outputs = 3,
    .infer = infer_grad,
    .differentiable = Differentiability::rule,
    .gradient = grad_gradient,
    .reads = {.inputs = 0b111},
    .attrs = &internal::kAttrsType<BatchNormAttrs>,
};

namespace {

constinit OpDef running_statistics_op{
    .key = op_name::RunningStatistics,
    .node_name = "running_statistics",
    .doc = "running mean and variance after a batch of x's shape with that mean and variance (PyTorch batch_norm)",
    .min_inputs = 5,
    .max_inputs = 5,
    .outputs = 2,
    .infer = infer_running,
    .differentiable = Differentiability::none,
    .attrs = &internal::kAttrsType<RunningStatisticsAttrs>,
    .shape_inputs = 0b10000,
    .in_place = {0, 1, -1, -1},
};

}  // namespace

BatchNormResult batch_norm(Operand x, Operand scale, Operand offset, BatchNormOptions options) {
  const Tensor& input = x.resolve();
  check_input(batch_norm_op.name, 0, input, x.where());
  const Tensor* inputs[] = {&input, &scale.resolve(input.dtype()), &offset.resolve(input.dtype())};
  Outputs out = apply_all(batch_norm_op, inputs, BatchNormAttrs{options.epsilon, options.axis}, x.where());
  return {out[0], out[1], out[2]};
}

Tensor batch_norm_inference(Operand x, Operand mean, Operand variance, Operand scale, Operand offset,
                            BatchNormOptions o) {
  constexpr const char* kName = "batch_norm_inference";
  const SourceScope source_scope(x.where());
  const Tensor& t = x.resolve();
  check_input(kName, 0, t, x.where());
  if (!is_floating(t.dtype()))
    fail(Code::InvalidArgument,
         std::string(kName) + "() takes floating-point numbers, not " + std::string(name_of(t.dtype())),
         "tf::cast(x, tf::float32)");
  if (!(o.epsilon >= 0)) fail(Code::InvalidArgument, fmt::format("{}() with an epsilon of {}", kName, o.epsilon));
  size_t input = 0;
  const auto per_channel = [&](const Operand& v, const char* name) {
    const Tensor& vector = v.resolve(t.dtype());
    check_input(kName, ++input, vector, x.where());
    return internal::checked_channels(kName, name, vector, t, o.axis);
  };
  const Tensor centre = per_channel(mean, "a mean"), spread = per_channel(variance, "a variance");
  const Tensor by = per_channel(scale, "a scale"), shift = per_channel(offset, "an offset");
  const auto along = [&](const Tensor& v) { return internal::along_channels(v, t, o.axis); };
  return (t - along(centre)) * along(by / sqrt(spread + o.epsilon)) + along(shift);
}

RunningStatistics running_statistics(Operand running_mean, Operand running_var, Operand mean, Operand variance,
                                     Operand x, RunningStatisticsOptions options) {
  const Tensor& first = running_mean.resolve();
  check_input(running_statistics_op.name, 0, first, running_mean.where());
  const DType t = first.dtype();
  const Tensor* inputs[] = {&first, &running_var.resolve(t), &mean.resolve(t), &variance.resolve(t), &x.resolve()};
  Outputs out = apply_all(running_statistics_op, inputs, RunningStatisticsAttrs{options.momentum, options.axis},
                          running_mean.where());
  return {out[0], out[1]};
}

void register_batch_norm() {
  register_op(batch_norm_op);
  register_op(batch_norm_grad_op);
  register_op(running_statistics_op);
}

}  // namespace twofold
