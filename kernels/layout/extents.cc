// Extents as tensors: the shape of an operand; ops whose extents, or places along axes, are operands, and what they
// become once a run knows them.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/shapes.h>
#include <twofold/kernels/sum_slices/sum_slices.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

using std::source_location;

extern OpDef slice_at_op, pad_at_op;

void infer_extents(InferContext& c) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (c.dtype(i) != int32 && c.dtype(i) != int64)
      c.fail("An extent must be int32 or int64, not " + std::string(name_of(c.dtype(i))));
    if (c.shape(i).has_rank() && c.shape(i).rank() != 0)
      c.fail("An extent is one number, not a tensor of shape " + c.shape(i).brackets());
  }
  c.output(int64, Shape{c.attrs<ExtentsAttrs>().numbers.size()});
}

void infer_ensure_shape(InferContext& c) {
  const Shape &x = c.shape(0), &wanted = c.attrs<ShapeAttrs>().shape;
  if (!x.compatible_with(wanted)) c.fail("Shape " + x.str() + " is not compatible with expected shape " + wanted.str());
  c.output(c.dtype(0), x.merged_with(wanted));
}

/// Integers of operand `i`, one for each axis of x; unknown ones where nothing is known.
PartialValues places(const InferContext& c, int i, int rank) {
  if (c.dtype(i) != int32 && c.dtype(i) != int64)
    c.fail("Places along axes must be int32 or int64, not " + std::string(name_of(c.dtype(i))));
  if (c.shape(i).has_rank() && c.shape(i).rank() != 1)
    c.fail("Places along axes must be a vector, not a tensor of shape " + c.shape(i).brackets());
  const auto values = c.known_values(i);
  return values ? *values : PartialValues(static_cast<size_t>(rank));
}

void infer_slice_at(InferContext& c) {
  const Shape& x = c.shape(0);
  if (!x.has_rank()) return c.output(c.dtype(0), unknown_shape);
  const PartialValues begin = places(c, 1, x.rank()), size = places(c, 2, x.rank());
  c.output(c.dtype(0), layout::sliced_shape(c, x, begin, size));
}

void infer_pad_at(InferContext& c) {
  places(c, 2, 0);
  c.output(c.dtype(1), c.shape(0));
}

Axes axes_of(const Tensor& value) { return *Extents(value).known(); }

Tensor slice_at(const Tensor& x, const Tensor& begin, const Tensor& size) {
  return apply(slice_at_op, {&x, &begin, &size}, source_location::current());
}

}  // namespace

constinit OpDef shape_op{.key = op_name::Shape,
                         .doc = "y = x's extents, int32; TensorFlow and ONNX Shape",
                         .infer = layout::infer_shape,
                         .differentiable = Differentiability::none,
                         .flags = {.host_only = true},
                         .shape_inputs = 1,
                         .known = layout::known_shape};
constinit OpDef extents_op{.key = op_name::Extents,
                           .doc = "y = numbers, with the scalar inputs at their places: a shape, or places along axes",
                           .max_inputs = kMaxRank,
                           .infer = infer_extents,
                           .differentiable = Differentiability::none,
                           .flags = {.host_only = true},
                           .attrs = &internal::kAttrsType<ExtentsAttrs>,
                           .known = layout::known_extents};

namespace {

constinit OpDef ensure_shape_op{.key = OpKey::without_kernels("EnsureShape"),
                                .doc = "y = x, whose shape is compatible with shape; TensorFlow EnsureShape",
                                .infer = infer_ensure_shape,
                                .differentiable = Differentiability::rule,
                                .gradient =
                                    [](Backward& b) {
                                      if (b.needs(0)) b.dx(0, b.dy());
                                    },
                                .flags = {.alias = true},
                                .attrs = &internal::kAttrsType<ShapeAttrs>};
constinit OpDef slice_at_op{
    .key = OpKey::without_kernels("SliceAt"),
    .node_name = "Slice",
    .doc = "y = x[begin : begin + size] on every axis, begin and size being operands; TensorFlow Slice",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_slice_at,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx_slice_at(0, b.dy(), b.input(1));
        },
    .reads = {.inputs = 0b10},
    .host_inputs = 0b110,
    .specialise = [](AttrsView, std::span<const Tensor* const> in) -> Specialised {
      const SliceAttrs attrs{axes_of(*in[1]), axes_of(*in[2])};
      return {&slice_op, make_ref<AttrsBox>(AttrsView(attrs)), 1};
    }};
constinit OpDef pad_at_op{.key = OpKey::without_kernels("PadAt"),
                          .doc = "y = zeros of like's shape with x from begin on; adjoint of SliceAt",
                          .min_inputs = 3,
                          .max_inputs = 3,
                          .infer = infer_pad_at,
                          .differentiable = Differentiability::rule,
                          .gradient =
                              [](Backward& b) {
                                // Places may be given for the first axes only.
                                const Tensor &x = b.input(1), &begin = b.input(2);
                                const Extent axes = begin.shape().has_rank() && begin.shape().knows(0)
                                                        ? Extent(begin.dim(0))
                                                        : Extent(index(shape(begin), 0));
                                if (b.needs(1)) b.dx(1, slice_at(b.dy(), begin, slice(shape(x), {0}, {axes})));
                              },
                          .reads = {.inputs = 0b100},
                          .host_inputs = 0b100,
                          .specialise = [](AttrsView, std::span<const Tensor* const> in) -> Specialised {
                            const SumSlicesAttrs attrs{{axes_of(*in[2])}, {Axes()}};
                            return {&sum_slices_op, make_ref<AttrsBox>(AttrsView(attrs)), 2};
                          },
                          .shape_inputs = 0b1};

}  // namespace

// Of a value the shape is a value, made without an op: no gradient flows through it.
Tensor shape(Operand x) {
  const Tensor& t = x.resolve();
  check_input(shape_op.name, 0, t, x.where());
  if (t.is_symbolic()) return apply(shape_op, {&t}, x.where());
  const CurrentOp current(shape_op.name, x.where());
  const TensorSpec spec{t.dtype(), t.shape()};
  InferContext context(shape_op, {&spec, 1}, {}, {});
  layout::infer_shape(context);
  auto v = Value::make(int32, context.outputs()[0].shape);
  std::ranges::copy(spec.shape.raw(), static_cast<int32_t*>(v->data()));
  return Tensor::adopt(v.detach());
}

Tensor internal::pad_at(const Tensor& like, const Tensor& x, const Tensor& begin) {
  return apply(pad_at_op, {&like, &x, &begin}, source_location::current());
}

Tensor internal::pack_extents(std::span<const Tensor* const> inputs, const ExtentsAttrs& attrs, source_location where) {
  return apply(extents_op, inputs, attrs, where);
}

Tensor ensure_shape(Operand x, Shape shape) {
  return apply(ensure_shape_op, {&x.resolve()}, ShapeAttrs{shape}, x.where());
}

Tensor slice(Operand x, const Extents& begin, const Extents& size) {
  const Tensor& t = x.resolve();
  if (begin.known() && size.known()) return layout::slice(t, {*begin.known(), *size.known()}, x.where());
  const SourceScope source_scope(x.where());
  check_input(slice_at_op.name, 0, t, x.where());
  return slice_at(t, begin.tensor(), size.tensor());
}

std::vector<Extent> Extents::list() const {
  std::vector<Extent> all;
  if (operand_.defined()) {
    const Shape& s = operand_.shape();
    if (!s.is_known())
      fail_at(where_, "", Code::InvalidArgument, fmt::format("The length of {} is unknown", to_string(operand_)),
              "{t[0], t[1]}");
    for (int64_t i = 0; i < s[0]; ++i) all.emplace_back(index(operand_, i), where_);
    return all;
  }
  for (int64_t n : numbers_) all.emplace_back(n, where_);
  for (const auto& [place, t] : symbols_) all[static_cast<size_t>(place)] = Extent(t, where_);
  return all;
}

Tensor Extents::tensor() const {
  if (operand_.defined()) return operand_;
  if (known()) {
    auto v = Value::make(int64, Shape{numbers_.size()});
    std::ranges::copy(numbers_, static_cast<int64_t*>(v->data()));
    return Tensor::adopt(v.detach());
  }
  std::vector<const Tensor*> inputs;
  Axes places;
  for (const auto& [place, t] : symbols_) {
    inputs.push_back(&t);
    places.push_back(place);
  }
  return internal::pack_extents(inputs, {numbers_, places}, where_);
}

void layout::register_extents() {
  for (OpDef* op : {&shape_op, &extents_op, &ensure_shape_op, &slice_at_op, &pad_at_op}) register_op(*op);
}

}  // namespace twofold
