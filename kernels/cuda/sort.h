// Sorting on GPUs.
#pragma once

#include <cstddef>
#include <cstdint>

#include <twofold/lib/runtime/kernel.h>

namespace twofold::cuda {

/// Keys and what goes with each, in the GPU's memory.
struct Pairs {
  uint64_t* keys;
  int64_t* values;
};

/// `n` > 0 pairs sorted by the lower `bits` of their keys, pairs of equal keys in the order that they came in.
class PairSort {
 public:
  PairSort() = default;
  /// Asks the current GPU how much scratch it takes.
  PairSort(int64_t n, int bits);

  /// Bytes of the workspace that `input` and `run` are given; a multiple of 256.
  size_t bytes() const;
  /// Where the pairs are to be written.
  Pairs input(void* workspace) const;
  /// Enqueues the work; returns where the sorted pairs will be.
  Pairs run(void* workspace, KernelContext& ctx) const;

 private:
  int64_t n_ = 0;
  int bits_ = 0;
  size_t scratch_ = 0;
};

}  // namespace twofold::cuda
