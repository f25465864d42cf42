#include <twofold/kernels/pad/pad.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

/// The shape of x padded by `before` and `after`, from what is known.
Shape padded(const InferContext& c, const PartialValues& before, const PartialValues& after) {
  const Shape& x = c.shape(0);
  if (x.has_rank() && static_cast<size_t>(x.rank()) != before.size())
    c.fail(fmt::format("A tensor of rank {} was given {} paddings", x.rank(), before.size()));
  Shape y;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i].value_or(0) < 0 || after[i].value_or(0) < 0)
      c.fail(fmt::format("Paddings must be non-negative: {} {}", before[i].value_or(0), after[i].value_or(0)));
    std::optional<int64_t> extent = x.has_rank() ? x.extent(static_cast<int>(i)) : std::nullopt;
    for (const auto& more : {before[i], after[i]}) {
      if (extent && more && __builtin_add_overflow(*extent, *more, &*extent))
        c.fail(fmt::format("The extent of axis {} and its paddings add up beyond int64", i));
      if (!more) extent = std::nullopt;
    }
    y.push_back(extent);
  }
  return y;
}

void check_value(const InferContext& c, const Number& value) {
  if (!value.fits(c.dtype(0)))
    c.fail(fmt::format("{} cannot be padded with {}", name_of(c.dtype(0)), print_field(value)));
}

void infer_pad(InferContext& c) {
  const auto& attrs = c.attrs<PadConstantAttrs>();
  const Shape y = padded(c, PartialValues(attrs.before.begin(), attrs.before.end()),
                         PartialValues(attrs.after.begin(), attrs.after.end()));
  check_value(c, attrs.value);
  c.output(c.dtype(0), y);
}

constinit OpDef pad_op{.key = op_name::Pad,
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

void infer_pad_by(InferContext& c) {
  check_value(c, c.attrs<PadByAttrs>().value);
  const auto before = c.known_values(1), after = c.known_values(2);
  if (before && after) return c.output(c.dtype(0), padded(c, *before, *after));
  c.output(c.dtype(0), c.shape(0).has_rank() ? Shape::of_rank(c.shape(0).rank()) : unknown_shape);
}

constinit OpDef pad_by_op{
    .key = OpKey::without_kernels("PadBy"),
    .node_name = "Pad",
    .doc = "y = x with constants before and behind it, as many as the operands say; TensorFlow PadV2",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_pad_by,
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, slice(b.dy(), b.input(1), shape(b.input(0))));
        },
    .reads = {.inputs = 0b10},
    .attrs = &internal::kAttrsType<PadByAttrs>,
    .host_inputs = 0b110,
    .specialise = [](AttrsView attrs, std::span<const Tensor* const> in) -> Specialised {
      const PadConstantAttrs by{*Extents(*in[1]).known(), *Extents(*in[2]).known(), attrs.as<PadByAttrs>().value};
      return {&pad_op, make_ref<AttrsBox>(AttrsView(by)), 1};
    }};

/// x with its mirror image along one axis. The slices of it fail where it is too short.
Tensor mirrored(const Tensor& x, int axis, const Padding& by, bool reflect) {
  const auto part = [&](const Extent& begin, const Extent& size) {
    Extents from, sizes;
    for (int i = 0; i < axis; ++i) from.push_back(0), sizes.push_back(-1);
    from.push_back(begin), sizes.push_back(size);
    return reverse(slice(x, from, sizes), axis);
  };
  const auto from_end = [&](const Extent& n) -> Extent {
    const int more = reflect ? 1 : 0;
    return n.known() ? Extent(-*n.known() - more) : Extent(negative(n.symbol()) - more);
  };
  std::vector<Tensor> parts;
  if (by.before.known() != 0) parts.push_back(part(reflect ? 1 : 0, by.before));
  parts.push_back(x);
  if (by.after.known() != 0) parts.push_back(part(from_end(by.after), by.after));
  return concat(std::span<const Tensor>(parts), axis);
}

}  // namespace

Tensor pad(Operand x, const Paddings& paddings, PadOptions o) {
  const SourceScope source_scope(x.where());
  Tensor t = x.resolve();
  check_input("pad", 0, t, x.where());
  Extents before, after;
  for (const Padding& p : paddings.list()) before.push_back(p.before), after.push_back(p.after);
  if (o.mode == PadMode::constant) {
    if (before.known() && after.known())
      return apply(pad_op, {&t}, PadConstantAttrs{*before.known(), *after.known(), o.value}, x.where());
    const Tensor first = before.tensor(), last = after.tensor();
    return apply(pad_by_op, {&t, &first, &last}, PadByAttrs{o.value}, x.where());
  }
  const int rank = static_cast<int>(paddings.list().size()), slack = o.mode == PadMode::reflect ? 1 : 0;
  if (t.shape().has_rank() && t.rank() != rank)
    fail(Code::InvalidArgument, fmt::format("pad() of a tensor of rank {} was given {} paddings", t.rank(), rank));
  for (int i = 0; i < rank; ++i) {
    const Padding& by = paddings.list()[static_cast<size_t>(i)];
    if (by.before.known().value_or(0) < 0 || by.after.known().value_or(0) < 0)
      fail(Code::InvalidArgument, fmt::format("Paddings must be non-negative: {} {}", by.before.known().value_or(0),
                                              by.after.known().value_or(0)));
    if (by.before.known() && by.after.known())
      t = internal::shape_checked(
          {&t},
          {.what = ShapeCheck::mirror, .words = "pad", .numbers = {i, *by.before.known(), *by.after.known(), slack}},
          x.where());
    if (by.before.known() != 0 || by.after.known() != 0) t = mirrored(t, i, by, slack == 1);
  }
  return t.same_as(x.resolve()) ? identity(t) : t;
}

void register_pad();
void register_pad() { register_op(pad_op), register_op(pad_by_op); }

}  // namespace twofold
