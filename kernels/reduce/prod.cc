// Products, and their gradients of every order.
//
// A product's derivatives are products of the elements left over: with S_r = the sum, over all choices of r + 1
// distinct elements, of e[i_0] d_1[i_1] ... d_r[i_r] times the product of the others, the gradient of <e, ProdGrad(x,
// d_1 ... d_r)> = S_r by d_s is ProdGrad with e in the place of d_s, and by x it is ProdGrad with e added to the list.
// So one op gives all of them, without a division that a zero would spoil.
#include <fmt/format.h>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/reduce/reduced.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

extern OpDef prod_grad_op;

Tensor prod_grad(std::span<const Tensor> x_and_directions, const Axes& axes) {
  std::vector<const Tensor*> inputs;
  for (const Tensor& t : x_and_directions) inputs.push_back(&t);
  return apply(prod_grad_op, inputs, AxesAttrs{axes}, std::source_location::current());
}

void infer_prod(InferContext& c) {
  reduced::refuse_bool(c, "prod");
  c.output(c.dtype(0), reduced::shape_of_result(c));
}

void infer_prod_grad(InferContext& c) {
  if (c.num_inputs() - 1 > internal::kMostProdDirections)
    c.fail(fmt::format("A product has no gradient of order {}", c.num_inputs()));
  Shape y = c.shape(0);
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!is_floating(c.dtype(i)) || c.dtype(i) != c.dtype(0) || !c.shape(i).compatible_with(y))
      c.fail("Expected floating-point tensors of one dtype and shape");
    if (!y.has_rank()) y = c.shape(i);
  }
  if (y.has_rank()) reduced::axes_of(c, c.attrs<AxesAttrs>().axes, y.rank());
  c.output(c.dtype(0), y);
}

void prod_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const auto& attrs = b.attrs<ReduceAttrs>();
  const Tensor& x = b.input(0);
  b.dx(0, prod_grad({&x, 1}, attrs.axes) * reduced::with_axes(b.dy(), attrs, x));
}

void prod_grad_gradient(Backward& b) {
  std::vector<Tensor> all;
  for (int i = 0; i < b.num_inputs(); ++i) all.push_back(b.input(i));
  for (int i = 0; i < b.num_inputs(); ++i) {
    if (!b.needs(i)) continue;
    std::vector<Tensor> of = all;
    i == 0 ? of.push_back(b.dy()) : void(of[static_cast<size_t>(i)] = b.dy());
    b.dx(i, prod_grad(of, b.attrs<AxesAttrs>().axes));
  }
}

std::optional<PartialValues> known_prod(const KnownContext& c) {
  const auto factors = c.values(0);
  if (!factors || c.result().shape.rank() != 0) return {};
  int64_t product = 1;
  for (const auto& v : *factors)
    if (!v || __builtin_mul_overflow(product, *v, &product)) return PartialValues{std::nullopt};
  return PartialValues{product};
}

constinit OpDef prod_op{.key = op_name::Prod,
                        .doc = "y = product of x over axes; TensorFlow Prod, ONNX ReduceProd",
                        .infer = infer_prod,
                        .differentiable = Differentiability::rule,
                        .gradient = prod_gradient,
                        .reads = {.inputs = 1},
                        .attrs = &internal::kAttrsType<ReduceAttrs>,
                        .known = known_prod};
constinit OpDef prod_grad_op{
    .key = op_name::ProdGrad,
    .doc = "y = for each element of x, the derivative along the directions of the product of the others",
    .max_inputs = -1,
    .infer = infer_prod_grad,
    .differentiable = Differentiability::rule,
    .gradient = prod_grad_gradient,
    .reads = {.inputs = ~0u},
    .attrs = &internal::kAttrsType<AxesAttrs>};

}  // namespace

Tensor prod(Operand x, Axes axes, ReduceOptions options) {
  return apply(prod_op, {&x.resolve()}, ReduceAttrs{axes, options.keepdims}, x.where());
}

namespace reduced {
void register_prod() {
  register_op(prod_op);
  register_op(prod_grad_op);
}
}  // namespace reduced

}  // namespace twofold
