#include <twofold/kernels/conv2d/conv2d.h>
#include <twofold/kernels/pointwise/operand_pair.h>

#include <fmt/format.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/window2d/infer.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>

namespace twofold {
namespace {

using namespace window2d;

template <class Options>
void check_options(InferContext& c, const Options& o) {
  const Padding2d& p = o.padding;
  check_at_least(c, "Stride", 1, {o.stride.h, o.stride.w});
  check_at_least(c, "Dilation", 1, {o.dilation.h, o.dilation.w});
  check_at_least(c, "The number of groups", 1, {o.groups});
  check_at_least(c, "Padding", 0, {p.top, p.bottom, p.left, p.right});
}

/// The dtype that all inputs have.
DType check_dtypes(InferContext& c) {
  const DType t = c.dtype(0);
  for (int i = 1; i < c.num_inputs(); ++i)
    if (c.dtype(i) != t)
      c.fail("Operands must have one dtype, but are " + std::string(name_of(t)) + " and " +
             std::string(name_of(c.dtype(i))));
  if (!is_floating(t))
    c.fail("A convolution of " + std::string(name_of(t)) + " is not supported", "tf::cast(x, tf::float32)");
  return t;
}

Shape image(InferContext& c, int i) { return rank4(c, c.shape(i), "tf::expand_dims(image, 0)"); }

template <class Options>
Shape weight(InferContext& c, int i, const Options& o) {
  const Shape w = rank4(c, c.shape(i), "tf::reshape(weight, {out_channels, in_channels / groups, height, width})");
  if (w.knows(0) && w[0] % o.groups != 0)
    c.fail(fmt::format("{} groups do not divide the weight's first extent, {}", o.groups, w[0]));
  for (int axis : {2, 3})
    if (w.extent(axis) == 0) c.fail("A kernel must have elements, but the weight's shape is " + w.brackets());
  return w;
}

using Extent = std::optional<int64_t>;

/// Refuses an image of `have` channels where the weight asks for `want`.
void check_channels(InferContext& c, Extent have, Extent want, int64_t groups, const char* layout) {
  if (!have || !want || *have == *want) return;
  std::string text = fmt::format("The image has {} channels, but the weight is for {}", *have, *want);
  if (groups > 1) text += fmt::format(" ({} groups of {})", groups, *want / groups);
  c.fail(fmt::format("{}. A weight is laid out {}, height, width)", text, layout),
         "tf::transpose(weight, {3, 2, 0, 1}) of TensorFlow's filters, which begin with height and width");
}

/// channels * groups, unknown if `channels` is.
Extent times(InferContext& c, Extent channels, int64_t groups) {
  int64_t all = 0;
  if (!channels) return {};
  if (__builtin_mul_overflow(*channels, groups, &all))
    c.fail(fmt::format("{} groups of {} channels are more than can be counted", groups, *channels));
  return all;
}

/// The extent of a kernel along axis 2 or 3 of its weight as WindowAxis has it: -1 if it is not known.
int64_t kernel(const Shape& w, int axis) { return w.extent(axis).value_or(-1); }

/// The shape of conv2d(x, w), from what is known.
template <class Options>
Shape convolved(InferContext& c, const Options& o, const Shape& x, const Shape& w) {
  const ImageAxes axes(o.data_format);
  check_channels(c, x.extent(axes.channels), times(c, w.extent(1), o.groups), o.groups,
                 "OIHW: (out_channels, in_channels / groups");
  Shape y = Shape::of_rank(4);
  y.set(0, x.extent(0));
  y.set(axes.channels, w.extent(0));
  y.set(axes.h, out_extent(c, vertical_axis(o, kernel(w, 2)), x.extent(axes.h)));
  y.set(axes.w, out_extent(c, horizontal_axis(o, kernel(w, 3)), x.extent(axes.w)));
  return y;
}

/// Refuses a dy that is not of the shape conv2d(x, w).
template <class Options>
void check_convolved(InferContext& c, const Options& o, const Shape& x, const Shape& w, const Shape& dy) {
  const Shape y = convolved(c, o, x, w);
  if (!y.compatible_with(dy)) c.fail("dy must have shape " + y.brackets() + ", but has " + dy.brackets());
}

void infer(InferContext& c) {
  const auto& o = c.attrs<Conv2dOptions>();
  const DType t = check_dtypes(c);
  check_options(c, o);
  const Shape w = weight(c, 1, o);
  Shape bias;
  bias.push_back(w.extent(0));
  if (c.num_inputs() == 3 && !c.shape(2).compatible_with(bias))
    c.fail(fmt::format("The bias must have shape {}, but has {}", bias.brackets(), c.shape(2).brackets()));
  c.output(t, convolved(c, o, image(c, 0), w));
}

Extent transposed_extent(InferContext& c, const WindowAxis& axis, Extent given, int64_t output_padding) {
  if (output_padding >= axis.stride || (axis.same && output_padding > 0))
    c.fail(axis.same
               ? fmt::format("Output padding must be 0, but is {}", output_padding)
               : fmt::format("Output padding must be smaller than stride {}, but is {}", axis.stride, output_padding));
  if (!given || (!axis.same && axis.kernel < 0)) return {};
  const int64_t in = *given;
  check_countable(c, axis, in);
  const int64_t out = axis.in_of(in, output_padding);
  if ((in == 0 && !axis.same) || (out <= 0 && in > 0))
    c.fail(fmt::format("An extent of {} has no transposed convolution with a kernel of {} and padding {} and {}", in,
                       axis.kernel, axis.before, axis.after));
  return out;
}

void infer_input_gradient(InferContext& c) {
  const auto& o = c.attrs<Conv2dTransposeOptions>();
  const DType t = check_dtypes(c);
  check_options(c, o);
  check_at_least(c, "Output padding", 0, {o.output_padding.h, o.output_padding.w});
  const ImageAxes axes(o.data_format);
  const Shape dy = image(c, 0), w = weight(c, 1, o);
  check_channels(c, dy.extent(axes.channels), w.extent(0), 1, "IOHW: (in_channels, out_channels / groups");
  Shape x = Shape::of_rank(4);
  if (c.num_inputs() == 3) {
    x = image(c, 2);
    check_convolved(c, o, x, w, dy);
  } else {
    x.set(axes.h, transposed_extent(c, vertical_axis(o, kernel(w, 2)), dy.extent(axes.h), o.output_padding.h));
    x.set(axes.w, transposed_extent(c, horizontal_axis(o, kernel(w, 3)), dy.extent(axes.w), o.output_padding.w));
  }
  if (!x.knows(0)) x.set(0, dy.extent(0));
  if (!x.knows(axes.channels)) x.set(axes.channels, times(c, w.extent(1), o.groups));
  c.output(t, x);
}

void infer_weight_gradient(InferContext& c) {
  const auto& o = c.attrs<Conv2dOptions>();
  const DType t = check_dtypes(c);
  check_options(c, o);
  const Shape w = weight(c, 2, o);
  check_convolved(c, o, image(c, 0), w, image(c, 1));
  c.output(t, w);
}

// Gradients. The three ops are each other's derivatives: conv2d is linear in x and in the weight, and the two gradient
// ops are its adjoints.

extern OpDef conv2d_op, input_gradient_op, weight_gradient_op;

Conv2dOptions forward_options(const Conv2dTransposeOptions& o) {
  return {o.stride, o.padding, o.dilation, o.groups, o.data_format};
}

Tensor convolution(const Tensor& x, const Tensor& w, const Conv2dOptions& o) {
  return apply(conv2d_op, {&x, &w}, o, std::source_location::current());
}
Tensor input_gradient(const Tensor& dy, const Tensor& w, const Tensor& x, const Conv2dOptions& o) {
  const Conv2dTransposeOptions options{o.stride, o.padding, 0, o.groups, o.dilation, o.data_format};
  return apply(input_gradient_op, {&dy, &w, &x}, options, std::source_location::current());
}
Tensor weight_gradient(const Tensor& x, const Tensor& dy, const Tensor& w, const Conv2dOptions& o) {
  return apply(weight_gradient_op, {&x, &dy, &w}, o, std::source_location::current());
}

void gradient(Backward& b) {
  const auto& o = b.attrs<Conv2dOptions>();
  const Tensor &x = b.input(0), &w = b.input(1);
  if (b.needs(0)) b.dx(0, input_gradient(b.dy(), w, x, o));
  if (b.needs(1)) b.dx(1, weight_gradient(x, b.dy(), w, o));
  if (b.num_inputs() == 3 && b.needs(2))
    b.dx(2, sum(b.dy(), {0, ImageAxes(o.data_format).h, ImageAxes(o.data_format).w}));
}

void input_gradient_gradient(Backward& b) {
  const Conv2dOptions o = forward_options(b.attrs<Conv2dTransposeOptions>());
  const Tensor &dy = b.input(0), &w = b.input(1);
  if (b.needs(0)) b.dx(0, convolution(b.dy(), w, o));
  if (b.needs(1)) b.dx(1, weight_gradient(b.dy(), dy, w, o));
}

void weight_gradient_gradient(Backward& b) {
  const auto& o = b.attrs<Conv2dOptions>();
  const Tensor &x = b.input(0), &dy = b.input(1);
  if (b.needs(0)) b.dx(0, input_gradient(dy, b.dy(), x, o));
  if (b.needs(1)) b.dx(1, convolution(x, b.dy(), o));
}

constinit OpDef conv2d_op{
    .key = op_name::Conv2D,
    .doc = "y = the cross-correlation of images x with kernels, + bias if there is one (PyTorch conv2d, ONNX Conv)",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer,
    .differentiable = Differentiability::rule,
    .gradient = gradient,
    .reads = {.inputs = 0b11},
    .attrs = &internal::kAttrsType<Conv2dOptions>,
};

constinit OpDef input_gradient_op{
    .key = op_name::Conv2DBackpropInput,
    .doc = "(dy, weight) to dx of Conv2D; x's shape is that of input 2, or follows from dy's (ONNX ConvTranspose)",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer_input_gradient,
    .differentiable = Differentiability::rule,
    .gradient = input_gradient_gradient,
    .reads = {.inputs = 0b11},
    .attrs = &internal::kAttrsType<Conv2dTransposeOptions>,
    .shape_inputs = 0b100,
};

constinit OpDef weight_gradient_op{
    .key = op_name::Conv2DBackpropFilter,
    .doc = "(x, dy) to the weight's gradient of Conv2D; the weight's shape is that of input 2",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_weight_gradient,
    .differentiable = Differentiability::rule,
    .gradient = weight_gradient_gradient,
    .reads = {.inputs = 0b11},
    .attrs = &internal::kAttrsType<Conv2dOptions>,
    .shape_inputs = 0b100,
};

}  // namespace

Tensor conv2d(Operand x, Operand weight, Conv2dOptions options) {
  const OperandPair pair(x, weight, conv2d_op.name);
  return apply(conv2d_op, {pair.a, pair.b}, options, x.where());
}

Tensor internal::conv2d_with_bias(const Operand& x, const Operand& weight, const Operand& bias,
                                  const Conv2dOptions& options) {
  const OperandPair first(x, weight, conv2d_op.name);
  const OperandPair second(Operand(*first.a, x.where()), bias, conv2d_op.name);
  const DType dtype = second.a->dtype();
  const Tensor w = first.b->dtype() == dtype ? *first.b : cast(Operand(*first.b, x.where()), dtype);
  return apply(conv2d_op, {second.a, &w, second.b}, options, x.where());
}

Tensor conv2d_transpose(Operand x, Operand weight, Conv2dTransposeOptions options) {
  const OperandPair pair(x, weight, input_gradient_op.name);
  return apply(input_gradient_op, {pair.a, pair.b}, options, x.where());
}

void register_conv2d() {
  for (OpDef* op : {&conv2d_op, &input_gradient_op, &weight_gradient_op}) register_op(*op);
}

}  // namespace twofold
