// The host's part of items.h: how shapes broadcast, and launches.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#include <span>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/pointwise/items.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

static_assert(kMostAxes == kMaxRank);

inline Axis axis_of(int64_t extent) {
  Axis axis{extent, 0, 0};
  if (extent > INT32_MAX) return axis;  // indices as large are not divided by multiplication
  while (int64_t{1} << axis.shift < extent) ++axis.shift;
  const uint64_t e = static_cast<uint64_t>(extent), rest = (uint64_t{1} << axis.shift) - e;
  axis.multiplier = static_cast<uint32_t>((rest << 32) / e + 1);
  return axis;
}

/// How `inputs`, at most kInputs, broadcast to `out`; all known in full.
template <int kInputs>
Broadcast<kInputs> make_broadcast(std::span<const Shape> inputs, const Shape& out) {
  Broadcast<kInputs> b{};
  b.n = out.num_elements();
  if (b.n == 0) return b;
  int64_t extents[kMaxRank] = {1}, compact[kInputs];  // compact: the stride of an input's next axis outwards
  for (int64_t& stride : compact) stride = 1;
  for (int k = out.rank() - 1; k >= 0; --k) {
    if (out[k] == 1) continue;
    int64_t step[kInputs];
    bool merges = b.rank > 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const int j = k - (out.rank() - inputs[i].rank());
      const int64_t own = j >= 0 ? inputs[i][j] : 1;
      step[i] = own == 1 ? 0 : compact[i];
      compact[i] *= own;
      if (merges) merges = step[i] == b.strides[i][b.rank - 1] * extents[b.rank - 1];
    }
    if (merges) {
      extents[b.rank - 1] *= out[k];
    } else {
      extents[b.rank] = out[k];
      for (size_t i = 0; i < inputs.size(); ++i) b.strides[i][b.rank] = step[i];
      ++b.rank;
    }
  }
  if (b.rank == 0) b.rank = 1;  // one element
  for (int k = 0; k < b.rank; ++k) b.axes[k] = axis_of(extents[k]);
  b.aligned = b.rank == 1 || extents[0] % kItems == 0;
  return b;
}

/// Bits of an address that must be 0 for kItems elements of `bytes` bytes to be moved at once.
inline uintptr_t alignment_mask(size_t bytes) { return (bytes * kItems < 16 ? bytes * kItems : 16) - 1; }

/// Launches a kernel made of items.h for `n` > 0 elements.
inline void launch_items(const void* kernel, int64_t n, void** parameters, KernelContext& ctx) {
  constexpr int64_t kChunk = kItems * kItemThreads;
  const cudaError_t error = cudaLaunchKernel(kernel, dim3(static_cast<unsigned>((n + kChunk - 1) / kChunk)),
                                             dim3(kItemThreads), parameters, 0, cuda::stream_of(ctx));
  if (error != cudaSuccess) ctx.fail(KernelError::device_failure, error);
}

}  // namespace twofold
