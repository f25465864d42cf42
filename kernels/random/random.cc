#include <twofold/kernels/random/random.h>

#include <cmath>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/shapes.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/random_key.h>

namespace twofold {
namespace {

void infer(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  if (!is_floating(attrs.dtype))
    c.fail("Random numbers of " + std::string(name_of(attrs.dtype)) + " are not supported",
           "tf::cast(tf::random_uniform(shape, {.high = 10}), tf::int32)");
  bool known = true;
  const Shape shape = c.num_inputs() == 0 ? attrs.shape : layout::shape_operand(c, 0, known);
  if (known && !shape.is_known()) c.fail("The shape of random numbers must be fully known, but is " + shape.str());
  c.output(attrs.dtype, shape);
}

void infer_normal(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  if (!std::isfinite(attrs.a) || !std::isfinite(attrs.b) || attrs.b < 0)
    c.fail("mean and stddev must be finite and stddev not negative, but are " + print_field(attrs.a) + " and " +
           print_field(attrs.b));
  infer(c);
}

void infer_uniform(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  if (!std::isfinite(attrs.b - attrs.a) || attrs.a > attrs.b)
    c.fail("low and high must be finite and low <= high, but are " + print_field(attrs.a) + " and " +
           print_field(attrs.b));
  infer(c);
}

OpDef random_normal_op{
    .name = "RandomNormal",
    .node_name = "random_normal",
    .doc = "mean + stddev * a standard normal number (TensorFlow random_normal)",
    .min_inputs = 0,
    .max_inputs = 1,
    .infer = infer_normal,
    .differentiable = Differentiability::none,
    .flags = {.random = true},
    .attrs = &internal::kAttrsType<RandomAttrs>,
    .host_inputs = 1,
};

OpDef random_uniform_op{
    .name = "RandomUniform",
    .node_name = "random_uniform",
    .doc = "a number uniform in [low, high) (TensorFlow random_uniform)",
    .min_inputs = 0,
    .max_inputs = 1,
    .infer = infer_uniform,
    .differentiable = Differentiability::none,
    .flags = {.random = true},
    .attrs = &internal::kAttrsType<RandomAttrs>,
    .host_inputs = 1,
};

/// Draws in the shape that `shape` holds. Where its elements are known already the op takes no input, so that it is a
/// source: a node while a graph is built, even if the shape is a value.
Tensor draw(const OpDef& op, RandomAttrs attrs, const Tensor& shape, std::source_location where) {
  check_input(op.name, 0, shape, where);
  if (shape.is_symbolic()) return apply(op, {&shape}, attrs, where);
  const CurrentOp current(op.name, where);
  const TensorSpec spec{shape.dtype(), shape.shape()};
  const Tensor* tensors[] = {&shape};
  bool known = true;
  attrs.shape = layout::shape_operand(InferContext(op, {&spec, 1}, attrs, tensors), 0, known);
  return apply(op, {}, attrs, where);
}

Tensor draw_like(const OpDef& op, RandomAttrs attrs, const Tensor& x, std::source_location where) {
  if (x.is_symbolic()) return draw(op, attrs, shape(x), where);
  attrs.shape = x.shape();
  return apply(op, {}, attrs, where);
}

}  // namespace

Tensor random_normal(Shape shape, RandomNormalOptions o, std::source_location where) {
  return apply(random_normal_op, {}, RandomAttrs{next_random_key(o.seed), o.dtype, shape, o.mean, o.stddev}, where);
}
Tensor internal::random_normal(const Tensor& shape, const RandomNormalOptions& o, std::source_location where) {
  return draw(random_normal_op, {next_random_key(o.seed), o.dtype, {}, o.mean, o.stddev}, shape, where);
}
Tensor random_normal_like(Operand x, RandomNormalLikeOptions o) {
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  check_input("random_normal_like", 0, t, x.where());
  const RandomAttrs attrs{next_random_key(o.seed), o.dtype.value_or(t.dtype()), {}, o.mean, o.stddev};
  return draw_like(random_normal_op, attrs, t, x.where());
}

Tensor random_uniform(Shape shape, RandomUniformOptions o, std::source_location where) {
  return apply(random_uniform_op, {}, RandomAttrs{next_random_key(o.seed), o.dtype, shape, o.low, o.high}, where);
}
Tensor internal::random_uniform(const Tensor& shape, const RandomUniformOptions& o, std::source_location where) {
  return draw(random_uniform_op, {next_random_key(o.seed), o.dtype, {}, o.low, o.high}, shape, where);
}
Tensor random_uniform_like(Operand x, RandomUniformLikeOptions o) {
  const SourceFrame frame(x.where());
  const Tensor& t = x.resolve();
  check_input("random_uniform_like", 0, t, x.where());
  const RandomAttrs attrs{next_random_key(o.seed), o.dtype.value_or(t.dtype()), {}, o.low, o.high};
  return draw_like(random_uniform_op, attrs, t, x.where());
}

void register_random() {
  register_op(random_normal_op);
  register_op(random_uniform_op);
}

}  // namespace twofold
