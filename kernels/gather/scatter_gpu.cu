// CUDA kernels of gather's adjoint. Every row of the output is summed in the order of its updates' positions. Where
// there are few, the first of a row looks for the others; where many, they are sorted by row, and a row of very many is
// summed in chunks, whose bounds follow from the indices alone.
#include <cuda_runtime.h>

#include <bit>
#include <type_traits>

#include <twofold/kernels/cuda/sort.h>
#include <twofold/kernels/gather/indices_gpu.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {

Prepared prepare_scatter_gpu(const Signature& s);

namespace {

using namespace cuda;

constexpr int64_t kFew = 128;    ///< indices of a batch entry that are compared one by one
constexpr int64_t kChunk = 128;  ///< rows of no more updates are summed as one

template <class T>
__global__ void __launch_bounds__(kThreads) add_few(GatherPlan p, int64_t n, Indices indices,
                                                    const T* __restrict__ updates, T* __restrict__ y, Reporter report) {
  for (int64_t e = first_element(); e < n; e += element_step()) {
    const int64_t slice = quotient(e, p.inner), row = quotient(slice, p.count);  // row: batch and outer
    const int64_t first = quotient(row, p.outer) * p.count, i = slice - row * p.count, k = e - slice * p.inner;
    const int64_t index = indices[first + i];
    if (!check_index(p, index, report)) continue;
    int64_t other = 0;
    while (other < i && indices[first + other] != index) ++other;
    if (other < i) continue;  // which sums the row
    const T* from = updates + row * p.count * p.inner + k;
    T sum = static_cast<T>(T(0) + from[i * p.inner]);
    for (other = i + 1; other < p.count; ++other)
      if (indices[first + other] == index) sum = static_cast<T>(sum + from[other * p.inner]);
    y[(row * p.extent + index) * p.inner + k] = sum;
  }
}

/// Key: the row of batch and extent, or the one behind the last for an index out of range; value: the position.
__global__ void __launch_bounds__(kThreads)
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
__device__ bool carries_on(const uint64_t* keys, int64_t s) { return s >= kChunk && keys[s - kChunk] == keys[s]; }

/// Where the chunk that begins at `s` ends.
__device__ int64_t chunk_end(const uint64_t* keys, int64_t s, int64_t positions) {
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

/// The sum of each chunk, a row's first one into y, the others into `partials` (positions / kChunk, outer, inner).
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_chunks(GatherPlan p, int64_t positions, int64_t n, Pairs pairs, const T* __restrict__ updates,
               T* __restrict__ y, T* __restrict__ partials) {
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
      y[(rows_before * p.extent + key) * p.inner + k] = sum;
    else
      partials[(s / kChunk * p.outer + o) * p.inner + k] = sum;
  }
}

/// Adds the partial sums of each row to its first, floating ones in float64.
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_partials(GatherPlan p, int64_t positions, int64_t n, const uint64_t* keys, const T* __restrict__ partials,
                 T* __restrict__ y) {
  for (int64_t e = first_element(); e < n; e += element_step()) {
    const int64_t line = quotient(e, p.inner), chunk = quotient(line, p.outer);
    const int64_t k = e - line * p.inner, o = line - chunk * p.outer, s = chunk * kChunk;
    const auto key = static_cast<int64_t>(keys[s]);
    // Of a row's chunks the first that carries on does it.
    if (key == p.batch * p.extent || !carries_on(keys, s) || carries_on(keys, s - kChunk)) continue;
    const int64_t b = quotient(key, p.extent), rows_before = b * (p.outer - 1) + o;
    T* to = y + (rows_before * p.extent + key) * p.inner + k;
    std::conditional_t<std::is_floating_point_v<T>, double, T> sum = *to;
    for (int64_t i = s; i < positions && keys[i] == keys[s]; i += kChunk)
      sum += partials[(i / kChunk * p.outer + o) * p.inner + k];
    *to = static_cast<T>(sum);
  }
}

struct ScatterParams {
  GatherPlan plan;
  bool wide;
  PairSort sort;
  int64_t positions() const { return plan.batch * plan.count; }
  int64_t updates() const { return positions() * plan.outer * plan.inner; }
  int64_t chunks() const { return ceil_div(positions(), kChunk); }
  int64_t partials() const { return chunks() * plan.outer * plan.inner; }
};

template <class T>
void few(const ScatterParams& q, Indices indices, const T* updates, T* y, KernelContext& ctx) {
  const int64_t n = q.updates();
  add_few<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(q.plan, n, indices, updates, y, Reporter(ctx));
}

template <class T>
void many(const ScatterParams& q, Indices indices, const T* updates, T* y, KernelContext& ctx) {
  const cudaStream_t stream = stream_of(ctx);
  const int64_t positions = q.positions();
  make_pairs<<<blocks_for(positions), kThreads, 0, stream>>>(q.plan, positions, indices, q.sort.input(ctx.workspace),
                                                             Reporter(ctx));
  const Pairs pairs = q.sort.run(ctx.workspace, ctx);
  auto* partials = reinterpret_cast<T*>(static_cast<char*>(ctx.workspace) + q.sort.bytes());
  add_chunks<<<blocks_for(q.updates()), kThreads, 0, stream>>>(q.plan, positions, q.updates(), pairs, updates, y,
                                                               partials);
  if (q.chunks() > 1)
    add_partials<<<blocks_for(q.partials()), kThreads, 0, stream>>>(q.plan, positions, q.partials(), pairs.keys,
                                                                    partials, y);
}

template <class T>
void run_scatter(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& q = *static_cast<const ScatterParams*>(params);
  const GatherPlan& p = q.plan;
  const Indices indices{args[1], q.wide};
  const auto* updates = static_cast<const T*>(args[0]);
  auto* y = static_cast<T*>(args[3]);
  const auto size = static_cast<size_t>(p.batch * p.outer * p.extent * p.inner);
  if (size > 0)
    if (const auto e = cudaMemsetAsync(y, 0, size * sizeof(T), stream_of(ctx)); e != cudaSuccess)
      return ctx.fail(KernelError::device_failure, e);
  if (q.updates() == 0) return check_indices(p, indices, ctx);
  if (p.count <= kFew)
    few(q, indices, updates, y, ctx);
  else
    many(q, indices, updates, y, ctx);
  check_launch(ctx);
}

template <class T>
Prepared prepare(const Signature& s) {
  const GatherPlan p(s.inputs[2].shape, s.inputs[1].shape, s.attrs_as<GatherAttrs>());
  ScatterParams q{p, s.inputs[1].dtype == int64, {}};
  if (p.count <= kFew || q.updates() == 0) return {run_scatter<T>, q};
  q.sort = PairSort(q.positions(), static_cast<int>(std::bit_width(static_cast<uint64_t>(p.batch * p.extent) | 1)));
  return {run_scatter<T>, q, q.sort.bytes() + static_cast<size_t>(q.partials()) * sizeof(T)};
}

}  // namespace

// Integers wrap around: their unsigned types are added.
Prepared prepare_scatter_gpu(const Signature& s) {
  switch (s.inputs[0].dtype) {
    case DType::float32: return prepare<float>(s);
    case DType::float64: return prepare<double>(s);
    case DType::int32: return prepare<uint32_t>(s);
    case DType::int64: return prepare<uint64_t>(s);
    case DType::uint8: return prepare<uint8_t>(s);
    default: return {};
  }
}

}  // namespace twofold
