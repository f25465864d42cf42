// Boxes of elements that ops move, planned from a signature: what the CPU's and the GPU's kernels have in common.
#pragma once

#include <cstdint>

#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold::moves {

/// dst[dst_base + i * dst_stride...] = src[src_base + i * src_stride...] for all indices i of a box, in elements. Axes
/// of extent 1 are left out, and neighbours merged where both sides allow it.
struct Box {
  int rank = 0;
  int64_t extent[kMaxRank], src_stride[kMaxRank], dst_stride[kMaxRank];
  int64_t src_base = 0, dst_base = 0;
  int64_t cleared = 0;  ///< elements of the whole destination, if it becomes zero first

  void push(int64_t e, int64_t src, int64_t dst) {
    if (e == 1) return;
    if (rank > 0 && src_stride[rank - 1] == e * src && dst_stride[rank - 1] == e * dst) {
      extent[rank - 1] *= e, src_stride[rank - 1] = src, dst_stride[rank - 1] = dst;
    } else {
      extent[rank] = e, src_stride[rank] = src, dst_stride[rank] = dst, ++rank;
    }
  }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= extent[i];
    return n;
  }
};

inline Box box_of(const Shape& extents, const int64_t* src, const int64_t* dst) {
  Box box;
  for (int i = 0; i < extents.rank(); ++i) box.push(extents[i], src[i], dst[i]);
  return box;
}

inline void contiguous_strides(const Shape& s, int64_t* strides) {
  int64_t step = 1;
  for (int i = s.rank(); i-- > 0;) {
    strides[i] = step;
    step *= s[i];
  }
}

inline Box transpose_box(const Signature& s) {
  const Axes& permutation = s.attrs_as<AxesAttrs>().axes;
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  const int rank = x.rank();
  int64_t in[kMaxRank], src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, in);
  contiguous_strides(y, dst);
  for (int i = 0; i < rank; ++i) {
    const int64_t from = permutation.empty() ? rank - 1 - i : permutation[i];
    src[i] = in[from < 0 ? from + rank : from];
  }
  return box_of(y, src, dst);
}

inline Box broadcast_box(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t in[kMaxRank], src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, in);
  contiguous_strides(y, dst);
  const int lead = y.rank() - x.rank();
  for (int i = 0; i < y.rank(); ++i) src[i] = i < lead || x[i - lead] == 1 ? 0 : in[i - lead];
  return box_of(y, src, dst);
}

/// Where a box that starts at `begin` lies in a tensor of `shape`.
inline int64_t box_offset(const Axes& begin, const Shape& shape, const int64_t* strides) {
  int64_t offset = 0;
  for (int i = 0; i < begin.size(); ++i) offset += (begin[i] < 0 ? begin[i] + shape[i] : begin[i]) * strides[i];
  return offset;
}

inline Box slice_box(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, src);
  contiguous_strides(y, dst);
  Box box = box_of(y, src, dst);
  box.src_base = y.num_elements() == 0 ? 0 : box_offset(s.attrs_as<SliceAttrs>().begin, x, src);
  return box;
}

inline Box concat_part_box(const Signature& s) {
  const auto& attrs = s.attrs_as<ConcatPartAttrs>();
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, src);
  contiguous_strides(y, dst);
  const int axis = static_cast<int>(attrs.axis < 0 ? attrs.axis + x.rank() : attrs.axis);
  int64_t offset = 0;
  for (int64_t i = 0; i < attrs.part; ++i) offset += s.inputs[static_cast<size_t>(i) + 1].shape[axis];
  Box box = box_of(y, src, dst);
  box.src_base = y.num_elements() == 0 ? 0 : offset * src[axis];
  return box;
}

}  // namespace twofold::moves
