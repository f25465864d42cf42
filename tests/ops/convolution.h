// A convolution's products, one by one: what references of convolutions are written with.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <twofold/kernels/conv2d/conv2d.h>

namespace op_test {

using twofold::Conv2dOptions;
using twofold::DataFormat;
using twofold::Padding2d;
using twofold::Shape;

struct Axis {
  int64_t in, out, kernel, stride, dilation, before;
};
inline int64_t span_of(int64_t kernel, int64_t dilation) { return dilation * (kernel - 1) + 1; }

/// The axis of a convolution from `in` elements.
inline Axis axis_of(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, bool same, int64_t before,
                    int64_t after) {
  Axis a{in, 0, kernel, stride, dilation, before};
  if (same) {
    a.out = static_cast<int64_t>(std::ceil(static_cast<double>(in) / static_cast<double>(stride)));
    const int64_t missing = (a.out - 1) * stride + span_of(kernel, dilation) - in;
    a.before = missing > 0 ? missing / 2 : 0;
  } else {
    for (int64_t at = -before; at + span_of(kernel, dilation) <= in + after; at += stride) ++a.out;
  }
  return a;
}

struct Convolution {
  Conv2dOptions o;
  Shape x, w;
  Axis h, v;  // horizontal and vertical

  Convolution(const Conv2dOptions& options, const Shape& xs, const Shape& ws) : o(options), x(xs), w(ws) {
    const Padding2d& p = o.padding;
    v = axis_of(x[last() ? 1 : 2], w[2], o.stride.h, o.dilation.h, p.same, p.top, p.bottom);
    h = axis_of(x[last() ? 2 : 3], w[3], o.stride.w, o.dilation.w, p.same, p.left, p.right);
  }
  bool last() const { return o.data_format == DataFormat::nhwc; }
  Shape y() const { return last() ? Shape{x[0], v.out, h.out, w[0]} : Shape{x[0], w[0], v.out, h.out}; }
  /// Of an element in x or y, whatever its layout.
  size_t place(int64_t n, int64_t c, int64_t i, int64_t j, int64_t channels, int64_t height, int64_t width) const {
    return static_cast<size_t>(last() ? ((n * height + i) * width + j) * channels + c
                                      : ((n * channels + c) * height + i) * width + j);
  }

  /// Calls f(place in x, place in w, place in y) for every product in the convolution's sums.
  template <class F>
  void for_each_product(F f) const {
    const int64_t per_group = w[0] / o.groups;
    for (int64_t n = 0; n < x[0]; ++n)
      for (int64_t k = 0; k < w[0]; ++k)
        for (int64_t i = 0; i < v.out; ++i)
          for (int64_t j = 0; j < h.out; ++j)
            for (int64_t c = 0; c < w[1]; ++c)
              for (int64_t p = 0; p < w[2]; ++p)
                for (int64_t q = 0; q < w[3]; ++q) {
                  const int64_t row = i * v.stride + p * v.dilation - v.before;
                  const int64_t column = j * h.stride + q * h.dilation - h.before;
                  if (row < 0 || row >= v.in || column < 0 || column >= h.in) continue;
                  f(place(n, k / per_group * w[1] + c, row, column, w[1] * o.groups, v.in, h.in),
                    static_cast<size_t>(((k * w[1] + c) * w[2] + p) * w[3] + q), place(n, k, i, j, w[0], v.out, h.out));
                }
  }
};

}  // namespace op_test
