// How CUDA kernels that reduce many elements to one share them among threads and blocks. For .cu files.
#pragma once

#include <algorithm>
#include <bit>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/layout/walk.h>

namespace twofold::cuda {

/// The shares of a grid that makes `outputs` results of `count` elements each. A block has `across` results, `along`
/// threads for each of them, and one of the `splits` runs of `chunk` elements into which theirs are divided. All of it
/// follows from the problem alone, and so do the bits of what is reduced by it.
struct Share {
  int64_t outputs, count;
  int64_t splits, chunk;
  int32_t across, along;  ///< powers of two that make kThreads
  bool rows;              ///< neighbouring threads have neighbouring elements of one result, else neighbouring results

  unsigned blocks() const { return static_cast<unsigned>(ceil_div(outputs, across) * splits); }
  /// The number of partial results that blocks leave to be joined, where an output's elements are split; else 0.
  size_t partials() const { return splits > 1 ? static_cast<size_t>(outputs * splits) : 0; }
};

/// `bytes`: of what a thread reads at once.
inline Share share_out(int64_t outputs, int64_t count, bool rows, size_t bytes) {
  constexpr int64_t kBlocks = 1024;  // wanted in a grid: several for each multiprocessor
  constexpr int64_t kFew = 8;        // elements per thread that are worth one more thread, or split
  const auto fills = [&](int64_t along) { return outputs * along >= kBlocks * kThreads; };
  const auto power_of_two = [](int64_t n, int64_t most) {
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(n, 1, most))));
  };
  int64_t most = kThreads;
  if (!rows) {
    constexpr size_t kSector = 32;  // bytes that come from memory together
    int64_t width = power_of_two(outputs, kWarp);
    while (width * bytes > kSector && !fills(kThreads / width)) width /= 2;
    most = kThreads / width;
  }
  int64_t along = power_of_two(count, most);
  while (along > 1 && fills(along) && count < kFew * along) along /= 2;
  const int64_t across = kThreads / along, tiles = std::max<int64_t>(1, ceil_div(outputs, across));
  int64_t splits = 1;
  if (2 * tiles <= kBlocks && count >= 2 * kFew * along)
    splits = std::min(ceil_div(kBlocks, tiles), count / (kFew * along));
  const int64_t chunk = std::max<int64_t>(1, ceil_div(ceil_div(count, splits), along)) * along;
  splits = std::max<int64_t>(1, ceil_div(count, chunk));
  return {outputs, count, splits, chunk, static_cast<int32_t>(across), static_cast<int32_t>(along), rows};
}

#ifdef __CUDACC__

/// This thread's place in a share: elements begin, begin + along, ... below end of one output.
struct Place {
  int64_t output, split, begin, end;
  int first;   ///< thread of the block that is the output's first
  int stride;  ///< threads between two of the output's
  int index;   ///< of this thread among the output's

  __device__ explicit Place(const Share& s) {
    const int thread = static_cast<int>(threadIdx.x);
    index = s.rows ? thread % s.along : thread / s.across;
    stride = s.rows ? 1 : s.across;
    first = thread - index * stride;
    split = blockIdx.x % s.splits;
    output = blockIdx.x / s.splits * s.across + (s.rows ? thread / s.along : thread % s.across);
    begin = split * s.chunk + index;
    end = output < s.outputs ? std::min(s.count, (split + 1) * s.chunk) : 0;
  }
};

/// R::join over the threads of each output, earlier ones on the left; all of them get the result. To be called once in
/// a kernel.
template <class R>
__device__ typename R::Total join_block(const Share& s, const Place& at, const typename R::Total& mine) {
  __shared__ typename R::Total all[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  all[thread] = mine;
  for (int half = s.along / 2; half > 0; half /= 2) {
    __syncthreads();
    if (at.index < half) all[thread] = R::join(all[thread], all[thread + half * at.stride]);
  }
  __syncthreads();
  return all[at.first];
}

/// V elements that are loaded and stored at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T of[V];
};

template <class T, int V>
bool is_aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % alignof(Pack<T, V>) == 0;
}
template <int V, class T>
__device__ Pack<T, V> load(const T* x, bool aligned) {
  if (aligned) return *reinterpret_cast<const Pack<T, V>*>(x);
  Pack<T, V> pack;
#pragma unroll
  for (int i = 0; i < V; ++i) pack.of[i] = x[i];
  return pack;
}
template <int V, class T>
__device__ void store(T* y, const Pack<T, V>& pack, bool aligned) {
  if (aligned) {
    *reinterpret_cast<Pack<T, V>*>(y) = pack;
    return;
  }
#pragma unroll
  for (int i = 0; i < V; ++i) y[i] = pack.of[i];
}

/// How far from its start the place number `step` of a walk lies.
__device__ inline int64_t offset_of(const Walk& walk, int64_t step) {
  int64_t offset = 0;
  for (int i = walk.rank; i-- > 1; step /= walk.extent[i]) offset += step % walk.extent[i] * walk.stride[i];
  return walk.rank > 0 ? offset + step * walk.stride[0] : 0;
}

#endif

}  // namespace twofold::cuda
