// Row-major walks over strided axes, for kernels. Self-contained: plugins may include it.
#pragma once

#include <cstdint>

#include <twofold/lib/core/shape.h>

namespace twofold {

/// What is left of a shape once its axes are merged: extents, and how many elements apart neighbours lie.
struct Walk {
  int rank = 0;
  int64_t extent[kMaxRank];
  int64_t stride[kMaxRank];

  void push(int64_t e, int64_t s) { extent[rank] = e, stride[rank] = s, ++rank; }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= extent[i];
    return n;
  }
};

/// A place in a walk, entered at any step. `next()` past the last step starts over.
class Cursor {
 public:
  Cursor(const Walk& walk, int64_t step) : walk_(walk) {
    for (int i = walk.rank; i-- > 0;) {
      at_[i] = step % walk.extent[i];
      step /= walk.extent[i];
      offset_ += at_[i] * walk.stride[i];
    }
  }
  int64_t offset() const { return offset_; }
  void next() {
    for (int i = walk_.rank; i-- > 0;) {
      offset_ += walk_.stride[i];
      if (++at_[i] < walk_.extent[i]) return;
      offset_ -= at_[i] * walk_.stride[i];
      at_[i] = 0;
    }
  }

 private:
  const Walk& walk_;
  int64_t at_[kMaxRank];
  int64_t offset_ = 0;
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace twofold
