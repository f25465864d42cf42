// CUDA kernels of gather's adjoint. Every row of the output is summed in the order of its updates' positions. Where
// there are few, the first of a row looks for the others; where many, they are sorted by row.
#include <cuda_runtime.h>

#include <twofold/kernels/gather/row_sums_gpu.h>

namespace twofold {

Prepared prepare_scatter_gpu(const Signature& s);

namespace {

constexpr int64_t kFew = 128;  ///< indices of a batch entry that are compared one by one

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
    if (other < i) continue;  // the first with this index sums the row
    const T* from = updates + row * p.count * p.inner + k;
    T sum = static_cast<T>(T(0) + from[i * p.inner]);
    for (other = i + 1; other < p.count; ++other)
      if (indices[first + other] == index) sum = static_cast<T>(sum + from[other * p.inner]);
    y[(row * p.extent + index) * p.inner + k] = sum;
  }
}

template <class T>
void few(const RowSums& q, Indices indices, const T* updates, T* y, KernelContext& ctx) {
  const int64_t n = q.updates();
  add_few<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(q.plan, n, indices, updates, y, Reporter(ctx));
}

/// The rows of y itself.
template <class T>
struct SumsOfAll {
  T* y;
  int64_t extent, inner;
  __device__ T* operator()(int64_t line, int64_t key, int64_t) const { return y + (line * extent + key) * inner; }
};

template <class T>
void run_scatter(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& q = *static_cast<const RowSums*>(params);
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
    q.run(indices, updates, SumsOfAll<T>{y, p.extent, p.inner}, ctx);
  check_launch(ctx);
}

template <class T>
Prepared prepare(const Signature& s) {
  const GatherPlan p(s.inputs[2].shape, s.inputs[1].shape, s.attrs_as<GatherAttrs>());
  RowSums q(p, s.inputs[1].dtype == int64);
  if (p.count <= kFew || q.updates() == 0) return {run_scatter<T>, q};
  q.prepare();
  return {run_scatter<T>, q, q.bytes<T>()};
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
