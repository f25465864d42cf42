#include <twofold/kernels/matmul/matmul.h>

#include <algorithm>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/operand_pair.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>

namespace twofold {
namespace {

using Extent = std::optional<int64_t>;

/// The extent that two extents must share, if either is known.
Extent same_extent(InferContext& c, Extent a, Extent b) {
  if (a && b && *a != *b)
    c.fail("Dimensions must be equal, but are " + std::to_string(*a) + " and " + std::to_string(*b));
  return a ? a : b;
}

Extent broadcast_extent(InferContext& c, Extent a, Extent b) {
  if (a == 1) return b;
  if (b == 1) return a;
  return same_extent(c, a, b);
}

void infer(InferContext& c) {
  const auto& attrs = c.attrs<MatMulAttrs>();
  const DType t = c.dtype(0);
  if (t != c.dtype(1))
    c.fail("Operands must have one dtype, but are " + std::string(name_of(t)) + " and " +
           std::string(name_of(c.dtype(1))));
  if (t == uint8 || t == bool_)
    c.fail("A product of " + std::string(name_of(t)) + " matrices is not supported",
           "tf::matmul(tf::cast(a, tf::int32), tf::cast(b, tf::int32))");
  const Shape &a = c.shape(0), &b = c.shape(1);
  for (const Shape* s : {&a, &b})
    if (s->has_rank() && s->rank() < 2)
      c.fail("Shape must be at least rank 2 but is rank " + std::to_string(s->rank()), "tf::expand_dims(x, 0)");
  if (!a.has_rank() || !b.has_rank()) return c.output(t, unknown_shape);

  const int ra = a.rank(), rb = b.rank(), rank = std::max(ra, rb);
  const Extent m = a.extent(ra - (attrs.transpose_a ? 1 : 2)), n = b.extent(rb - (attrs.transpose_b ? 2 : 1));
  same_extent(c, a.extent(ra - (attrs.transpose_a ? 2 : 1)), b.extent(rb - (attrs.transpose_b ? 1 : 2)));
  Shape out;
  for (int i = rank; i > 2; --i)
    out.push_back(broadcast_extent(c, i <= ra ? a.extent(ra - i) : 1, i <= rb ? b.extent(rb - i) : 1));
  out.push_back(m);
  out.push_back(n);
  c.output(t, out);
}

void infer_flatten_batch(InferContext& c) {
  const Shape &x = c.shape(0), &like = c.shape(1);
  const bool flatten = like.rank() == 2;
  if (!x.has_rank() || (!like.has_rank() && x.rank() > 2)) return c.output(c.dtype(0), unknown_shape);
  if (!flatten || x.rank() <= 2) return c.output(c.dtype(0), x);
  Shape batch, y = Shape::of_rank(2);
  for (int i = 0; i + 1 < x.rank(); ++i) batch.push_back(x.extent(i));
  y.set(0, batch.known_elements());
  y.set(1, x.extent(x.rank() - 1));
  c.output(c.dtype(0), y);
}

void flatten_batch_gradient(Backward& g) {
  if (g.needs(0)) g.dx(0, reshape_like(g.dy(), g.input(0)));
}

constinit OpDef flatten_batch_op{
    .key = OpKey::without_kernels("FlattenBatch"),
    .doc = "y = the matrices of x, one below another, where like is a single matrix; else x",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_flatten_batch,
    .differentiable = Differentiability::rule,
    .gradient = flatten_batch_gradient,
    .flags = {.alias = true},
    .shape_inputs = 2,
};

/// Whether every matrix of a batch a may have met the same b: the batch is one tall matrix then, and db = a^T dy needs
/// no sum over batches. An op decides where ranks are unknown, so that what is computed depends on values alone.
bool may_be_tall(const Shape& a, const Shape& b) {
  return (!a.has_rank() || a.rank() > 2) && (!b.has_rank() || b.rank() == 2);
}

void gradient(Backward& g) {
  const auto [ta, tb] = g.attrs<MatMulAttrs>().fields();
  Tensor dy = g.dy();
  if (g.needs(0)) {
    const Tensor& b = g.input(1);
    g.dx(0, ta ? matmul(b, dy, {.transpose_a = tb, .transpose_b = true})
               : matmul(dy, b, {.transpose_a = false, .transpose_b = !tb}));
  }
  if (!g.needs(1)) return;
  Tensor a = g.input(0);
  if (!ta && may_be_tall(a.shape(), g.input(1).shape())) {
    const auto flat = [&](const Tensor& t) {
      return apply(flatten_batch_op, {&t, &g.input(1)}, {}, std::source_location::current());
    };
    a = flat(a);
    dy = flat(dy);
  }
  g.dx(1, tb ? matmul(dy, a, {.transpose_a = true, .transpose_b = ta})
             : matmul(a, dy, {.transpose_a = !ta, .transpose_b = false}));
}

constinit OpDef matmul_op{
    .key = op_name::MatMul,
    .doc = "C[..., i, j] = sum_k A[..., i, k] B[..., k, j] (TensorFlow MatMul, BatchMatMulV2)",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer,
    .differentiable = Differentiability::rule,
    .gradient = gradient,
    .reads = {.inputs = 0b11},
    .attrs = &internal::kAttrsType<MatMulAttrs>,
};

}  // namespace

Tensor matmul(Operand a, Operand b, MatMulOptions options) {
  const OperandPair pair(a, b, "MatMul");
  return apply(matmul_op, {pair.a, pair.b}, MatMulAttrs{options.transpose_a, options.transpose_b}, a.where());
}

void register_matmul() {
  register_op(matmul_op);
  register_op(flatten_batch_op);
}

}  // namespace twofold
