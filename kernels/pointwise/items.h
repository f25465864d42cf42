// Which elements a thread of a pointwise kernel works on, where their operands lie, and how both are moved.
// Freestanding: pointwise_gpu.cu and the kernels of fused groups (fused_gpu.cc), which NVRTC compiles, share this text.
// Host code includes <stdint.h> before it.
#pragma once

namespace twofold {

constexpr int kItems = 4;          ///< elements that a thread has at a time
constexpr int kItemThreads = 256;  ///< threads of a block
constexpr int kMostAxes = 8;

/// An axis of the output. An index below 2^31 is divided by its extent as (high half of index * multiplier + index) >>
/// shift (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994).
struct Axis {
  int64_t extent;
  uint32_t multiplier, shift;
};

/// How kInputs operands are broadcast to the output: its axes, innermost first, merged where every operand allows it,
/// and the elements between neighbours along them in each operand. A stride along axis 0 is 0 or 1.
template <int kInputs>
struct Broadcast {
  int64_t n;  ///< elements of the output
  int32_t rank;
  int32_t aligned;  ///< whether items can be neighbours: along axis 0 no group of kItems of them is split
  Axis axes[kMostAxes];
  int64_t strides[kInputs][kMostAxes];
};

#ifdef __CUDACC__
/// The elements of one thread; each block has a chunk of kItems * kItemThreads. A thread's are neighbours if `vectors`,
/// to be moved 16 bytes at a time, else kItemThreads apart, so that the elements of a warp are neighbours. In a chunk
/// that the output's end cuts off they are never neighbours, and may lie beyond it.
struct Items {
  int64_t n, first;
  bool vectors;

  __device__ Items(int64_t size, bool whole_vectors) : n(size) {
    const int64_t chunk = int64_t{blockIdx.x} * (kItems * kItemThreads);
    vectors = whole_vectors && chunk + kItems * kItemThreads <= size;
    first = chunk + threadIdx.x * (vectors ? kItems : 1);
  }
  __device__ int64_t operator[](int item) const { return first + item * (vectors ? 1 : kItemThreads); }
};

template <class T>
struct alignas(kItems * sizeof(T) < 16 ? kItems * sizeof(T) : 16) Values {
  T of[kItems];
};

/// Where an operand has its elements for a thread's items; if those are neighbours, only the first one's counts.
struct Places {
  int64_t of[kItems];
};

/// The places of an operand of the output's shape.
__device__ inline Places flat(const Items& items) {
  Places at;
  for (int e = 0; e < kItems; ++e) at.of[e] = items[e];
  return at;
}

__device__ inline uint32_t divide(uint32_t index, const Axis& by) {
  return (__umulhi(index, by.multiplier) + index) >> by.shift;
}
__device__ inline int64_t divide(int64_t index, const Axis& by) { return index / by.extent; }

/// The places of every operand, computed in integers of type Index.
template <class Index, int kInputs>
__device__ void locate_in(const Broadcast<kInputs>& b, const Items& items, Places (&at)[kInputs]) {
  Index index[kItems], sum[kInputs][kItems]{};
  for (int e = 0; e < kItems; ++e) index[e] = static_cast<Index>(items[e]);
  for (int k = 0; k < b.rank; ++k) {
    for (int e = 0; e < kItems; ++e) {
      const Index next = k + 1 < b.rank ? divide(index[e], b.axes[k]) : 0;
      const Index here = index[e] - next * static_cast<Index>(b.axes[k].extent);
      for (int i = 0; i < kInputs; ++i) sum[i][e] += here * static_cast<Index>(b.strides[i][k]);
      index[e] = next;
    }
  }
  for (int i = 0; i < kInputs; ++i)
    for (int e = 0; e < kItems; ++e) at[i].of[e] = static_cast<int64_t>(sum[i][e]);
}
template <int kInputs>
__device__ void locate(const Broadcast<kInputs>& b, const Items& items, Places (&at)[kInputs]) {
  if (b.n <= 0x7fffffff)
    locate_in<uint32_t>(b, items, at);
  else
    locate_in<int64_t>(b, items, at);
}

/// An operand's elements; `advances`: it is not broadcast along axis 0.
template <class T>
__device__ Values<T> load(const Items& items, const Places& at, bool advances, const T* from) {
  Values<T> values{};
  if (!items.vectors) {
    for (int e = 0; e < kItems; ++e)
      if (items[e] < items.n) values.of[e] = from[at.of[e]];
  } else if (advances) {
    values = *reinterpret_cast<const Values<T>*>(from + at.of[0]);
  } else {
    const T value = from[at.of[0]];
    for (int e = 0; e < kItems; ++e) values.of[e] = value;
  }
  return values;
}

template <class T>
__device__ void store(const Items& items, T* to, const Values<T>& values) {
  if (items.vectors) {
    *reinterpret_cast<Values<T>*>(to + items.first) = values;
  } else {
    for (int e = 0; e < kItems; ++e)
      if (items[e] < items.n) to[items[e]] = values.of[e];
  }
}
#endif

}  // namespace twofold
