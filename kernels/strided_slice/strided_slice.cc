#include <twofold/kernels/strided_slice/strided_slice.h>

#include <fmt/format.h>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

/// The shape of what is taken of `x`.
Shape taken_shape(const InferContext& c, const Shape& x) {
  const auto& attrs = c.attrs<StridedSliceAttrs>();
  const int n = attrs.begin.size();
  if (attrs.end.size() != n || attrs.strides.size() != n)
    c.fail(fmt::format("Expected begin, end and strides of one length, got {}, {} and {}", n, attrs.end.size(),
                       attrs.strides.size()));
  for (int i = 0; i < n; ++i)
    if (attrs.strides[i] == 0) c.fail(fmt::format("strides[{}] must be non-zero", i));
  if (!x.has_rank()) return unknown_shape;
  if (n > x.rank()) c.fail(fmt::format("Cannot slice {} axes of a tensor of rank {}", n, x.rank()));
  Shape y;
  for (int i = 0; i < x.rank(); ++i) {
    if (x.knows(i))
      y.push_back(StridedRange(attrs, i, x[i]).count);
    else
      y.push_back(-1);
  }
  return y;
}

void infer_strided_slice(InferContext& c) { c.output(c.dtype(0), taken_shape(c, c.shape(0))); }

void infer_reverse(InferContext& c) {
  const Shape& x = c.shape(0);
  uint32_t seen = 0;
  if (x.has_rank())
    for (const int64_t given : c.attrs<ReverseAttrs>().axes) {
      const uint32_t bit = 1u << c.axis(given, x.rank());
      if (seen & bit) c.fail(fmt::format("axis {} specified more than once", given));
      seen |= bit;
    }
  c.output(c.dtype(0), x);
}

// A slice is contiguous if it has one index of each axis before the last one that it cuts, in steps of 1.
int64_t strided_slice_view(AttrsView attrs, const Shape& x, const Shape& y) {
  int64_t start = 0, stride = 1;
  bool cut = false;
  for (int i = x.rank() - 1; i >= 0; --i) {
    const StridedRange range(attrs.as<StridedSliceAttrs>(), i, x[i]);
    if (y[i] == 0 || (y[i] != 1 && (cut || range.step != 1))) return -1;
    cut = cut || y[i] != x[i];
    start += range.first * stride;
    stride *= x[i];
  }
  return start;
}

constinit OpDef strided_slice_op{
    .key = op_name::StridedSlice,
    .doc = "y = x[begin : end : strides] on every axis; TensorFlow StridedSlice, ONNX Slice",
    .infer = infer_strided_slice,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          const auto& attrs = b.attrs<StridedSliceAttrs>();
          if (b.needs(0)) b.dx_slice(0, b.dy(), {attrs.begin, attrs.strides});
        },
    .attrs = &internal::kAttrsType<StridedSliceAttrs>,
    .view = strided_slice_view};
constinit OpDef reverse_op{.key = op_name::ReverseV2,
                           .doc = "y = x with the order along axes turned around; TensorFlow ReverseV2",
                           .infer = infer_reverse,
                           .differentiable = Differentiability::rule,
                           .gradient =
                               [](Backward& b) {
                                 if (b.needs(0)) b.dx(0, reverse(b.dy(), b.attrs<ReverseAttrs>().axes));
                               },
                           .attrs = &internal::kAttrsType<ReverseAttrs>};

}  // namespace

Tensor strided_slice(Operand x, Axes begin, Axes end, Axes strides) {
  for (int i = strides.empty() ? 0 : begin.size(); i < begin.size(); ++i) strides.push_back(1);
  return apply(strided_slice_op, {&x.resolve()}, StridedSliceAttrs{begin, end, strides}, x.where());
}

Tensor reverse(Operand x, Axes axes) { return apply(reverse_op, {&x.resolve()}, ReverseAttrs{axes}, x.where()); }

void register_strided_slice();
void register_strided_slice() {
  for (OpDef* op : {&strided_slice_op, &reverse_op}) register_op(*op);
}

}  // namespace twofold
