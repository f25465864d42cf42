#include <twofold/kernels/sum_slices/sum_slices.h>

#include <fmt/format.h>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

void infer_sum_slices(InferContext& c) {
  const auto& attrs = c.attrs<SumSlicesAttrs>();
  const int parts = c.num_inputs() - 1;
  const Shape& like = c.shape(0);
  if (!is_floating(c.dtype(0))) c.fail(fmt::format("Expected float32 or float64, got {}", name_of(c.dtype(0))));
  if (static_cast<int>(attrs.begins.size()) != parts || static_cast<int>(attrs.strides.size()) != parts)
    c.fail(fmt::format("Expected a place for each of {} parts, got {}", parts, attrs.begins.size()));
  for (int k = 0; k < parts; ++k) {
    if (c.dtype(k + 1) != c.dtype(0))
      c.fail(fmt::format("Part {} of dtype {} cannot be added to dtype {}", k, name_of(c.dtype(k + 1)),
                         name_of(c.dtype(0))));
    const Shape& part = c.shape(k + 1);
    if (like.has_rank() && part.has_rank() && like.rank() != part.rank())
      c.fail(fmt::format("Part {} has shape {}, which is no slice of {}", k, part.str(), like.str()));
    if (!like.has_rank() || !part.has_rank()) continue;
    for (int i = 0; i < like.rank(); ++i) {
      if (!like.knows(i) || part.extent(i).value_or(0) == 0) continue;
      const auto at = static_cast<size_t>(k);
      const SliceAxis axis(attrs.begins[at], attrs.strides[at], i, like[i]);
      // Unsigned, as the least int64 has no opposite.
      const auto way = static_cast<uint64_t>(axis.step > 0 ? like[i] - 1 - axis.first : axis.first);
      const auto size = axis.step > 0 ? static_cast<uint64_t>(axis.step) : ~static_cast<uint64_t>(axis.step) + 1;
      if (axis.first < 0 || axis.first >= like[i] || static_cast<uint64_t>(part[i]) - 1 > way / size)
        c.fail(fmt::format("Part {} of shape {} does not fit in its place in {}", k, part.str(), like.str()));
    }
  }
  c.output(c.dtype(0), like);
}

/// What strided_slice or slice took: as many elements of x as `part` has, from the place on.
Tensor taken(const Tensor& x, const SlicePlace& place, const Tensor& part) {
  if (place.strides.empty()) return internal::slice_like(x, part, place.begin);
  // A strided slice of which the end is open takes more than `part` has: its first elements are the part.
  Axes end;
  for (int i = 0; i < place.begin.size(); ++i) end.push_back(omitted);
  return internal::slice_like(strided_slice(x, place.begin, end, place.strides), part, {});
}

void sum_slices_gradient(Backward& b) {
  const auto& attrs = b.attrs<SumSlicesAttrs>();
  for (int k = 1; k < b.num_inputs(); ++k) {
    const auto part = static_cast<size_t>(k) - 1;
    if (b.needs(k)) b.dx(k, taken(b.dy(), {attrs.begins[part], attrs.strides[part]}, b.input(k)));
  }
}

}  // namespace

constinit OpDef sum_slices_op{
    .key = op_name::SumSlices,
    .doc = "y = zeros of like's shape with parts added in their places; adjoint of Slice, StridedSlice",
    .min_inputs = 2,
    .max_inputs = -1,
    .infer = infer_sum_slices,
    .differentiable = Differentiability::rule,
    .gradient = sum_slices_gradient,
    .attrs = &internal::kAttrsType<SumSlicesAttrs>,
    .shape_inputs = 1};

Tensor sum_slices(std::span<const Tensor> parts, std::span<const SlicePlace> places, const Tensor& like) {
  SumSlicesAttrs attrs;
  std::vector<const Tensor*> inputs{&like};
  for (const Tensor& part : parts) inputs.push_back(&part);
  for (const SlicePlace& place : places) attrs.begins.push_back(place.begin), attrs.strides.push_back(place.strides);
  return apply(sum_slices_op, inputs, attrs, std::source_location::current());
}

void register_sum_slices();
void register_sum_slices() { register_op(sum_slices_op); }

}  // namespace twofold
