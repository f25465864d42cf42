#include <twofold/kernels/pool2d/pool2d.h>

#include <fmt/format.h>

#include <twofold/kernels/pool2d/problem.h>
#include <twofold/kernels/window2d/infer.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>

namespace twofold {
namespace {

using namespace window2d;

Shape image(InferContext& c, int i) { return rank4(c, c.shape(i), "tf::expand_dims(image, 0)"); }

/// The shape of the result of pooling x.
Shape pooled(InferContext& c, const Shape& x) {
  const auto& o = c.attrs<Pool2dAttrs>();
  const Padding2d& p = o.padding;
  check_at_least(c, "Kernel size", 1, {o.kernel_size.h, o.kernel_size.w});
  check_at_least(c, "Stride", 1, {o.stride.h, o.stride.w});
  check_at_least(c, "Padding", 0, {p.top, p.bottom, p.left, p.right});
  if (std::max(p.top, p.bottom) >= o.kernel_size.h || std::max(p.left, p.right) >= o.kernel_size.w)
    c.fail(fmt::format("Padding {} must be smaller than the kernel {}", print_field(p), print_field(o.kernel_size)));
  if (!is_floating(c.dtype(0)))
    c.fail("Pooling of " + std::string(name_of(c.dtype(0))) + " is not supported", "tf::cast(x, tf::float32)");
  const ImageAxes axes(o.data_format);
  if (!p.same && (x.extent(axes.h) == 0 || x.extent(axes.w) == 0))
    c.fail("An image without elements has nothing to pool");
  Shape y = x;
  y.set(axes.h, out_extent(c, pool_axis(o, true), x.extent(axes.h)));
  y.set(axes.w, out_extent(c, pool_axis(o, false), x.extent(axes.w)));
  return y;
}

void infer_max(InferContext& c) {
  const Shape x = image(c, 0), y = pooled(c, x);
  int64_t elements = 1;  // of an image: int32 must be able to count them
  for (int i = 1; i < 4; ++i)
    elements = std::min(elements, INT32_MAX + int64_t{1}) * std::min(x.extent(i).value_or(0), INT32_MAX + int64_t{1});
  if (elements > INT32_MAX) c.fail("An image has more elements than max_pool2d can count");
  c.output(c.dtype(0), y);
  c.output(int32, y);
}
void infer_avg(InferContext& c) { c.output(c.dtype(0), pooled(c, image(c, 0))); }

/// (dy, ..., like x) to dx.
void infer_grad(InferContext& c) {
  const int like = c.num_inputs() - 1;
  const Shape x = image(c, like), y = pooled(c, x);
  for (int i = 0; i < like; ++i)
    if (!c.shape(i).compatible_with(y))
      c.fail("dy must have shape " + y.brackets() + ", but has " + c.shape(i).brackets());
  c.output(c.dtype(0), x);
}
/// (x, places) to the elements there.
void infer_pick(InferContext& c) {
  const Shape y = pooled(c, image(c, 0));
  if (!c.shape(1).compatible_with(y)) c.fail("places must have shape " + y.brackets());
  c.output(c.dtype(0), c.shape(1).is_known() ? c.shape(1) : y);
}

// Gradients. Of a maximum the places are saved; reading the elements there and adding to the elements there are each
// other's derivatives. A mean is linear, and its two ops likewise.

extern OpDef max_grad_op, max_pick_op, avg_op, avg_grad_op;

Tensor call(const OpDef& op, std::initializer_list<const Tensor*> inputs, const Pool2dAttrs& attrs) {
  return apply(op, inputs, attrs, std::source_location::current());
}

constinit OpDef max_op{
    .key = op_name::MaxPool2D,
    .doc = "the largest of every window (PyTorch max_pool2d, ONNX MaxPool)",
    .hidden = 1,  // where it lies among the elements of its image
    .infer = infer_max,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, call(max_grad_op, {&b.dy(), &b.output(1), &b.input(0)}, b.attrs<Pool2dAttrs>()));
        },
    .reads = {.outputs = 0b10},
    .attrs = &internal::kAttrsType<Pool2dAttrs>,
};
constinit OpDef max_grad_op{
    .key = op_name::MaxPool2DGrad,
    .doc = "(dy, places) to dx of MaxPool2D, whose shape is that of input 2",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_grad,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, call(max_pick_op, {&b.dy(), &b.input(1)}, b.attrs<Pool2dAttrs>()));
        },
    .reads = {.inputs = 0b10},
    .attrs = &internal::kAttrsType<Pool2dAttrs>,
    .shape_inputs = 0b100,
};
constinit OpDef max_pick_op{
    .key = op_name::MaxPool2DPick,
    .doc = "(x, places) to the elements of x that lie there; adjoint of MaxPool2DGrad",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pick,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, call(max_grad_op, {&b.dy(), &b.input(1), &b.input(0)}, b.attrs<Pool2dAttrs>()));
        },
    .reads = {.inputs = 0b10},
    .attrs = &internal::kAttrsType<Pool2dAttrs>,
};
constinit OpDef avg_op{
    .key = op_name::AvgPool2D,
    .doc = "the mean of every window (PyTorch avg_pool2d, ONNX AveragePool)",
    .infer = infer_avg,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, call(avg_grad_op, {&b.dy(), &b.input(0)}, b.attrs<Pool2dAttrs>()));
        },
    .attrs = &internal::kAttrsType<Pool2dAttrs>,
};
constinit OpDef avg_grad_op{
    .key = op_name::AvgPool2DGrad,
    .doc = "dy to dx of AvgPool2D, whose shape is that of input 1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grad,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, call(avg_op, {&b.dy()}, b.attrs<Pool2dAttrs>()));
        },
    .attrs = &internal::kAttrsType<Pool2dAttrs>,
    .shape_inputs = 0b10,
};

}  // namespace

Tensor max_pool2d(Operand x, Pair2d kernel_size, MaxPool2dOptions o) {
  return apply(max_op, {&x.resolve()},
               Pool2dAttrs{kernel_size, o.stride.value_or(kernel_size), o.padding, o.data_format}, x.where());
}

Tensor avg_pool2d(Operand x, Pair2d kernel_size, AvgPool2dOptions o) {
  return apply(avg_op, {&x.resolve()},
               Pool2dAttrs{kernel_size, o.stride.value_or(kernel_size), o.padding, o.data_format, o.count_include_pad},
               x.where());
}

void register_pool2d() {
  for (OpDef* op : {&max_op, &max_grad_op, &max_pick_op, &avg_op, &avg_grad_op}) register_op(*op);
}

}  // namespace twofold
