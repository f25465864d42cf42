// How convolutions as matrix products are cut into blocks: a function of the shapes alone. For *_cpu.cc files only.
#pragma once

#include <algorithm>
#include <cstdint>

#include <twofold/kernels/conv2d/patches_cpu.h>

namespace twofold {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// An extent cut into `count` pieces.
struct Cut {
  int64_t extent, count, length;

  static Cut of_length(int64_t extent, int64_t length) { return {extent, ceil_div(extent, length), length}; }
  /// As few pieces of at most `most` as possible, as equal as possible.
  static Cut evenly(int64_t extent, int64_t most) {
    return extent == 0 ? of_length(0, most) : of_length(extent, ceil_div(extent, ceil_div(extent, most)));
  }
  int64_t begin(int64_t i) const { return i * length; }
  int64_t size(int64_t i) const { return std::min(length, extent - begin(i)); }
};

/// The largest blocks, small enough for packing buffers on the stack.
template <class T>
struct BlockSize {
  static constexpr int64_t kPixels = 448 / sizeof(T);
  static constexpr int64_t kDepth = 96;  ///< of patches
  static constexpr int64_t kChannels = 64;
};

/// The pixels of a batch of images in tiles: parts of one image, of whole rows if rows are short; or, if images have
/// few pixels, parts of all images' pixels, one image after another.
template <class T>
class PixelTiles {
  static constexpr int64_t kMost = BlockSize<T>::kPixels;

 public:
  struct Tile {
    int64_t image, begin, count;  ///< from pixel `begin` of `image` on
  };

  PixelTiles(const Patches& p, int64_t batch)
      : pixels_(p.pixels()),
        runs_on_(2 * pixels_ <= kMost && !(p.direct && pixels_ >= 32)),
        cut_(Cut::of_length(runs_on_ ? batch * pixels_ : pixels_,
                            runs_on_ || p.w.outputs > kMost ? kMost : kMost / p.w.outputs * p.w.outputs)),
        count_(runs_on_ ? cut_.count : batch * cut_.count) {}

  int64_t count() const { return count_; }
  Tile operator[](int64_t i) const {
    if (!runs_on_) return {i / cut_.count, cut_.begin(i % cut_.count), cut_.size(i % cut_.count)};
    return {cut_.begin(i) / pixels_, cut_.begin(i) % pixels_, cut_.size(i)};
  }

 private:
  int64_t pixels_;
  bool runs_on_;
  Cut cut_;
  int64_t count_;
};

}  // namespace twofold
