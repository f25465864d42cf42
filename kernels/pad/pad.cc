#include <twofold/kernels/pad/pad.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/lib/autodiff/backward.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

void infer_pad(InferContext& c) {
  const auto& attrs = c.attrs<PadConstantAttrs>();
  const Shape& x = c.shape(0);
  if (x.has_rank() && x.rank() != attrs.before.size())
    c.fail(fmt::format("A tensor of rank {} was given {} paddings", x.rank(), attrs.before.size()));
  Shape y;
  for (int i = 0; i < attrs.before.size(); ++i) {
    if (attrs.before[i] < 0 || attrs.after[i] < 0)
      c.fail(fmt::format("Paddings must be non-negative: {} {}", attrs.before[i], attrs.after[i]));
    int64_t extent = x.has_rank() ? x[i] : -1;
    if (extent >= 0 && (__builtin_add_overflow(extent, attrs.before[i], &extent) ||
                        __builtin_add_overflow(extent, attrs.after[i], &extent)))
      c.fail(fmt::format("The extent of axis {} and its paddings add up beyond int64", i));
    y.push_back(extent);
  }
  if (!attrs.value.fits(c.dtype(0)))
    c.fail(fmt::format("{} cannot be padded with {}", name_of(c.dtype(0)), print_field(attrs.value)));
  c.output(c.dtype(0), y);
}

OpDef pad_op{.name = "Pad",
             .doc = "y = x with constants before and behind it along every axis; TensorFlow PadV2, ONNX Pad",
             .infer = infer_pad,
             .differentiable = Differentiability::rule,
             .gradient =
                 [](Backward& b) {
                   if (!b.needs(0)) return;
                   const auto& attrs = b.attrs<PadConstantAttrs>();
                   Axes end;
                   for (int64_t after : attrs.after) end.push_back(after == 0 ? omitted : -after);
                   b.dx(0, strided_slice(b.dy(), attrs.before, end));
                 },
             .attrs = &internal::kAttrsType<PadConstantAttrs>};

/// x with its mirror image along one axis. The slices of it fail where it is too short.
Tensor mirrored(const Tensor& x, int axis, int rank, int64_t before, int64_t after, bool reflect) {
  const auto part = [&](int64_t begin, int64_t size) {
    Axes from, sizes;
    for (int i = 0; i < rank; ++i) from.push_back(i == axis ? begin : 0), sizes.push_back(i == axis ? size : -1);
    return reverse(slice(x, from, sizes), axis);
  };
  std::vector<Tensor> parts;
  if (before > 0) parts.push_back(part(reflect ? 1 : 0, before));
  parts.push_back(x);
  if (after > 0) parts.push_back(part(reflect ? -after - 1 : -after, after));
  return concat(std::span<const Tensor>(parts), axis);
}

}  // namespace

Tensor pad(Operand x, const std::vector<std::pair<int64_t, int64_t>>& paddings, PadOptions o) {
  const SourceFrame frame(x.where());
  Tensor t = x.resolve();
  check_input("pad", 0, t, x.where());
  PadConstantAttrs attrs{.before = {}, .after = {}, .value = o.value};
  for (const auto& [before, after] : paddings) attrs.before.push_back(before), attrs.after.push_back(after);
  if (o.mode == PadMode::constant) return apply(pad_op, {&t}, attrs, x.where());
  const int rank = attrs.before.size(), slack = o.mode == PadMode::reflect ? 1 : 0;
  if (t.shape().has_rank() && t.rank() != rank)
    fail(Code::InvalidArgument, fmt::format("pad() of a tensor of rank {} was given {} paddings", t.rank(), rank));
  for (int i = 0; i < rank; ++i) {
    const int64_t before = attrs.before[i], after = attrs.after[i];
    const int64_t extent = t.shape().has_rank() ? t.dim(i) : -1;
    if (before < 0 || after < 0)
      fail(Code::InvalidArgument, fmt::format("Paddings must be non-negative: {} {}", before, after));
    if (extent >= 0 && std::max(before, after) > extent - slack && (before > 0 || after > 0))
      fail(Code::InvalidArgument,
           fmt::format("pad() of axis {}, which has {} elements, by {} and {}: a mirror shows {} "
                       "at most",
                       i, extent, before, after, std::max<int64_t>(0, extent - slack)));
    if (before > 0 || after > 0) t = mirrored(t, i, rank, before, after, slack == 1);
  }
  return t.same_as(x.resolve()) ? identity(t) : t;
}

void register_pad();
void register_pad() { register_op(pad_op); }

}  // namespace twofold
