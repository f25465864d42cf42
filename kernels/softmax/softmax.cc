#include <twofold/kernels/softmax/softmax.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

void infer(InferContext& c) {
  if (!is_floating(c.dtype(0)))
    c.fail("Expected a floating-point tensor, got " + std::string(name_of(c.dtype(0))), "tf::cast(x, tf::float32)");
  if (c.shape(0).has_rank()) c.axis(c.attrs<SoftmaxAttrs>().axis, c.shape(0).rank());
  c.output(c.dtype(0), c.shape(0));
}

// dx = (dy - sum(dy * y)) * y
void softmax_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const Tensor& y = b.output();
  const Tensor projection = sum(b.dy() * y, b.attrs<SoftmaxAttrs>().axis, {.keepdims = true});
  b.dx(0, (b.dy() - projection) * y);
}

// dx = dy - exp(y) * sum(dy)
void log_softmax_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const Tensor total = sum(b.dy(), b.attrs<SoftmaxAttrs>().axis, {.keepdims = true});
  b.dx(0, b.dy() - exp(b.output()) * total);
}

constinit OpDef softmax_op{.key = op_name::Softmax,
                           .doc = "y = exp(x) / sum(exp(x)) along axis; TensorFlow and ONNX Softmax",
                           .infer = infer,
                           .differentiable = Differentiability::rule,
                           .gradient = softmax_gradient,
                           .reads = {.outputs = 1},
                           .attrs = &internal::kAttrsType<SoftmaxAttrs>};
constinit OpDef log_softmax_op{.key = op_name::LogSoftmax,
                               .doc = "y = x - log(sum(exp(x))) along axis; TensorFlow and ONNX LogSoftmax",
                               .infer = infer,
                               .differentiable = Differentiability::rule,
                               .gradient = log_softmax_gradient,
                               .reads = {.outputs = 1},
                               .attrs = &internal::kAttrsType<SoftmaxAttrs>};

}  // namespace

Tensor softmax(Operand x, int64_t axis) { return apply(softmax_op, {&x.resolve()}, SoftmaxAttrs{axis}, x.where()); }
Tensor log_softmax(Operand x, int64_t axis) {
  return apply(log_softmax_op, {&x.resolve()}, SoftmaxAttrs{axis}, x.where());
}

void register_softmax();
void register_softmax() {
  register_op(softmax_op);
  register_op(log_softmax_op);
}

}  // namespace twofold
