// The gradient of a convolution's input by matrix products whose results are added to their places afterwards (GEMM and
// col2im): for few outputs, few channels of the input, or kernels of which most outputs meet only a part. For *_cpu.cc
// files only.
#pragma once

#include <algorithm>
#include <cstdint>

#include <twofold/kernels/conv2d/blocks_cpu.h>
#include <twofold/kernels/matmul/gemm_cpu.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

/// dx of y = conv2d(x, w). A matrix product makes a column for each output: its dy times the weight, summed over output
/// channels, which is what it adds to each of the inputs that its window covers. Then every input adds up what columns
/// have for it, by kernel element or by output, in order. There are no products with padding.
template <class T>
class InputGradientByColumns {
  using Gemm = internal::PackedGemm<T>;
  using Size = BlockSize<T>;

 public:
  explicit InputGradientByColumns(const Conv2dProblem& p)
      : p_(p),
        depth_(Cut::evenly(p.out_channels, Size::kDepth)),
        along_taps_(taps_run().cost() < outputs_run().cost()),
        rows_(Cut::evenly(p.in_channels * p.h.kernel * p.w.kernel, Size::kChannels)) {
    rows_ = Cut::of_length(rows_.extent, filled(rows_.length));
    // The columns of a part fit the caches, but are enough for the products' blocks.
    const auto at_once = [](int64_t bytes, int64_t pixels) {
      constexpr int64_t kBytes = 4 << 20, kMostBytes = 32 << 20;
      const int64_t enough = ceil_div(Size::kPixels, std::max<int64_t>(1, pixels));
      return std::max({int64_t{1}, kBytes / bytes, std::min(enough, kMostBytes / bytes)});
    };
    const int64_t row = std::max<int64_t>(1, column_size() * p.w.out * static_cast<int64_t>(sizeof(T)));
    const int64_t images = at_once(row * std::max<int64_t>(1, p.h.out), p.h.out * p.w.out);
    images_ = Cut::of_length(p.batch, std::clamp<int64_t>(p.batch, 1, images));
    bands_ = Cut::evenly(p.h.out, images > 1 ? std::max<int64_t>(1, p.h.out) : at_once(row, p.w.out));
  }

  /// Whether this takes less time than products of weights with patches of dy (PatchProduct::input).
  bool cheaper() const {
    if (std::min({p_.batch, channels(), p_.out_channels, p_.h.in, p_.w.in, p_.h.out, p_.w.out}) == 0) return false;
    // Nanoseconds of one core, within a quarter of what was measured for forty problems in float32 (in float64 both
    // ways take twice as long): for a product; for an element moved, as a factor of Run::cost; for one packed; for one
    // of a column written.
    constexpr double kProduct = 0.02, kMove = 0.25, kPack = 0.15, kWrite = 0.25;
    const auto number = [](int64_t n) { return static_cast<double>(n); };
    const auto met = [&](const WindowAxis& a) {
      return number(a.kernel) * std::max(1., number(a.in) / number(a.stride));
    };
    const auto blocks = [&](int64_t n) { return number(ceil_div(n, Size::kChannels)); };
    const Run patch{nchw() ? ceil_div(p_.w.in, p_.w.stride) : p_.out_channels, 1};
    const double by_patches =
        met(p_.h) * met(p_.w) * number(p_.out_channels) *
        (number(ceil_div(p_.in_channels, 4) * 4) * kProduct + blocks(p_.in_channels) * (patch.cost() * kMove + kPack));
    const Run added = along_taps_ ? taps_run() : outputs_run();
    const double rows = number(filled(rows_.extent)), outputs = number(p_.h.out) * number(p_.w.out);
    const double by_columns =
        outputs * (number(p_.out_channels) * (rows * kProduct + blocks(rows_.extent) * (kMove + kPack)) +
                   rows * (kWrite + added.cost() * kMove));
    return 1.1 * by_columns < by_patches;
  }

  size_t workspace() const {
    const int64_t columns = column_size() * images_.length * bands_.length * p_.w.out;
    return static_cast<size_t>(packed_size() + columns) * sizeof(T);
  }

  void run(const T* dy, const T* weight, T* dx, const KernelContext& ctx) const {
    T* packed = static_cast<T*>(ctx.workspace);
    T* columns = packed + packed_size();
    ctx.parallel_for(p_.groups * rows_.count * depth_.count, [&](int64_t i) {
      pack_weight(packed, weight, i / depth_.count / rows_.count, i / depth_.count % rows_.count, i % depth_.count);
    });
    for (int64_t image = 0; image < images_.count; ++image)
      for (int64_t band = 0; band < bands_.count; ++band) {
        const Part part(*this, image, band);
        ctx.parallel_for(part.tiles.count() * p_.groups * rows_.count, [&](int64_t i) {
          const int64_t block = i / rows_.count;
          multiply(dy, packed, columns, part, part.tiles[block / p_.groups], block % p_.groups, i % rows_.count);
        });
        const Cut lines = Cut::of_length(part.images * (nchw() ? channels() : 1) * p_.h.in, lines_at_once());
        ctx.parallel_for(lines.count, [&](int64_t i) { add_up(dx, columns, part, lines.begin(i), lines.size(i)); });
      }
  }

 private:
  /// Rows [row, row + rows) of the outputs of images [image, image + images).
  struct Part {
    int64_t image, images, row, rows;
    Patches dy;
    PixelTiles<T> tiles;

    Part(const InputGradientByColumns& g, int64_t i, int64_t band)
        : image(g.images_.begin(i)),
          images(g.images_.size(i)),
          row(g.bands_.begin(band)),
          rows(g.bands_.size(band)),
          dy(Patches::each(g.p_.format, g.p_.groups, g.p_.out_channels, g.p_.h.out * g.p_.w.out, row * g.p_.w.out,
                           rows * g.p_.w.out)),
          tiles(dy, images) {}
    int64_t pixels() const { return images * dy.pixels(); }
  };

  bool nchw() const { return p_.format == DataFormat::nchw; }
  int64_t channels() const { return p_.groups * p_.in_channels; }

  // The order of columns in memory: by kernel element, and those of one by output; or, `along_taps_`, by output, and
  // those of one by kernel element, where that makes the longer runs for adding up. Under nhwc the latter has the
  // channels innermost.

  /// A run of a column's elements whose inputs are neighbours.
  Run taps_run() const {
    if (nchw()) return {p_.w.kernel, p_.w.dilation};
    return {p_.in_channels * (p_.w.dilation == 1 && p_.groups == 1 ? p_.w.kernel : 1), 1};
  }
  /// A run of one kernel element's products for a row of outputs; their inputs lie a stride apart.
  Run outputs_run() const { return {p_.w.out, p_.w.stride * (nchw() ? 1 : channels())}; }

  int64_t filled(int64_t rows) const {
    const int64_t width = along_taps_ ? Gemm::Traits::LhsProgress : Gemm::Traits::nr;
    return ceil_div(rows, width) * width;
  }
  int64_t column_size() const { return p_.groups * filled(rows_.extent); }
  /// Where row `element` of a group's columns begins, from output `pixel` of the part on.
  int64_t place(const Part& part, int64_t group, int64_t element, int64_t pixel) const {
    const int64_t rows = filled(rows_.extent);
    return along_taps_ ? (pixel * p_.groups + group) * rows + element
                       : (group * rows + element) * part.pixels() + pixel;
  }

  int64_t packed_block() const { return ceil_div(rows_.length * Size::kDepth, 16) * 16; }
  int64_t packed_size() const { return p_.groups * rows_.count * depth_.count * packed_block(); }
  T* packed_weight(T* packed, int64_t group, int64_t r, int64_t d) const {
    return packed + ((group * rows_.count + r) * depth_.count + d) * packed_block();
  }

  void pack_weight(T* packed, const T* weight, int64_t group, int64_t r, int64_t d) const {
    alignas(64) T block[Size::kChannels * Size::kDepth];
    const int64_t depth = depth_.size(d), rows = rows_.size(r), full = filled(rows);
    const int64_t taps = p_.h.kernel * p_.w.kernel;
    for (int64_t k = 0; k < depth; ++k) {
      const T* from = weight + (group * p_.out_channels + depth_.begin(d) + k) * rows_.extent;
      for (int64_t m = 0; m < rows; ++m) {
        const int64_t row = rows_.begin(r) + m;
        const bool channels_last = along_taps_ && !nchw();
        block[k * full + m] = from[channels_last ? row % p_.in_channels * taps + row / p_.in_channels : row];
      }
      std::fill(block + k * full + rows, block + (k + 1) * full, T(0));
    }
    T* to = packed_weight(packed, group, r, d);
    along_taps_ ? Gemm::pack_b(to, block, full, false, depth, full) : Gemm::pack_a(to, block, full, true, depth, full);
  }

  void multiply(const T* dy, T* packed_weights, T* columns, const Part& part, const typename PixelTiles<T>::Tile& tile,
                int64_t group, int64_t r) const {
    alignas(64) T buffer[Size::kDepth * Size::kPixels + Patches::kSlack], packed[Size::kDepth * Size::kPixels];
    const int64_t count = tile.count, rows = filled(rows_.size(r));
    T* to = columns + place(part, group, rows_.begin(r), tile.image * part.dy.pixels() + tile.begin);
    const int64_t stride = along_taps_ ? column_size() : part.pixels();
    for (int64_t d = 0; d < depth_.count; ++d) {
      const int64_t depth = depth_.size(d);
      const auto block =
          part.dy.block(dy, part.image + tile.image, group, depth_.begin(d), depth, tile.begin, count, buffer);
      const T* weight = packed_weight(packed_weights, group, r, d);
      if (along_taps_) {
        Gemm::pack_a(packed, block.data, block.stride, !part.dy.by_pixel, depth, count);
        Gemm::multiply(to, stride, packed, weight, count, depth, rows, d == 0);
      } else {
        Gemm::pack_b(packed, block.data, block.stride, part.dy.by_pixel, depth, count);
        Gemm::multiply(to, stride, weight, packed, rows, depth, count, d == 0);
      }
    }
  }

  /// As many lines of inputs as make a task worth a thread's time.
  int64_t lines_at_once() const {
    constexpr int64_t kAdditions = 16384;
    const int64_t lines = images_.length * (nchw() ? channels() : 1) * p_.h.in;
    const int64_t additions = channels() * p_.h.kernel * p_.w.kernel * images_.length * bands_.length * p_.w.out;
    return std::clamp<int64_t>(kAdditions / (additions / lines + p_.w.in), 1, lines);
  }

  /// Adds up the part's columns for `lines` lines of inputs: under nchw of one channel each, else of all.
  void add_up(T* dx, const T* columns, const Part& part, int64_t line, int64_t lines) const {
    const int64_t planes = nchw() ? channels() : 1, length = p_.w.in * (nchw() ? 1 : channels());
    T* to = dx + (part.image * planes * p_.h.in + line) * length;
    if (part.row == 0) std::fill_n(to, lines * length, T(0));
    int64_t y = line % p_.h.in, plane = line / p_.h.in % planes, image = line / p_.h.in / planes;
    Taps taps = Taps::of_input(p_.h, y % p_.h.stride);
    for (; lines > 0; --lines, to += length) {
      add_up_line(to, columns, part, taps, y / p_.h.stride, plane, image);
      if (++y == p_.h.in) y = 0, ++plane;
      if (plane == planes) plane = 0, ++image;
      if (p_.h.stride > 1) taps = Taps::of_input(p_.h, y % p_.h.stride);
    }
  }
  /// Line `index` of those inputs that `taps` are for.
  void add_up_line(T* to, const T* columns, const Part& part, const Taps& taps, int64_t index, int64_t channel,
                   int64_t image) const {
    // From one row of the kernel to the next, the row of outputs that meets this line moves up by `up`.
    const int64_t bottom = index + taps.offset, end = part.row + part.rows, up = -taps.offset_step;
    if (taps.count == 0 || bottom < part.row) return;
    const int64_t first = bottom < end ? 0 : (bottom - end) / up + 1;
    const int64_t last = std::min(taps.count - 1, (bottom - part.row) / up);
    for (int64_t t = first; t <= last; ++t) {
      const int64_t tap = taps.kernel + t * taps.kernel_step, row = bottom - t * up - part.row;
      const int64_t pixel = (image * part.rows + row) * p_.w.out;
      if (along_taps_)
        add_by_outputs(to, columns, part, tap, channel, pixel);
      else
        for (int64_t c = channel, stop = nchw() ? channel + 1 : channels(); c < stop; ++c)
          add_by_taps(to + (nchw() ? 0 : c), columns, part, tap, c, pixel);
    }
  }

  /// Adds row `tap` of the kernel for one channel to a line, whose first input of that channel is at `to`.
  void add_by_taps(T* to, const T* columns, const Part& part, int64_t tap, int64_t channel, int64_t pixel) const {
    const int64_t apart = nchw() ? 1 : channels();
    for (int64_t q = 0; q < p_.w.kernel; ++q) {
      const int64_t at = q * p_.w.dilation - p_.w.pad();
      const auto [begin, end] = inside(at, p_.w.stride, p_.w.out);
      const int64_t element = (channel % p_.in_channels * p_.h.kernel + tap) * p_.w.kernel + q;
      add(to + (at + begin * p_.w.stride) * apart, p_.w.stride * apart,
          columns + place(part, channel / p_.in_channels, element, pixel + begin), end - begin);
    }
  }

  void add_by_outputs(T* to, const T* columns, const Part& part, int64_t tap, int64_t channel, int64_t pixel) const {
    for (int64_t j = 0; j < p_.w.out; ++j) {
      const int64_t at = j * p_.w.stride - p_.w.pad(), step = p_.w.dilation;
      const auto [begin, end] = inside(at, step, p_.w.kernel);
      if (nchw()) {
        const int64_t element = (channel % p_.in_channels * p_.h.kernel + tap) * p_.w.kernel + begin;
        add(to + at + begin * step, step, columns + place(part, channel / p_.in_channels, element, pixel + j),
            end - begin);
        continue;
      }
      for (int64_t group = 0; group < p_.groups; ++group) {
        const int64_t in = p_.in_channels, together = taps_run().length == in ? 1 : end - begin;
        for (int64_t q = begin; q < end; q += together)
          add(to + (at + q * step) * channels() + group * in, 1,
              columns + place(part, group, (tap * p_.w.kernel + q) * in, pixel + j), together * in);
      }
    }
  }

  /// Which of `count` places `at`, `at + step`, ... are inputs: [first, second).
  std::pair<int64_t, int64_t> inside(int64_t at, int64_t step, int64_t count) const {
    const auto least = [&](int64_t from) { return from <= 0 ? 0 : std::min(ceil_div(from, step), count); };
    const int64_t begin = at < 0 ? least(-at) : 0;
    return {begin, at + (count - 1) * step < p_.w.in ? count : std::max(begin, least(p_.w.in - at))};
  }

  static void add(T* __restrict to, int64_t step, const T* __restrict from, int64_t n) {
    if (step == 1)
      for (int64_t i = 0; i < n; ++i) to[i] += from[i];
    else
      for (int64_t i = 0; i < n; ++i) to[i * step] += from[i];
  }

  Conv2dProblem p_;
  Cut depth_;
  bool along_taps_;
  Cut rows_, images_{}, bands_{};
};

}  // namespace twofold
