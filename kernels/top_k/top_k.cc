#include <twofold/kernels/top_k/top_k.h>

#include <fmt/format.h>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

void infer(InferContext& c) {
  const int64_t k = c.attrs<TopKAttrs>().k;
  if (c.dtype(0) == bool_) c.fail("Expected a tensor of numbers, got bool", "tf::top_k(tf::cast(x, tf::int32), k)");
  if (k < 0) c.fail(fmt::format("Need k >= 0, got {}", k));
  Shape y = c.shape(0);
  if (y.has_rank()) {
    if (y.rank() == 0) c.fail("input must have at least rank 1 but is a scalar");
    const auto extent = y.extent(y.rank() - 1);
    if (extent && *extent < k) c.fail(fmt::format("input must have last dimension >= k = {} but is {}", k, *extent));
    if (extent > INT32_MAX) c.fail(fmt::format("Extent {} does not fit into int32", *extent));
    y.set(y.rank() - 1, k);
  }
  c.output(c.dtype(0), y);
  c.output(int32, y);
}

constinit OpDef top_k_op{
    .key = op_name::TopK,
    .node_name = "TopKV2",
    .doc = "The k largest elements along the last axis, and their indices; TensorFlow TopKV2, ONNX TopK",
    .outputs = 2,
    .infer = infer,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (!b.needs(0) || !b.dy(0).defined()) return;
          const GatherOptions one_of_each{.axis = -1, .batch_dims = -1};
          b.dx(0, scatter_add(zeros_like(b.input(0)), b.output(1), b.dy(0), one_of_each), b.arrived(0));
        },
    .reads = {.outputs = 0b10},
    .attrs = &internal::kAttrsType<TopKAttrs>};

}  // namespace

TopKResult top_k(Operand x, int64_t k) {
  const Tensor* input = &x.resolve();
  Outputs out = apply_all(top_k_op, {&input, 1}, TopKAttrs{k}, x.where());
  return {out[0], out[1]};
}

void register_top_k();
void register_top_k() { register_op(top_k_op); }

}  // namespace twofold
