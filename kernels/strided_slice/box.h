// The boxes that strided slices and reversal move: strides of either sign.
#pragma once

#include <twofold/kernels/layout/box.h>
#include <twofold/kernels/strided_slice/strided_slice.h>

namespace twofold::moves {

/// Strides of what attrs take of a tensor of shape `whole`; returns where the first element lies.
inline int64_t taken_strides(const StridedSliceAttrs& attrs, const Shape& whole, int64_t* strides) {
  int64_t offset = 0;
  contiguous_strides(whole, strides);
  for (int i = 0; i < whole.rank(); ++i) {
    const StridedRange range(attrs, i, whole[i]);
    offset += range.first * strides[i];
    strides[i] *= range.count > 1 ? range.step : 1;  // a step that is not taken may be out of range
  }
  return offset;
}

inline Box strided_slice_box(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank] = {}, dst[kMaxRank] = {};
  const int64_t base = taken_strides(s.attrs_as<StridedSliceAttrs>(), x, src);
  contiguous_strides(y, dst);
  Box box = box_of(y, src, dst);
  box.src_base = y.num_elements() == 0 ? 0 : base;
  return box;
}

inline Box reverse_box(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  int64_t src[kMaxRank] = {}, dst[kMaxRank] = {}, base = 0;
  contiguous_strides(x, src);
  contiguous_strides(x, dst);
  for (int64_t axis : s.attrs_as<ReverseAttrs>().axes) {
    const auto i = static_cast<int>(axis < 0 ? axis + x.rank() : axis);
    base += (x[i] - 1) * src[i];
    src[i] = -src[i];
  }
  Box box = box_of(x, src, dst);
  box.src_base = x.num_elements() == 0 ? 0 : base;
  return box;
}

}  // namespace twofold::moves
