// Moving elements on GPUs as words of the greatest size that shapes and addresses allow, and their index arithmetic.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include <twofold/kernels/cuda/launch.h>

namespace twofold::cuda {

/// The widest access in bytes, 16 at most, whose width divides all that `bits` combines by "or": addresses and offsets
/// in bytes.
inline int widest_word(uint64_t bits) { return static_cast<int>((bits | 16) & ~((bits | 16) - 1)); }

inline uint64_t address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

/// f(Word()) with the word of so many bytes: 1, 2, 4, 8 or 16.
template <class F>
void with_word(int bytes, F&& f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    case 8: return f(uint64_t{});
    default: return f(uint4{});
  }
}

#ifdef __CUDACC__

/// a / b of numbers that are not negative; the division of 32 bits is many times faster.
__device__ inline int64_t quotient(int64_t a, int64_t b) {
  return ((a | b) >> 32) == 0 ? static_cast<int64_t>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b)) : a / b;
}

/// This thread's first element in a loop over many, and the loop's step.
__device__ inline int64_t first_element() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t element_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

#endif

}  // namespace twofold::cuda
