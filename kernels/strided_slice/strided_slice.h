// Slices with steps, and reversing axes.
#pragma once

#include <cstdint>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Stands for a begin or an end of strided_slice that is left out, as in NumPy's a[::-1]: from the first element in the
/// direction of the stride, or through the last one.
inline constexpr int64_t omitted = INT64_MIN;

/// y = x[begin[0]:end[0]:strides[0], begin[1]:end[1]:strides[1], ...] as in NumPy: the elements begin, begin + stride,
/// ... short of end. Negative begins and ends count from the end of the axis; what lies beyond it is taken to its edge;
/// a negative stride runs backwards. No strides means steps of 1; axes beyond the lists are taken whole. So
/// `strided_slice(x, {omitted}, {omitted}, {-1})` is x[::-1].
///
/// Any dtype; y's extents are ceil((end - begin) / stride), 0 at least, and unknown where x's are. Differentiable, of
/// every order. InvalidArgument: lists of different lengths or longer than x's rank, a stride of 0. Source:
/// TensorFlow's strided_slice.
Tensor strided_slice(Operand x, Axes begin, Axes end, Axes strides = {});

/// x with the order of the elements along `axes` reversed; an empty list reverses none. Any dtype. InvalidArgument: an
/// axis out of range or given twice. Source: TensorFlow's reverse.
Tensor reverse(Operand x, Axes axes);

/// Attributes of StridedSlice.
struct StridedSliceAttrs {
  Axes begin, end;
  Axes strides;  ///< as many, none of them 0
  TWOFOLD_FIELDS(begin, end, strides)
};
/// Attributes of Reverse.
struct ReverseAttrs {
  Axes axes;
  TWOFOLD_FIELDS(axes)
};

/// What a strided slice takes of an axis: `count` elements, `step` apart, `first` being the first.
struct StridedRange {
  /// @{
  /// Elements first, first + step, ..., so many.
  int64_t first = 0, step = 1, count = 0;
  /// @}

  /// Of axis `i`, which has `extent` elements.
  StridedRange(const StridedSliceAttrs& attrs, int i, int64_t extent) : count(extent) {
    if (i >= attrs.begin.size()) return;
    step = attrs.strides[i];
    const int64_t least = step > 0 ? 0 : -1, most = step > 0 ? extent : extent - 1;
    const auto place = [&](int64_t given, int64_t otherwise) {
      if (given == omitted) return otherwise;
      if (given < 0) given += extent;
      return given < least ? least : given > most ? most : given;
    };
    first = place(attrs.begin[i], step > 0 ? least : most);
    const int64_t last = place(attrs.end[i], step > 0 ? most : least), way = step > 0 ? last - first : first - last;
    // Unsigned, as the least int64 has no opposite.
    const uint64_t size = step > 0 ? static_cast<uint64_t>(step) : ~static_cast<uint64_t>(step) + 1;
    count = way <= 0 ? 0 : static_cast<int64_t>((static_cast<uint64_t>(way) - 1) / size) + 1;
  }
};

namespace op_name {
TWOFOLD_OP_NAME(StridedSlice);
TWOFOLD_OP_NAME(ReverseV2);
}  // namespace op_name

}  // namespace twofold
