// CUDA kernels of SGDRowsUpdate: the sums of the rows, then the rows of the parameter. Once a kernel has failed, the
// parameter keeps its values.
#include <twofold/kernels/gather/row_sums_gpu.h>
#include <twofold/kernels/optimizer/rows.h>

namespace twofold {

Prepared prepare_sgd_rows_gpu(const Signature& s);

namespace {

/// A row's sum lies at the place of its first pair.
template <class T>
struct SumsByPair {
  T* sums;
  int64_t inner;
  __device__ T* operator()(int64_t, int64_t, int64_t first) const { return sums + first * inner; }
};

template <class T>
__global__ void __launch_bounds__(kThreads) step_rows(RowsUpdateParams p, Pairs pairs, const T* __restrict__ sums,
                                                      const double* lr, const T* old, T* to, Reporter report) {
  if (report.failed()) return;
  const auto rate = static_cast<T>(*lr);
  for (int64_t e = first_element(); e < p.count * p.inner; e += element_step()) {
    const int64_t s = quotient(e, p.inner);
    const uint64_t row = pairs.keys[s];
    if (row == static_cast<uint64_t>(p.extent) || (s > 0 && pairs.keys[s - 1] == row)) continue;
    const int64_t at = static_cast<int64_t>(row) * p.inner + e - s * p.inner;
    to[at] = sgd_step(old[at], sums[e], rate);
  }
}

/// Steps the rows that have no gradient, if the rate is infinite or NaN and so changes them.
template <class T>
__global__ void __launch_bounds__(kThreads)
    step_others(RowsUpdateParams p, const uint64_t* keys, const double* lr, T* to, Reporter report) {
  const auto rate = static_cast<T>(*lr);
  if (isfinite(rate) || report.failed()) return;
  for (int64_t e = first_element(); e < p.extent * p.inner; e += element_step()) {
    const auto row = static_cast<uint64_t>(quotient(e, p.inner));
    int64_t low = 0, high = p.count;  // the first key that is not below the row
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (keys[middle] < row)
        low = middle + 1;
      else
        high = middle;
    }
    if (low == p.count || keys[low] != row) to[e] = sgd_step(to[e], T(0), rate);
  }
}

struct Params {
  RowsUpdateParams p;
  RowSums rows;
  size_t sums;  ///< where the sums begin in the workspace
};

template <class T>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& q = *static_cast<const Params*>(params);
  const auto* old = static_cast<const T*>(args[0]);
  const auto* lr = static_cast<const double*>(args[3]);
  auto* to = static_cast<T*>(args[4]);
  const cudaStream_t stream = stream_of(ctx);
  const int64_t size = q.p.extent * q.p.inner;
  if (size == 0) return;
  if (to != old) {
    const auto bytes = static_cast<size_t>(size) * sizeof(T);
    if (const auto e = cudaMemcpyAsync(to, old, bytes, cudaMemcpyDeviceToDevice, stream); e != cudaSuccess)
      return ctx.fail(KernelError::device_failure, e);
  }
  Pairs pairs{};
  if (q.p.count > 0) {
    auto* sums = reinterpret_cast<T*>(static_cast<char*>(ctx.workspace) + q.sums);
    const auto* rows = static_cast<const T*>(args[1]);
    pairs = q.rows.run({args[2], q.p.wide}, rows, SumsByPair<T>{sums, q.p.inner}, ctx);
    step_rows<<<blocks_for(q.p.count * q.p.inner), kThreads, 0, stream>>>(q.p, pairs, sums, lr, old, to, Reporter(ctx));
  }
  step_others<<<blocks_for(size), kThreads, 0, stream>>>(q.p, pairs.keys, lr, to, Reporter(ctx));
  check_launch(ctx);
}

template <class T>
Prepared prepare(const Signature& s) {
  const RowsUpdateParams p(s);
  Params q{p, RowSums(GatherPlan(s.inputs[0].shape, s.inputs[2].shape, {}), p.wide), 0};
  if (q.rows.updates() == 0) return {run<T>, q};
  q.rows.prepare();
  constexpr size_t kLine = 256;
  q.sums = (q.rows.bytes<T>() + kLine - 1) / kLine * kLine;
  return {run<T>, q, q.sums + static_cast<size_t>(q.rows.updates()) * sizeof(T)};
}

}  // namespace

Prepared prepare_sgd_rows_gpu(const Signature& s) {
  if (s.inputs[0].dtype == float32) return prepare<float>(s);
  if (s.inputs[0].dtype == float64) return prepare<double>(s);
  return {};
}

}  // namespace twofold
