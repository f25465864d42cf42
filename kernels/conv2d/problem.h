// What a convolution amounts to, once shapes are known: for the kernels.
#pragma once

#include <cstdint>

#include <twofold/kernels/conv2d/conv2d.h>
#include <twofold/kernels/window2d/axes.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

struct Conv2dProblem {
  DataFormat format;
  int64_t batch, groups;
  int64_t in_channels, out_channels;  ///< of one group
  WindowAxis h, w;

  /// Of y = conv2d(x, weight).
  template <class Options>
  Conv2dProblem(const Options& o, const Shape& x, const Shape& weight, const Shape& y)
      : format(o.data_format),
        batch(x[0]),
        groups(o.groups),
        in_channels(weight[1]),
        out_channels(weight[0] / o.groups),
        h(vertical_axis(o, weight[2])),
        w(horizontal_axis(o, weight[3])) {
    const ImageAxes axes(format);
    h.in = x[axes.h], h.out = y[axes.h];
    w.in = x[axes.w], w.out = y[axes.w];
  }
};

}  // namespace twofold
