#include <twofold/kernels/random/random.h>

#include <cmath>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/random_key.h>

namespace twofold {
namespace {

void infer(InferContext& c) {
  const auto& attrs = c.attrs<RandomAttrs>();
  if (!is_floating(attrs.dtype))
    c.fail("Random numbers of " + std::string(name_of(attrs.dtype)) + " are not supported",
           "tf::cast(tf::random_uniform(shape, {.high = 10}), tf::int32)");
  if (!attrs.shape.is_known()) c.fail("The shape of random numbers must be fully known, but is " + attrs.shape.str());
  c.output(attrs.dtype, attrs.shape);
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
    .max_inputs = 0,
    .infer = infer_normal,
    .differentiable = Differentiability::none,
    .flags = {.random = true},
    .attrs = &internal::kAttrsType<RandomAttrs>,
};

OpDef random_uniform_op{
    .name = "RandomUniform",
    .node_name = "random_uniform",
    .doc = "a number uniform in [low, high) (TensorFlow random_uniform)",
    .min_inputs = 0,
    .max_inputs = 0,
    .infer = infer_uniform,
    .differentiable = Differentiability::none,
    .flags = {.random = true},
    .attrs = &internal::kAttrsType<RandomAttrs>,
};

}  // namespace

Tensor random_normal(Shape shape, RandomNormalOptions options, std::source_location where) {
  const RandomAttrs attrs{next_random_key(options.seed), options.dtype, shape, options.mean, options.stddev};
  return apply(random_normal_op, {}, attrs, where);
}

Tensor random_uniform(Shape shape, RandomUniformOptions options, std::source_location where) {
  const RandomAttrs attrs{next_random_key(options.seed), options.dtype, shape, options.low, options.high};
  return apply(random_uniform_op, {}, attrs, where);
}

void register_random() {
  register_op(random_normal_op);
  register_op(random_uniform_op);
}

}  // namespace twofold
