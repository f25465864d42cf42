// Which taps of a convolution take part in it: for *_cpu.cc files only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include <twofold/kernels/conv2d/patches_cpu.h>
#include <twofold/kernels/conv2d/problem.h>

namespace twofold {

/// The taps (p, q) that have a weight other than zero. The others, which masks make, are left out of the sums: so what
/// they would be multiplied by does not matter, even where it is not finite.
class UsedTaps {
 public:
  /// Bytes, rounded up so that what follows them is aligned.
  static size_t workspace(const Conv2dProblem& p) {
    const auto taps = static_cast<size_t>(p.h.kernel * p.w.kernel);
    return (taps * (sizeof(Tap) + sizeof(bool)) + 63) / 64 * 64;
  }

  /// Reads weights until every tap has been found in use, as a rule at once.
  template <class T>
  UsedTaps(const Conv2dProblem& p, const T* weight, void* workspace)
      : kernel_w_(p.w.kernel),
        taps_(p.h.kernel * kernel_w_),
        list_(static_cast<Tap*>(workspace)),
        used_(reinterpret_cast<bool*>(list_ + taps_)) {
    auto* const unmet = reinterpret_cast<int64_t*>(list_);
    static_assert(sizeof *unmet == sizeof *list_);
    std::iota(unmet, unmet + taps_, int64_t{0});
    std::fill_n(used_, taps_, false);
    unused_ = taps_;
    const T* const end = weight + p.groups * p.out_channels * p.in_channels * taps_;
    for (const T* kernel = weight; kernel < end && unused_ > 0; kernel += taps_)
      for (int64_t i = 0; i < unused_;) {
        if (kernel[unmet[i]] != 0)
          used_[unmet[i]] = true, unmet[i] = unmet[--unused_];
        else
          ++i;
      }
  }
  UsedTaps(const UsedTaps&) = delete;

  bool all() const { return unused_ == 0; }
  /// Leaves the unused taps out of `patches`; valid until this is called for others.
  void restrict(Patches& patches) const {
    if (all()) return;
    const Taps &h = patches.h, &w = patches.w;
    int64_t n = 0;
    for (int64_t i = 0; i < h.count; ++i)
      for (int64_t j = 0; j < w.count; ++j)
        if (used_[(h.kernel + i * h.kernel_step) * kernel_w_ + w.kernel + j * w.kernel_step])
          list_[n++] = {static_cast<int32_t>(i), static_cast<int32_t>(j)};
    patches.restrict_to(list_, n);
  }

 private:
  int64_t kernel_w_, taps_, unused_;
  Tap* list_;  ///< in the workspace, as is what follows
  bool* used_;
};

}  // namespace twofold
