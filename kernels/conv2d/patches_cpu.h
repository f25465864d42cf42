// Convolutions as matrix products: which elements of an image meet in each output, gathered as matrices. For *_cpu.cc
// files only: it includes Eigen.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <numeric>
#include <utility>

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

  static Taps of_output(const WindowAxis& a) {
    return {a.kernel, 0, 1, -a.pad(), a.dilation, a.stride, a.in, a.out, 0, 1};
  }
  /// The taps of an input's gradient, for the inputs at phase, phase + stride, ... These meet the same kernel elements,
  /// in outputs that lie side by side.
  static Taps of_input(const WindowAxis& a, int64_t phase) {
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
    const auto least = [&](int64_t from) {
      return from <= 0 ? 0 : std::min(stride == 1 ? from : (from + stride - 1) / stride, outputs);
    };
    const int64_t begin = least(-at(tap));
    return {begin, std::max(begin, least(source - at(tap)))};
  }

 private:
  static int64_t count_from(int64_t extent, int64_t from, int64_t step) {
    return from < extent ? (extent - from + step - 1) / step : 0;
  }
};

/// `length` elements that are moved together; in the image they lie `step` apart.
struct Run {
  int64_t length, step;

  /// Of each element, relative to one moved by itself: the elements share the cost of beginning a run, and contiguous
  /// ones move as vectors. Measured, as the costs in columns_cpu.h are.
  float cost() const { return 6.f / static_cast<float>(length) + (step == 1 ? 0.25f : 1.25f); }
};

/// A tap along both axes.
struct Tap {
  int32_t h, w;
};

/// The matrix of an image's patches: for each output pixel, in row-major order, the elements of the source that it
/// sums, `depth()` in number. In nchw they go by channel and then by tap, in nhwc by tap and then by channel. The
/// matrix is depth x pixels, or pixels x depth (`by_pixel`) where that makes the runs that are contiguous in the image
/// longer.
struct Patches {
  DataFormat format;
  int64_t groups, channels;  ///< channels of one group
  Taps h, w;
  bool direct;                ///< the image is the matrix already, from its column w.offset on
  bool by_pixel;              ///< the matrix is pixels x depth
  const Tap* used = nullptr;  ///< the taps that take part, in row-major order; null for all
  int64_t num_used = 0;

  Patches(DataFormat f, int64_t num_groups, int64_t of_group, const Taps& vertical, const Taps& horizontal)
      : format(f), groups(num_groups), channels(of_group), h(vertical), w(horizontal) {
    const auto plain = [](const Taps& t) {
      return t.count == 1 && t.stride == 1 && t.offset >= 0 && t.offset + t.outputs <= t.source;
    };
    direct = plain(h) && plain(w) && h.outputs == h.source && (w.outputs == w.source || h.source == 1);
    constexpr float kTranspose = 0.5f;  // the cost that packing has then
    by_pixel = format == DataFormat::nhwc || (direct && source_pixels() == 1) ||
               (w.offset_step == 1 && Run{w.count, 1}.cost() + kTranspose < Run{w.outputs, w.stride}.cost());
  }

  /// Leaves out all taps but these. They must outlive this object.
  void restrict_to(const Tap* taps, int64_t n) {
    used = taps, num_used = n;
    by_pixel = format == DataFormat::nhwc;  // taps are not contiguous any more
  }

  int64_t taps() const { return used ? num_used : h.count * w.count; }
  int64_t depth() const { return channels * taps(); }
  int64_t pixels() const { return h.outputs * w.outputs; }
  int64_t source_pixels() const { return h.source * w.source; }
  /// The patches of a 1x1 kernel, for outputs [begin, begin + count) of an image with `pixels` pixels: the image
  /// itself, as one row.
  static Patches each(DataFormat format, int64_t groups, int64_t channels, int64_t pixels, int64_t begin,
                      int64_t count) {
    return {format, groups, channels, {1, 0, 1, 0, 1, 1, 1, 1, 0, 1}, {1, 0, 1, begin, 1, 1, pixels, count, 0, 1}};
  }
  struct Element {
    int64_t channel, tap_h, tap_w;
    int64_t tap;  ///< which of `used`, where there are such
  };
  Element element(int64_t k) const {
    const bool nchw = format == DataFormat::nchw;
    const int64_t n = taps(), tap = nchw ? k % n : k / channels, channel = nchw ? k / n : k % channels;
    if (used) return {channel, used[tap].h, used[tap].w, tap};
    return {channel, tap / w.count, tap % w.count, 0};
  }

  /// Moves on to the next tap; returns whether that is the first again.
  bool to_next_tap(Element& e) const {
    if (used) {
      if (++e.tap == num_used) e.tap = 0;
      e.tap_h = used[e.tap].h, e.tap_w = used[e.tap].w;
      return e.tap == 0;
    }
    if (++e.tap_w < w.count) return false;
    e.tap_w = 0;
    if (++e.tap_h < h.count) return false;
    e.tap_h = 0;
    return true;
  }
  /// Moves on to the element of the matrix's next row, in nhwc of its next column.
  void to_next(Element& e) const {
    if (format == DataFormat::nchw) {
      if (to_next_tap(e)) ++e.channel;
    } else if (++e.channel == channels) {
      e.channel = 0;
      to_next_tap(e);
    }
  }

  /// A block of the matrix, as it lies in memory; `stride` is that of its rows.
  template <class T>
  struct Block {
    const T* data;
    int64_t stride;
  };
  /// Elements [k0, k0 + depth) of one group and of pixels [p0, p0 + count) of an image, which may run on into the
  /// images after it: copied to `buffer`, which has room for kSlack more elements, or where they lie if that is
  /// possible.
  static constexpr int64_t kSlack = 16;
  template <class T>
  Block<T> block(const T* images, int64_t image, int64_t group, int64_t k0, int64_t depth, int64_t p0, int64_t count,
                 T* buffer) const {
    const int64_t all = groups * channels, last = p0 + count <= pixels() ? 0 : (p0 + count - 1) / pixels();
    const bool nchw = format == DataFormat::nchw;
    const T* from = images + image * all * source_pixels();
    const T* end = from + (last + 1) * all * source_pixels();
    from += group * channels * (nchw ? source_pixels() : 1);
    if (direct && by_pixel && (last == 0 || pixels() == source_pixels()))
      return {from + (w.offset + p0) * all + k0, all};
    if (direct && !by_pixel && last == 0) return {from + k0 * source_pixels() + w.offset + p0, source_pixels()};
    if (!by_pixel) {
      last == 0 ? gather_rows<false>(from, end, k0, depth, p0, count, buffer)
                : gather_rows<true>(from, end, k0, depth, p0, count, buffer);
      return {buffer, count};
    }
    if (!used && (nchw || (groups == 1 && w.offset_step == 1)))
      gather_runs(from, end, k0, depth, p0, count, buffer);
    else
      gather_pixels(from, end, k0, depth, p0, count, buffer);
    return {buffer, depth};
  }

 private:
  /// Writes a block from front to back in whole vectors: what goes beyond a run is overwritten by the next one, or
  /// falls into the buffer's slack. Runs are short, so a call of memcpy or memset would cost more than its copying.
  template <class T>
  class Writer {
    using Packet = typename Eigen::internal::packet_traits<T>::type;
    static constexpr int64_t kWidth = Eigen::internal::unpacket_traits<Packet>::size;
    static_assert(kWidth <= kSlack);

   public:
    /// `end` is where the source that is copied from ends.
    Writer(T* to, const T* end) : to_(to), end_(end) {}

    void zeros(int64_t n) {
      for (int64_t i = 0; i < n; i += kWidth) store(to_ + i, Eigen::internal::pset1<Packet>(T(0)));
      to_ += n;
    }
    void copy(const T* from, int64_t n) {
      if (end_ - from >= n + kWidth)
        for (int64_t i = 0; i < n; i += kWidth) store(to_ + i, Eigen::internal::ploadu<Packet>(from + i));
      else
        std::copy_n(from, n, to_);
      to_ += n;
    }
    void copy(const T* from, int64_t n, int64_t stride) {
      if (stride == 1) return copy(from, n);
      for (int64_t i = 0; i < n; ++i) *to_++ = from[i * stride];
    }

   private:
    static void store(T* to, const Packet& p) {
      Eigen::internal::pstoreu(to, p);
      asm volatile("" ::: "memory");  // keeps the compiler from making the loop a call of memset or memcpy
    }
    T* to_;
    const T* end_;
  };

  /// `runs_on`: the pixels run on into the images after the first.
  template <bool runs_on, class T>
  void gather_rows(const T* from, const T* source_end, int64_t k0, int64_t depth, int64_t p0, int64_t count,
                   T* buffer) const {
    Writer<T> to(buffer, source_end);
    const int64_t first_y = p0 / w.outputs * h.stride, first_column = p0 % w.outputs;
    const int64_t in_first = runs_on ? pixels() - p0 : count, next_image = groups * channels * source_pixels();
    Element e = element(k0);
    for (int64_t k = 0; k < depth; ++k) {
      const auto [begin, end] = w.inside(e.tap_w);
      const T* plane = from + e.channel * source_pixels();
      int64_t y = first_y + h.at(e.tap_h), column = first_column, left = in_first, rest = count - in_first;
      for (;;) {
        for (; left > 0; y += h.stride, column = 0) {
          const int64_t stop = std::min(w.outputs, column + left);
          left -= stop - column;
          if (y < 0 || y >= h.source) {
            to.zeros(stop - column);
            continue;
          }
          const int64_t first = std::clamp(begin, column, stop), last = std::clamp(end, first, stop);
          to.zeros(first - column);
          if (first < last) to.copy(plane + y * w.source + w.at(e.tap_w) + first * w.stride, last - first, w.stride);
          to.zeros(stop - last);
        }
        if (!runs_on || rest == 0) break;
        left = std::min(rest, pixels()), rest -= left;
        y = h.at(e.tap_h), plane += next_image;
      }
      if (to_next_tap(e)) ++e.channel;
    }
  }

  /// By pixel, where a row of the window is contiguous: of one channel, or under nhwc of all.
  template <class T>
  void gather_runs(const T* from, const T* source_end, int64_t k0, int64_t depth, int64_t p0, int64_t count,
                   T* buffer) const {
    Writer<T> to(buffer, source_end);
    const int64_t unit = format == DataFormat::nchw ? 1 : channels, run = w.count * unit, line = w.source * unit;
    int64_t row = p0 / w.outputs, column = p0 % w.outputs;
    for (int64_t p = 0; p < count; ++p) {
      const T* plane = from + k0 / run / h.count * source_pixels();
      int64_t tap = k0 / run % h.count, within = k0 % run;
      for (int64_t left = depth; left > 0; within = 0) {
        const int64_t n = std::min(left, run - within), y = row * h.stride + h.at(tap);
        const int64_t x = (column * w.stride + w.offset) * unit + within;
        if (y < 0 || y >= h.source) {
          to.zeros(n);
        } else {
          const int64_t first = std::clamp<int64_t>(-x, 0, n), last = std::clamp(line - x, first, n);
          to.zeros(first);
          if (first < last) to.copy(plane + y * line + x + first, last - first);
          to.zeros(n - last);
        }
        left -= n;
        if (++tap == h.count) tap = 0, plane += source_pixels();
      }
      if (++column == w.outputs) column = 0, ++row;
      if (row == h.outputs) row = 0, from += groups * channels * source_pixels();
    }
  }

  template <class T>
  void gather_pixels(const T* from, const T* source_end, int64_t k0, int64_t depth, int64_t p0, int64_t count,
                     T* buffer) const {
    Writer<T> to(buffer, source_end);
    const Element first = element(k0);
    int64_t row = p0 / w.outputs, column = p0 % w.outputs;
    for (int64_t p = 0; p < count; ++p) {
      Element e = first;
      for (int64_t left = depth; left > 0;) {
        const int64_t n = std::min(left, channels - e.channel);
        const int64_t y = row * h.stride + h.at(e.tap_h), x = column * w.stride + w.at(e.tap_w);
        if (y < 0 || y >= h.source || x < 0 || x >= w.source)
          to.zeros(n);
        else
          to.copy(from + (y * w.source + x) * groups * channels + e.channel, n);
        left -= n, e.channel = 0;
        to_next_tap(e);
      }
      if (++column == w.outputs) column = 0, ++row;
      if (row == h.outputs) row = 0, from += groups * channels * source_pixels();
    }
  }
};

}  // namespace twofold
