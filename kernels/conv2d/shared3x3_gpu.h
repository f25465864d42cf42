// What our own kernels for 3x3 convolutions share. For .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include <twofold/kernels/cuda/launch.h>

namespace twofold::direct3x3 {

using cuda::kWarp;
constexpr int kTaps = 9;

inline int divide_up(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }

/// Bytes of shared memory that a block may have on the current device.
inline int most_shared_bytes() {
  int device = 0, n = 0;
  const bool known = cudaGetDevice(&device) == cudaSuccess &&
                     cudaDeviceGetAttribute(&n, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess;
  return known ? n : 0;
}

/// Begins to copy an element to shared memory; a zero instead if it is not `valid`.
template <class T>
__device__ void copy_or_clear(T* to, const T* from, bool valid) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(from), "n"(sizeof(T)), "r"(valid ? static_cast<unsigned>(sizeof(T)) : 0));
}

}  // namespace twofold::direct3x3
