#include <twofold/kernels/layout/layout.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <twofold/kernels/layout/shapes.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

using std::source_location;

extern OpDef transpose_op, concat_part_op;

// Gradients. Where a shape is known the rules use it, elsewhere the *_like ops do, so that there are gradients with
// unknown extents, too; the user functions make that choice.

void reshape_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, reshape_like(b.dy(), b.input(0)));
}

void identity_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, b.dy());
}

void transpose_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const Axes& permutation = b.attrs<AxesAttrs>().axes;
  const int rank = permutation.size();
  std::vector<int64_t> inverse(static_cast<size_t>(rank));
  for (int i = 0; i < rank; ++i)
    inverse[static_cast<size_t>(permutation[i] < 0 ? permutation[i] + rank : permutation[i])] = i;
  b.dx(0, transpose(b.dy(), Axes(inverse)));
}

void broadcast_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, sum_to_like(b.dy(), b.input(0)));
}

void slice_gradient(Backward& b) {
  if (b.needs(0)) b.dx_slice(0, b.dy(), {b.attrs<SliceAttrs>().begin, {}});
}

void pad_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, internal::slice_like(b.dy(), b.input(0), b.attrs<PadAttrs>().begin));
}

/// The part of `t` that came from inputs[part] when `inputs` were concatenated.
Tensor concat_part(const Tensor& t, std::span<const Tensor> inputs, int64_t axis, int part) {
  const int rank = inputs[static_cast<size_t>(part)].rank();
  const auto extent = [&](int i) {
    const Shape& s = inputs[static_cast<size_t>(i)].shape();
    return s.has_rank() ? s.extent(static_cast<int>(axis < 0 ? axis + s.rank() : axis)) : std::nullopt;
  };
  bool known = rank >= 0;
  int64_t offset = 0;
  for (int i = 0; known && i < part; ++i) {
    known = extent(i).has_value();
    offset += extent(i).value_or(0);
  }
  if (known && extent(part)) {
    Axes begin, size;
    for (int i = 0; i < rank; ++i) {
      const bool along = i == (axis < 0 ? axis + rank : axis);
      begin.push_back(along ? offset : 0);
      size.push_back(along ? *extent(part) : -1);
    }
    return slice(t, begin, size);
  }
  std::vector<const Tensor*> all{&t};
  for (const Tensor& x : inputs) all.push_back(&x);
  return apply(concat_part_op, all, ConcatPartAttrs{axis, part}, source_location::current());
}

std::vector<Tensor> inputs_of(const Backward& b, int first) {
  std::vector<Tensor> inputs;
  for (int i = first; i < b.num_inputs(); ++i) inputs.push_back(b.input(i));
  return inputs;
}

void concat_gradient(Backward& b) {
  const std::vector<Tensor> inputs = inputs_of(b, 0);
  for (int i = 0; i < b.num_inputs(); ++i)
    if (b.needs(i)) b.dx(i, concat_part(b.dy(), inputs, b.attrs<ConcatAttrs>().axis, i));
}

void concat_part_gradient(Backward& b) {
  if (!b.needs(0)) return;
  const auto& attrs = b.attrs<ConcatPartAttrs>();
  std::vector<Tensor> parts = inputs_of(b, 1);
  for (size_t i = 0; i < parts.size(); ++i)
    parts[i] = static_cast<int64_t>(i) == attrs.part ? b.dy() : zeros_like(parts[i]);
  b.dx(0, concat(std::span<const Tensor>(parts), attrs.axis));
}

// Ops.

constexpr auto kRule = Differentiability::rule;
constexpr auto kNone = Differentiability::none;
constexpr const AttrsType* kShapeAttrs = &internal::kAttrsType<ShapeAttrs>;
constexpr const AttrsType* kAxesAttrs = &internal::kAttrsType<AxesAttrs>;

constinit OpDef reshape_op{
    .key = OpKey::without_kernels("Reshape"),
    .doc = "y = x's elements in row-major order under another shape; TensorFlow and ONNX Reshape",
    .max_inputs = 2,
    .infer = layout::infer_reshape,
    .differentiable = kRule,
    .gradient = reshape_gradient,
    .flags = {.alias = true},
    .attrs = kShapeAttrs,
    .host_inputs = 2};
constinit OpDef reshape_like_op{.key = OpKey::without_kernels("ReshapeLike"),
                                .doc = "y = x's elements in row-major order under like's shape",
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .infer = layout::infer_reshape_like,
                                .differentiable = kRule,
                                .gradient = reshape_gradient,
                                .flags = {.alias = true},
                                .shape_inputs = 2};
constinit OpDef expand_dims_op{.key = OpKey::without_kernels("ExpandDims"),
                               .doc = "y = x with axes of extent 1 inserted; TensorFlow ExpandDims, ONNX Unsqueeze",
                               .infer = layout::infer_expand_dims,
                               .differentiable = kRule,
                               .gradient = reshape_gradient,
                               .flags = {.alias = true},
                               .attrs = kAxesAttrs};
constinit OpDef squeeze_op{.key = OpKey::without_kernels("Squeeze"),
                           .doc = "y = x without axes of extent 1; TensorFlow and ONNX Squeeze",
                           .infer = layout::infer_squeeze,
                           .differentiable = kRule,
                           .gradient = reshape_gradient,
                           .flags = {.alias = true},
                           .attrs = kAxesAttrs};
constinit OpDef identity_op{.key = OpKey::without_kernels("Identity"),
                            .doc = "y = x; TensorFlow and ONNX Identity",
                            .infer = layout::infer_same,
                            .differentiable = kRule,
                            .gradient = identity_gradient,
                            .flags = {.alias = true, .lists = true}};
constinit OpDef stop_gradient_op{.key = OpKey::without_kernels("StopGradient"),
                                 .doc = "y = x, through which no gradient flows; TensorFlow StopGradient",
                                 .infer = layout::infer_same,
                                 .differentiable = kNone,
                                 .flags = {.alias = true}};
constinit OpDef transpose_op{.key = op_name::Transpose,
                             .node_name = "transpose",
                             .doc = "axis i of y is axis permutation[i] of x; TensorFlow and ONNX Transpose",
                             .infer = layout::infer_transpose,
                             .differentiable = kRule,
                             .gradient = transpose_gradient,
                             .attrs = kAxesAttrs};
constinit OpDef broadcast_to_op{
    .key = op_name::BroadcastTo,
    .doc = "y = x repeated along axes of extent 1 up to shape; TensorFlow BroadcastTo, ONNX Expand",
    .max_inputs = 2,
    .infer = layout::infer_broadcast_to,
    .differentiable = kRule,
    .gradient = broadcast_gradient,
    .attrs = kShapeAttrs,
    .host_inputs = 2};
constinit OpDef broadcast_like_op{.key = op_name::BroadcastLike,
                                  .doc = "y = x repeated along axes of extent 1 up to like's shape",
                                  .min_inputs = 2,
                                  .max_inputs = 2,
                                  .infer = layout::infer_broadcast_like,
                                  .differentiable = kRule,
                                  .gradient = broadcast_gradient,
                                  .shape_inputs = 2};
constinit OpDef concat_op{.key = op_name::ConcatV2,
                          .node_name = "concat",
                          .doc = "y = the inputs one after another along axis; TensorFlow ConcatV2, ONNX Concat",
                          .max_inputs = -1,
                          .infer = layout::infer_concat,
                          .differentiable = kRule,
                          .gradient = concat_gradient,
                          .attrs = &internal::kAttrsType<ConcatAttrs>,
                          .known = layout::known_concat};
constinit OpDef concat_part_op{
    .key = op_name::ConcatPart,
    .doc = "y = the part of input 0 that input 1 + part made when inputs 1... were concatenated",
    .min_inputs = 2,
    .max_inputs = -1,
    .infer = layout::infer_concat_part,
    .differentiable = kRule,
    .gradient = concat_part_gradient,
    .attrs = &internal::kAttrsType<ConcatPartAttrs>,
    .shape_inputs = ~1u};
// A slice is contiguous if it has one index of each axis before the last one that it cuts.
int64_t slice_view(AttrsView attrs, const Shape& x, const Shape& y) {
  const Axes& begin = attrs.as<SliceAttrs>().begin;
  int64_t start = 0, stride = 1;
  bool cut = false;
  for (int i = x.rank() - 1; i >= 0; --i) {
    if (y[i] == 0 || (cut && y[i] != 1)) return -1;
    cut = cut || y[i] != x[i];
    start += layout::begin_of(begin, i, x[i]) * stride;
    stride *= x[i];
  }
  return start;
}
}  // namespace

constinit OpDef slice_op{.key = op_name::Slice,
                         .doc = "y = x[begin : begin + size] on every axis; TensorFlow and ONNX Slice",
                         .max_inputs = 2,
                         .infer = layout::infer_slice,
                         .differentiable = kRule,
                         .gradient = slice_gradient,
                         .attrs = &internal::kAttrsType<SliceAttrs>,
                         .view = slice_view,
                         .shape_inputs = 2,
                         .known = layout::known_slice};

namespace {

constinit OpDef pad_like_op{.key = op_name::PadLike,
                            .doc = "y = zeros with x from begin on; adjoint of Slice",
                            .max_inputs = 2,
                            .infer = layout::infer_pad,
                            .differentiable = kRule,
                            .gradient = pad_gradient,
                            .attrs = &internal::kAttrsType<PadAttrs>,
                            .shape_inputs = 2};
constinit OpDef zeros_like_op{.key = op_name::ZerosLike,
                              .node_name = "zeros_like",
                              .doc = "y = zeros of x's shape and dtype; TensorFlow ZerosLike",
                              .infer = layout::infer_same,
                              .differentiable = kNone,
                              .shape_inputs = 1};
constinit OpDef ones_like_op{.key = op_name::OnesLike,
                             .node_name = "ones_like",
                             .doc = "y = ones of x's shape and dtype; TensorFlow OnesLike",
                             .infer = layout::infer_same,
                             .differentiable = kNone,
                             .shape_inputs = 1};

/// The most inputs of one concat whose extents are not all known: its gradient marks each as a shape in `shape_inputs`.
constexpr size_t kMaxUnknownParts = 31;

Tensor concat_all(std::span<const Tensor> tensors, int64_t axis, source_location where) {
  bool known = true;
  for (const Tensor& t : tensors) known = known && t.shape().is_known();
  std::vector<Tensor> groups;
  if (!known && tensors.size() > kMaxUnknownParts) {
    for (size_t i = 0; i < tensors.size(); i += kMaxUnknownParts)
      groups.push_back(concat_all(tensors.subspan(i, std::min(kMaxUnknownParts, tensors.size() - i)), axis, where));
    return concat_all(groups, axis, where);
  }
  std::vector<const Tensor*> inputs;
  for (const Tensor& t : tensors) inputs.push_back(&t);
  return apply(concat_op, inputs, ConcatAttrs{axis}, where);
}

[[noreturn]] void fail_empty_concat(source_location where) {
  fail_at(where, "ConcatV2", Code::InvalidArgument, "concat needs at least one tensor");
}

// By attributes where the extents are numbers, else by a shape operand.
Tensor shaped(const OpDef& op, const Operand& x, const Extents& extents) {
  if (const auto known = extents.shape()) return apply(op, {&x.resolve()}, ShapeAttrs{*known}, x.where());
  const SourceScope source_scope(x.where());
  const Tensor operand = extents.tensor();
  return apply(op, {&x.resolve(), &operand}, ShapeAttrs{}, x.where());
}
}  // namespace

Tensor reshape(Operand x, const Extents& shape) { return shaped(reshape_op, x, shape); }
Tensor reshape_like(Operand x, Operand like) {
  const Tensor &from = x.resolve(), &to = like.resolve();
  check_input(reshape_like_op.name, 1, to, x.where());
  if (!to.shape().is_known()) return apply(reshape_like_op, {&from, &to}, x.where());
  return apply(reshape_op, {&from}, ShapeAttrs{to.shape()}, x.where());
}
Tensor expand_dims(Operand x, Axes axes) { return apply(expand_dims_op, {&x.resolve()}, AxesAttrs{axes}, x.where()); }
Tensor squeeze(Operand x, Axes axes) { return apply(squeeze_op, {&x.resolve()}, AxesAttrs{axes}, x.where()); }
Tensor identity(Operand x) { return apply(identity_op, {&x.resolve()}, x.where()); }
Tensor stop_gradient(Operand x) { return apply(stop_gradient_op, {&x.resolve()}, x.where()); }
Tensor transpose(Operand x, Axes permutation) {
  return apply(transpose_op, {&x.resolve()}, AxesAttrs{permutation}, x.where());
}

Tensor broadcast_to(Operand x, const Extents& shape) { return shaped(broadcast_to_op, x, shape); }
Tensor broadcast_like(Operand x, Operand like) {
  const Tensor &from = x.resolve(), &to = like.resolve();
  check_input(broadcast_like_op.name, 0, from, x.where());
  check_input(broadcast_like_op.name, 1, to, x.where());
  if (!to.shape().is_known()) return apply(broadcast_like_op, {&from, &to}, x.where());
  // Its gradient, too, is a tensor of its own.
  if (from.shape() == to.shape()) return apply(reshape_op, {&from}, ShapeAttrs{to.shape()}, x.where());
  return apply(broadcast_to_op, {&from}, ShapeAttrs{to.shape()}, x.where());
}

Tensor concat(std::span<const Tensor> tensors, int64_t axis, source_location where) {
  if (tensors.empty()) fail_empty_concat(where);
  for (size_t i = 0; i < tensors.size(); ++i) check_input(concat_op.name, i, tensors[i], where);
  DType dtype = tensors[0].dtype();
  bool same = true;
  for (const Tensor& t : tensors) {
    same = same && t.dtype() == dtype;
    dtype = promote(dtype, t.dtype());
  }
  if (same) return concat_all(tensors, axis, where);
  std::vector<Tensor> promoted;
  for (const Tensor& t : tensors) promoted.push_back(t.dtype() == dtype ? t : cast(Operand(t, where), dtype));
  return concat_all(promoted, axis, where);
}

Tensor concat(std::initializer_list<Operand> tensors, int64_t axis, source_location where) {
  if (tensors.size() == 0) fail_empty_concat(where);
  const SourceScope source_scope(where);
  return concat(resolve_all(tensors, concat_op.name), axis, where);
}

Tensor layout::slice(const Tensor& x, const SliceAttrs& attrs, source_location where) {
  return apply(slice_op, {&x}, attrs, where);
}
Tensor index(Operand x, int64_t i) {
  const Tensor& t = x.resolve();
  check_input(slice_op.name, 0, t, x.where());
  const SourceScope source_scope(x.where());
  const Tensor checked =
      t.is_concrete() && t.rank() > 0 && i >= -t.shape()[0] && i < t.shape()[0]
          ? t
          : internal::shape_checked({&t}, {.what = ShapeCheck::index, .words = "", .numbers = {i}}, x.where());
  // An element of a value that is a vector of integers, such as a shape, is a view, made without an op: no gradient
  // flows to it.
  if (t.is_concrete() && is_integer(t.dtype()) && t.rank() == 1)
    return Tensor::adopt(Value::view(Ref<Value>(t.value()), Shape{},
                                     (i < 0 ? i + t.shape()[0] : i) * static_cast<int64_t>(size_of(t.dtype())))
                             .detach());
  return squeeze(slice(checked, i, 1), 0);
}
Tensor Tensor::operator[](Index i) const { return index(Operand(*this, i.where), i.value); }
Tensor internal::slice_like(const Tensor& x, const Tensor& like, const Axes& begin) {
  const auto here = source_location::current();
  if (!like.shape().is_known()) return apply(slice_op, {&x, &like}, SliceAttrs{begin, {}}, here);
  Axes from = begin, size;
  for (int i = 0; i < like.rank(); ++i) {
    size.push_back(like.shape()[i]);
    if (i >= begin.size()) from.push_back(0);
  }
  return slice(x, from, size);
}
Tensor pad_like(Operand x, Operand like, Axes begin) {
  const Tensor &from = x.resolve(), &to = like.resolve();
  check_input(pad_like_op.name, 1, to, x.where());
  const Shape& shape = to.shape();
  if (!shape.is_known()) return apply(pad_like_op, {&from, &to}, PadAttrs{begin, {}}, x.where());
  return apply(pad_like_op, {&from}, PadAttrs{begin, shape}, x.where());
}

Tensor zeros_like(Operand x) { return apply(zeros_like_op, {&x.resolve()}, x.where()); }
Tensor ones_like(Operand x) { return apply(ones_like_op, {&x.resolve()}, x.where()); }

void register_layout();
void register_layout() {
  layout::register_extents();
  layout::register_transfer();
  for (OpDef* op : {&reshape_op, &reshape_like_op, &expand_dims_op, &squeeze_op, &identity_op, &stop_gradient_op,
                    &transpose_op, &broadcast_to_op, &broadcast_like_op, &concat_op, &concat_part_op, &slice_op,
                    &pad_like_op, &zeros_like_op, &ones_like_op})
    register_op(*op);
}

}  // namespace twofold
