#include <twofold/kernels/cumsum/cumsum.h>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

void infer(InferContext& c) {
  if (c.dtype(0) == bool_) c.fail("Expected a tensor of numbers, got bool", "tf::cumsum(tf::cast(x, tf::int32))");
  if (c.shape(0).has_rank()) c.axis(c.attrs<CumsumAttrs>().axis, c.shape(0).rank());
  c.output(c.dtype(0), c.shape(0));
}

constinit OpDef cumsum_op{.key = op_name::Cumsum,
                          .doc = "y = sums of x along axis, each up to its element; TensorFlow Cumsum, ONNX CumSum",
                          .infer = infer,
                          .differentiable = Differentiability::rule,
                          .gradient =
                              [](Backward& b) {
                                const auto& a = b.attrs<CumsumAttrs>();
                                if (b.needs(0))
                                  b.dx(0, cumsum(b.dy(), a.axis, {.exclusive = a.exclusive, .reverse = !a.reverse}));
                              },
                          .attrs = &internal::kAttrsType<CumsumAttrs>};

}  // namespace

Tensor cumsum(Operand x, int64_t axis, CumsumOptions o) {
  return apply(cumsum_op, {&x.resolve()}, CumsumAttrs{axis, o.exclusive, o.reverse}, x.where());
}

void register_cumsum();
void register_cumsum() { register_op(cumsum_op); }

}  // namespace twofold
