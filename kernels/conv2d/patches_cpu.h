// Convolutions as matrix products: which elements of an image meet in each output, gathered as matrices.
#pragma once

#include <algorithm>
#include <numeric>

#include <twofold/kernels/conv2d/problem.h>

namespace twofold {

/// Along one axis: output i, which lies at `first` + i `spacing`, is a sum over taps t < count of what lies in the
/// source at i `stride` + `offset` + t `offset_step` (0 beyond its extent) times kernel element `kernel` + t
/// `kernel_step`.
struct Taps {
  int64_t count, kernel, kernel_step;
  int64_t offset, offset_step, stride;
  int64_t source;  ///< its extent
  int64_t outputs, first, spacing;

  static Taps of_output(const ConvAxis& a) {
    return {a.kernel, 0, 1, -a.pad(), a.dilation, a.stride, a.in, a.out, 0, 1};
  }
  /// Those of an input's gradient, for the inputs at phase, phase + stride, ... They meet the same kernel elements, in
  /// outputs that lie side by side.
  static Taps of_input(const ConvAxis& a, int64_t phase) {
    const int64_t step = a.stride / std::gcd(a.stride, a.dilation);
    const auto reach = [&](int64_t k) { return phase + a.pad() - k * a.dilation; };
    int64_t k = 0;
    while (k < std::min(step, a.kernel) && reach(k) % a.stride != 0) ++k;
    const int64_t count = k < std::min(step, a.kernel) ? (a.kernel - k + step - 1) / step : 0;
    return {count,
            k,
            step,
            reach(k) / a.stride,
            -(a.dilation * step / a.stride),
            1,
            a.out,
            count_from(a.in, phase, a.stride),
            phase,
            a.stride};
  }

  int64_t at(int64_t tap) const { return offset + tap * offset_step; }
  /// The outputs [first, second) whose element of the source, for this tap, exists.
  std::pair<int64_t, int64_t> inside(int64_t tap) const {
    const auto least = [&](int64_t from) { return from <= 0 ? 0 : std::min((from + stride - 1) / stride, outputs); };
    const int64_t begin = least(-at(tap));
    return {begin, std::max(begin, least(source - at(tap)))};
  }

 private:
  static int64_t count_from(int64_t extent, int64_t from, int64_t step) {
    return from < extent ? (extent - from + step - 1) / step : 0;
  }
};

/// The matrix of an image's patches: for each output pixel, in row-major order, the elements of the source that it
/// sums, `depth()` in number. In nchw they go by channel and then by tap and the matrix is depth x pixels; in nhwc by
/// tap and then by channel, and it is pixels x depth: so that runs of it lie together in the image.
struct Patches {
  DataFormat format;
  int64_t groups, channels;  ///< channels of one group
  Taps h, w;

  int64_t depth() const { return channels * h.count * w.count; }
  int64_t pixels() const { return h.outputs * w.outputs; }
  int64_t source_pixels() const { return h.source * w.source; }
  /// Whether the image is the matrix already.
  bool direct() const {
    const auto plain = [](const Taps& t) {
      return t.count == 1 && t.stride == 1 && t.offset == 0 && t.outputs == t.source;
    };
    return plain(h) && plain(w);
  }

  struct Element {
    int64_t channel, tap_h, tap_w;
  };
  Element element(int64_t k) const {
    const int64_t taps = h.count * w.count, tap = format == DataFormat::nchw ? k % taps : k / channels;
    return {format == DataFormat::nchw ? k / taps : k % channels, tap / w.count, tap % w.count};
  }

  /// A block of the matrix, as it lies in memory; `stride` is that of its rows.
  template <class T>
  struct Block {
    const T* data;
    int64_t stride;
  };
  /// Elements [k0, k0 + depth) of pixels [p0, p0 + count) of one image and group, in `buffer` or where they are.
  template <class T>
  Block<T> block(const T* images, int64_t image, int64_t group, int64_t k0, int64_t depth, int64_t p0, int64_t count,
                 T* buffer) const {
    const bool nchw = format == DataFormat::nchw;
    const T* from =
        images + image * groups * channels * source_pixels() + group * channels * (nchw ? source_pixels() : int64_t{1});
    if (direct())
      return nchw ? Block<T>{from + k0 * source_pixels() + p0, source_pixels()}
                  : Block<T>{from + p0 * groups * channels + k0, groups * channels};
    nchw ? gather_rows(from, k0, depth, p0, count, buffer) : gather_pixels(from, k0, depth, p0, count, buffer);
    return {buffer, nchw ? count : depth};
  }

 private:
  template <class T>
  void gather_rows(const T* from, int64_t k0, int64_t depth, int64_t p0, int64_t count, T* to) const {
    for (int64_t k = k0; k < k0 + depth; ++k) {
      const Element e = element(k);
      const T* plane = from + e.channel * source_pixels();
      const auto [begin, end] = w.inside(e.tap_w);
      const int64_t shift = w.at(e.tap_w);
      int64_t row = p0 / w.outputs, column = p0 % w.outputs;
      for (int64_t left = count; left > 0; ++row, column = 0) {
        const int64_t stop = std::min(w.outputs, column + left), y = row * h.stride + h.at(e.tap_h);
        left -= stop - column;
        if (y < 0 || y >= h.source) {
          for (; column < stop; ++column) *to++ = T(0);
          continue;
        }
        const T* line = plane + y * w.source + shift;
        for (; column < std::min(begin, stop); ++column) *to++ = T(0);
        if (w.stride == 1) {
          const int64_t n = std::max<int64_t>(0, std::min(end, stop) - column);
          std::copy_n(line + column, n, to);
          to += n, column += n;
        } else {
          for (; column < std::min(end, stop); ++column) *to++ = line[column * w.stride];
        }
        for (; column < stop; ++column) *to++ = T(0);
      }
    }
  }

  template <class T>
  void gather_pixels(const T* from, int64_t k0, int64_t depth, int64_t p0, int64_t count, T* to) const {
    const Element start = element(k0);
    for (int64_t p = p0; p < p0 + count; ++p) {
      const int64_t row = p / w.outputs * h.stride, column = p % w.outputs * w.stride;
      Element e = start;
      for (int64_t left = depth; left > 0;) {
        const int64_t n = std::min(left, channels - e.channel), y = row + h.at(e.tap_h), x = column + w.at(e.tap_w);
        if (y < 0 || y >= h.source || x < 0 || x >= w.source)
          std::fill_n(to, n, T(0));
        else
          std::copy_n(from + (y * w.source + x) * groups * channels + e.channel, n, to);
        to += n, left -= n, e.channel = 0;
        if (++e.tap_w == w.count) e.tap_w = 0, ++e.tap_h;
      }
    }
  }
};

}  // namespace twofold
