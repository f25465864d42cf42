// Sums of rows by index on GPUs, in the order of their positions: these are sorted by row, and a row with many updates
// is summed in chunks, whose bounds follow from the indices alone.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <type_traits>

#include <twofold/kernels/cuda/sort.h>
#include <twofold/kernels/gather/indices_gpu.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

using namespace cuda;

constexpr int64_t kChunk = 128;  ///< rows of no more updates are summed as one

/// Key: the row of batch and extent, or the one behind the last for an index out of range; value: the position.
static __global__ void __launch_bounds__(kThreads)
    make_pairs(GatherPlan p, int64_t positions, Indices indices, Pairs pairs, Reporter report) {
  for (int64_t i = first_element(); i < positions; i += element_step()) {
    const int64_t index = indices[i];
    const int64_t row = check_index(p, index, report) ? quotient(i, p.count) * p.extent + index : p.batch * p.extent;
    pairs.keys[i] = static_cast<uint64_t>(row);
    pairs.values[i] = i;
  }
}

/// Whether the chunk at `s`, a multiple of kChunk, carries on the one before: rows of more than kChunk updates are cut
/// at such places, the first one being kChunk or more behind the row's first.
__device__ inline bool carries_on(const uint64_t* keys, int64_t s) {
  return s >= kChunk && keys[s - kChunk] == keys[s];
}

/// Where the chunk that begins at `s` ends.
__device__ inline int64_t chunk_end(const uint64_t* keys, int64_t s, int64_t positions) {
  const uint64_t key = keys[s];
  const int64_t most = min(positions, ceil_div(s + kChunk, kChunk) * kChunk);
  int64_t low = s, high = s + 1;  // keys[low] is the chunk's
  while (high < most && keys[high] == key) low = high, high = min(most, high + (high - s));
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (keys[middle] == key ? low : high) = middle;
  }
  return high;
}

/// The first pair of the row whose first chunk that carries on begins at `s`.
__device__ inline int64_t first_of_row(const uint64_t* keys, int64_t s) {
  int64_t low = max(int64_t{-1}, s - 2 * kChunk), high = s - kChunk;  // the row begins within (low, high]
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (keys[middle] == keys[s] ? high : low) = middle;
  }
  return high;
}

/// The sum of each chunk, a row's first one where `sums` has the row, the others into `partials` (positions / kChunk,
/// outer, inner). `sums(before, key, s)` is where the inner axis begins for the row before * extent + key of (batch,
/// outer, extent), whose first pair is `s`.
template <class T, class Sums>
__global__ void __launch_bounds__(kThreads)
    add_chunks(GatherPlan p, int64_t positions, int64_t n, Pairs pairs, const T* __restrict__ updates, Sums sums,
               T* __restrict__ partials) {
  for (int64_t e = first_element(); e < n; e += element_step()) {
    const int64_t line = quotient(e, p.inner), o = quotient(line, positions);
    const int64_t k = e - line * p.inner, s = line - o * positions;
    const auto key = static_cast<int64_t>(pairs.keys[s]);
    if (key == p.batch * p.extent) continue;
    const bool first = s == 0 || pairs.keys[s - 1] != pairs.keys[s];
    if (!first && (s % kChunk != 0 || !carries_on(pairs.keys, s))) continue;
    const int64_t b = quotient(key, p.extent), rows_before = b * (p.outer - 1) + o;  // of other batch or outer entries
    const T* from = updates + rows_before * p.count * p.inner + k;
    const int64_t end = chunk_end(pairs.keys, s, positions);
    T sum = 0;
#pragma unroll 8
    for (int64_t i = s; i < end; ++i) sum = static_cast<T>(sum + from[pairs.values[i] * p.inner]);
    if (first)
      sums(rows_before, key, s)[k] = sum;
    else
      partials[(s / kChunk * p.outer + o) * p.inner + k] = sum;
  }
}

/// Adds the partial sums of each row to its first, floating ones in float64.
template <class T, class Sums>
__global__ void __launch_bounds__(kThreads)
    add_partials(GatherPlan p, int64_t positions, int64_t n, const uint64_t* keys, const T* __restrict__ partials,
                 Sums sums) {
  for (int64_t e = first_element(); e < n; e += element_step()) {
    const int64_t line = quotient(e, p.inner), chunk = quotient(line, p.outer);
    const int64_t k = e - line * p.inner, o = line - chunk * p.outer, s = chunk * kChunk;
    const auto key = static_cast<int64_t>(keys[s]);
    // The first of a row's chunks that carry on adds up all of them.
    if (key == p.batch * p.extent || !carries_on(keys, s) || carries_on(keys, s - kChunk)) continue;
    const int64_t b = quotient(key, p.extent), rows_before = b * (p.outer - 1) + o;
    T* to = sums(rows_before, key, first_of_row(keys, s)) + k;
    std::conditional_t<std::is_floating_point_v<T>, double, T> sum = *to;
    for (int64_t i = s; i < positions && keys[i] == keys[s]; i += kChunk)
      sum += partials[(i / kChunk * p.outer + o) * p.inner + k];
    *to = static_cast<T>(sum);
  }
}

/// What the kernels above take, and their workspace.
struct RowSums {
  GatherPlan plan;
  bool wide;
  PairSort sort;

  RowSums(const GatherPlan& p, bool is_wide) : plan(p), wide(is_wide) {}
  int64_t positions() const { return plan.batch * plan.count; }
  int64_t updates() const { return positions() * plan.outer * plan.inner; }
  int64_t chunks() const { return ceil_div(positions(), kChunk); }
  int64_t partials() const { return chunks() * plan.outer * plan.inner; }

  /// To be called before `run`, where there are updates.
  void prepare() {
    sort = PairSort(positions(), static_cast<int>(std::bit_width(static_cast<uint64_t>(plan.batch * plan.extent) | 1)));
  }
  template <class T>
  size_t bytes() const {
    return sort.bytes() + static_cast<size_t>(partials()) * sizeof(T);
  }
  /// Enqueues the sums; returns the sorted pairs.
  template <class T, class Sums>
  Pairs run(Indices indices, const T* from, Sums sums, KernelContext& ctx) const {
    const cudaStream_t stream = stream_of(ctx);
    const int64_t n = positions();
    make_pairs<<<blocks_for(n), kThreads, 0, stream>>>(plan, n, indices, sort.input(ctx.workspace), Reporter(ctx));
    const Pairs pairs = sort.run(ctx.workspace, ctx);
    auto* parts = reinterpret_cast<T*>(static_cast<char*>(ctx.workspace) + sort.bytes());
    add_chunks<<<blocks_for(updates()), kThreads, 0, stream>>>(plan, n, updates(), pairs, from, sums, parts);
    if (chunks() > 1)
      add_partials<<<blocks_for(partials()), kThreads, 0, stream>>>(plan, n, partials(), pairs.keys, parts, sums);
    return pairs;
  }
};

}  // namespace twofold
