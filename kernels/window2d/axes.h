// What windows over images amount to, axis by axis: for shape rules and for kernels.
#pragma once

#include <algorithm>
#include <cstdint>

#include <twofold/kernels/window2d/window2d.h>

namespace twofold {

/// Which axes of an image, as it lies in memory, are the channels, the vertical and the horizontal one.
struct ImageAxes {
  int channels, h, w;
  constexpr explicit ImageAxes(DataFormat f)
      : channels(f == DataFormat::nchw ? 1 : 3), h(f == DataFormat::nchw ? 2 : 1), w(f == DataFormat::nchw ? 3 : 2) {}
};

/// One axis along which windows move.
struct WindowAxis {
  int64_t kernel = 1, stride = 1, dilation = 1;
  bool same = false;
  int64_t before = 0, after = 0;  ///< padding; unused if `same`
  int64_t in = 0, out = 0;

  /// What one window spans.
  int64_t window() const { return (kernel - 1) * dilation + 1; }
  /// Outputs of `extent` inputs; 0 or less if a window does not fit.
  int64_t out_of(int64_t extent) const {
    if (same) return (extent + stride - 1) / stride;
    const int64_t room = extent + before + after - window();
    return room < 0 ? 0 : room / stride + 1;
  }
  /// The least extent of the input that gives `extent` outputs, plus `more`; 0 or less if there is none.
  int64_t in_of(int64_t extent, int64_t more) const {
    return same ? extent * stride : (extent - 1) * stride + window() - before - after + more;
  }
  /// Zeros before the first input.
  int64_t pad() const { return same ? std::max<int64_t>((out - 1) * stride + window() - in, 0) / 2 : before; }
};

template <class Options>
WindowAxis vertical_axis(const Options& o, int64_t kernel) {
  return {kernel, o.stride.h, o.dilation.h, o.padding.same, o.padding.top, o.padding.bottom};
}
template <class Options>
WindowAxis horizontal_axis(const Options& o, int64_t kernel) {
  return {kernel, o.stride.w, o.dilation.w, o.padding.same, o.padding.left, o.padding.right};
}

}  // namespace twofold
