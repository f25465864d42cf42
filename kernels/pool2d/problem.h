// What pooling amounts to, once shapes are known: for the shape rules and for the kernels.
#pragma once

#include <algorithm>
#include <cstdint>

#include <twofold/kernels/pool2d/pool2d.h>
#include <twofold/kernels/window2d/axes.h>

namespace twofold {

inline WindowAxis pool_axis(const Pool2dAttrs& o, bool vertical) {
  const Padding2d& p = o.padding;
  return vertical ? WindowAxis{o.kernel_size.h, o.stride.h, 1, p.same, p.top, p.bottom}
                  : WindowAxis{o.kernel_size.w, o.stride.w, 1, p.same, p.left, p.right};
}

struct Pool2dProblem {
  int64_t batch, channels;
  bool channels_last, count_include_pad;
  WindowAxis h, w;

  Pool2dProblem(const Pool2dAttrs& o, const Shape& x, const Shape& y)
      : batch(x[0]),
        channels(x[ImageAxes(o.data_format).channels]),
        channels_last(o.data_format == DataFormat::nhwc),
        count_include_pad(o.count_include_pad),
        h(pool_axis(o, true)),
        w(pool_axis(o, false)) {
    const ImageAxes axes(o.data_format);
    h.in = x[axes.h], h.out = y[axes.h];
    w.in = x[axes.w], w.out = y[axes.w];
  }

  /// Sums of more numbers than kShortSum are not made in float32 alone: means sum kRun numbers at a time, and these
  /// sums in float64.
  static constexpr int64_t kShortSum = 64, kRun = 16;
  /// Whether so many windows may lie over an element that gradients, in which they are added up, are summed in float64.
  bool wide_gradient() const { return overlap(h) * overlap(w) > kShortSum; }

  /// Part of a window: the elements first .. last - 1 of an axis.
  struct Span {
    int64_t first, last;
  };
  /// The part in the image of window i; one element at least, as padding is smaller than windows.
  static Span inside(const WindowAxis& a, int64_t i) {
    const int64_t begin = i * a.stride - a.pad();
    return {std::max<int64_t>(begin, 0), std::min(begin + a.kernel, a.in)};
  }
  /// What the sum of window (i, j) is divided by: its elements in the padded image, or those in the image.
  int64_t count(int64_t i, int64_t j) const { return count(h, i) * count(w, j); }

 private:
  static int64_t overlap(const WindowAxis& a) { return std::min(a.out, (a.kernel + a.stride - 1) / a.stride); }
  int64_t count(const WindowAxis& a, int64_t i) const {
    const Span s = inside(a, i);
    if (!count_include_pad) return s.last - s.first;
    const int64_t begin = i * a.stride - a.pad(), after = a.same ? a.kernel : a.after;
    return std::min(begin + a.kernel, a.in + after) - begin;
  }
};

}  // namespace twofold
