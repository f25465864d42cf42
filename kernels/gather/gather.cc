#include <twofold/kernels/gather/gather.h>

#include <fmt/format.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

/// The shape of what is taken of `params`.
Shape taken_shape(InferContext& c, const Shape& params, const Shape& indices) {
  const auto& attrs = c.attrs<GatherAttrs>();
  if (!is_integer(c.dtype(1)) || c.dtype(1) == uint8)
    c.fail(fmt::format("Indices must be int32 or int64, not {}", name_of(c.dtype(1))), "tf::cast(indices, tf::int32)");
  if (!params.has_rank() || (attrs.batch_dims < 0 && !indices.has_rank())) return unknown_shape;
  const int axis = c.axis(attrs.axis, params.rank());
  const auto batch = static_cast<int>(attrs.batch_dims < 0 ? attrs.batch_dims + indices.rank() : attrs.batch_dims);
  if (batch < 0)
    c.fail(fmt::format("batch_dims {} is beyond the rank of indices, {}", attrs.batch_dims, indices.rank()));
  if (batch > axis) c.fail(fmt::format("batch_dims {} is beyond axis {}", batch, axis));
  if (!indices.has_rank()) return unknown_shape;
  if (batch > indices.rank())
    c.fail(fmt::format("batch_dims {} is beyond the rank of indices, {}", batch, indices.rank()));
  Shape y;
  for (int i = 0; i < batch; ++i) {
    if (params.knows(i) && indices.knows(i) && params[i] != indices[i])
      c.fail(fmt::format("Batch axis {} has extents {} and {}", i, params[i], indices[i]));
    y.push_back(params.knows(i) ? params.extent(i) : indices.extent(i));
  }
  for (int i = batch; i < axis; ++i) y.push_back(params.extent(i));
  for (int i = batch; i < indices.rank(); ++i) y.push_back(indices.extent(i));
  for (int i = axis + 1; i < params.rank(); ++i) y.push_back(params.extent(i));
  return y;
}

void infer_gather(InferContext& c) { c.output(c.dtype(0), taken_shape(c, c.shape(0), c.shape(1))); }

void infer_scatter(InferContext& c) {
  if (c.dtype(0) == bool_) c.fail("Expected numbers to add, got bool", "tf::cast(updates, tf::int32)");
  if (c.dtype(0) != c.dtype(2))
    c.fail(fmt::format("Updates of dtype {} cannot be added to dtype {}", name_of(c.dtype(0)), name_of(c.dtype(2))),
           "tf::cast(updates, base.dtype())");
  const Shape taken = taken_shape(c, c.shape(2), c.shape(1));
  if (!c.shape(0).compatible_with(taken))
    c.fail(fmt::format("Updates must have the shape {} but have {}", taken.str(), c.shape(0).str()));
  c.output(c.dtype(0), c.shape(2));
}

extern OpDef gather_op, scatter_op;

Tensor taken(const Tensor& params, const Tensor& indices, const GatherAttrs& attrs) {
  return apply(gather_op, {&params, &indices}, attrs, std::source_location::current());
}
/// Zeros of like's shape with `updates` added.
Tensor scattered(const Tensor& updates, const Tensor& indices, const Tensor& like, const GatherAttrs& attrs) {
  return apply(scatter_op, {&updates, &indices, &like}, attrs, std::source_location::current());
}

constinit OpDef gather_op{.key = op_name::Gather,
                          .node_name = "GatherV2",
                          .doc = "y = slices of params along axis, by index; TensorFlow GatherV2, ONNX Gather",
                          .min_inputs = 2,
                          .max_inputs = 2,
                          .infer = infer_gather,
                          .differentiable = Differentiability::rule,
                          .gradient =
                              [](Backward& b) {
                                if (!b.needs(0)) return;
                                const auto& attrs = b.attrs<GatherAttrs>();
                                if (attrs.axis == 0 && attrs.batch_dims == 0)
                                  b.dx_rows(0, b.dy(), b.input(1));
                                else
                                  b.dx(0, scattered(b.dy(), b.input(1), b.input(0), attrs));
                              },
                          .reads = {.inputs = 0b10},
                          .flags = {.can_fail = true},
                          .attrs = &internal::kAttrsType<GatherAttrs>};
constinit OpDef scatter_op{.key = op_name::ScatterAdd,
                           .doc = "y = zeros of like's shape with updates added by index; adjoint of Gather",
                           .min_inputs = 3,
                           .max_inputs = 3,
                           .infer = infer_scatter,
                           .differentiable = Differentiability::rule,
                           .gradient =
                               [](Backward& b) {
                                 if (b.needs(0)) b.dx(0, taken(b.dy(), b.input(1), b.attrs<GatherAttrs>()));
                               },
                           .reads = {.inputs = 0b10},
                           .flags = {.can_fail = true},
                           .attrs = &internal::kAttrsType<GatherAttrs>,
                           .shape_inputs = 0b100};

void infer_check(InferContext& c) {
  if (c.shape(1).has_rank() && c.shape(1).rank() == 0) c.fail("A scalar has no axis to index");
  c.output(c.dtype(0), c.shape(0));
}

constinit OpDef check_indices_op{.key = op_name::CheckIndices,
                                 .doc = "y = indices, which all index the first axis of a tensor",
                                 .min_inputs = 2,
                                 .max_inputs = 2,
                                 .infer = infer_check,
                                 .differentiable = Differentiability::none,
                                 .flags = {.can_fail = true},
                                 .shape_inputs = 0b10};

}  // namespace

Tensor gather(Operand params, Operand indices, GatherOptions o) {
  const SourceScope source_scope(params.where());
  return taken(params.resolve(), indices.resolve(), {o.axis, o.batch_dims});
}

Tensor scatter_add(Operand base, Operand indices, Operand updates, GatherOptions o) {
  const SourceScope source_scope(base.where());
  const Tensor& to = base.resolve();
  check_input(scatter_op.name, 2, to, base.where());
  return to + scattered(updates.resolve(to.dtype()), indices.resolve(), to, {o.axis, o.batch_dims});
}

Tensor internal::checked_indices(const Tensor& indices, const Tensor& params) {
  return apply(check_indices_op, {&indices, &params}, {}, std::source_location::current());
}

Tensor internal::scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& like) {
  return scattered(rows, indices, like, {});
}

Tensor embedding(Operand table, Operand indices) {
  const SourceScope source_scope(table.where());
  const Tensor& rows = table.resolve();
  check_input("embedding", 0, rows, table.where());
  return gather(internal::shape_checked({&rows},
                                        {.words = "embedding() takes a table (rows, columns), not a tensor of shape {}",
                                         .wanted = {Shape::of_rank(2)}},
                                        table.where()),
                indices);
}

void register_gather();
void register_gather() {
  register_op(gather_op);
  register_op(scatter_op);
  register_op(check_indices_op);
}

}  // namespace twofold
