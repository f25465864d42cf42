// CUDA running sums. A block scans a long row, a thread anything else. Where these are few, they are split, and the
// totals of the splits are found first; every split adds up those before it, in one order.
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include <type_traits>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/cumsum/cumsum.h>
#include <twofold/kernels/layout/walk.h>

namespace twofold {
namespace {

using cuda::kThreads;

/// x is (outer, extent, inner), and has outer * inner sums.
struct CumsumParams {
  int64_t sums, extent, inner;
  int64_t splits, chunk;  ///< of a sum's elements
  bool exclusive, reverse;

  /// Where a sum's ith element is.
  __device__ int64_t at(int64_t sum, int64_t i) const {
    return (sum / inner * extent + (reverse ? extent - 1 - i : i)) * inner + sum % inner;
  }
  __device__ int64_t end(int64_t split) const { return std::min(extent, (split + 1) * chunk); }
};

template <class T>
using TotalOf = std::conditional_t<std::is_floating_point_v<T>, double,
                                   std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>;  // integers wrap

// Rows: a block has one split of one sum.

template <class T>
__global__ void __launch_bounds__(kThreads) row_totals(const T* x, TotalOf<T>* totals, CumsumParams p) {
  using Total = TotalOf<T>;
  using Reduce = cub::BlockReduce<Total, kThreads>;
  __shared__ typename Reduce::TempStorage storage;
  const int64_t sum = blockIdx.x / p.splits, split = blockIdx.x % p.splits;
  Total mine = 0;
  for (int64_t i = split * p.chunk + threadIdx.x; i < p.end(split); i += kThreads)
    mine += static_cast<Total>(x[p.at(sum, i)]);
  const Total total = Reduce(storage).Sum(mine);
  if (threadIdx.x == 0) totals[blockIdx.x] = total;
}

template <class T>
__global__ void __launch_bounds__(kThreads) row_sums(const T* x, T* y, const TotalOf<T>* totals, CumsumParams p) {
  using Total = TotalOf<T>;
  using Reduce = cub::BlockReduce<Total, kThreads>;
  using Scan = cub::BlockScan<Total, kThreads>;
  __shared__ union {
    typename Reduce::TempStorage reduce;
    typename Scan::TempStorage scan;
  } storage;
  __shared__ Total of_earlier_splits;
  const int64_t sum = blockIdx.x / p.splits, split = blockIdx.x % p.splits;
  Total mine = 0;
  for (int64_t k = threadIdx.x; k < split; k += kThreads) mine += totals[sum * p.splits + k];
  const Total total = Reduce(storage.reduce).Sum(mine);
  if (threadIdx.x == 0) of_earlier_splits = total;
  __syncthreads();
  Total carry = of_earlier_splits;
  for (int64_t tile = split * p.chunk; tile < p.end(split); tile += kThreads) {
    const int64_t i = tile + threadIdx.x;
    const bool inside = i < p.end(split);
    const Total element = inside ? static_cast<Total>(x[p.at(sum, i)]) : Total(0);
    Total before, of_tile;
    Scan(storage.scan).ExclusiveSum(element, before, of_tile);
    if (inside) y[p.at(sum, i)] = static_cast<T>(carry + (p.exclusive ? before : before + element));
    carry += of_tile;
    __syncthreads();
  }
}

// Columns: a thread has one split of one sum, and its neighbours the same split of the next sums.

template <class T>
__global__ void __launch_bounds__(kThreads) column_totals(const T* x, TotalOf<T>* totals, CumsumParams p) {
  const int64_t thread = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t sum = thread % p.sums, split = thread / p.sums;
  if (split >= p.splits) return;
  TotalOf<T> total = 0;
#pragma unroll 4
  for (int64_t i = split * p.chunk; i < p.end(split); ++i) total += static_cast<TotalOf<T>>(x[p.at(sum, i)]);
  totals[thread] = total;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    column_sums(const T* __restrict__ x, T* __restrict__ y, const TotalOf<T>* totals, CumsumParams p) {
  const int64_t thread = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t sum = thread % p.sums, split = thread / p.sums;
  if (split >= p.splits) return;
  TotalOf<T> total = 0;
#pragma unroll 4
  for (int64_t k = 0; k < split; ++k) total += totals[k * p.sums + sum];
#pragma unroll 4
  for (int64_t i = split * p.chunk; i < p.end(split); ++i) {
    const int64_t at = p.at(sum, i);
    const TotalOf<T> before = total;
    total += static_cast<TotalOf<T>>(x[at]);
    y[at] = static_cast<T>(p.exclusive ? before : total);
  }
}

template <class T, bool kRows>
void cumsum(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const CumsumParams*>(params);
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<T*>(args[1]);
  auto* totals = static_cast<TotalOf<T>*>(ctx.workspace);
  if (p.sums == 0 || p.extent == 0) return;
  const int64_t blocks = kRows ? p.sums * p.splits : ceil_div(p.sums * p.splits, kThreads);
  const auto launch = [&](auto* kernel, auto* out, auto... more) {
    kernel<<<static_cast<unsigned>(blocks), kThreads, 0, cuda::stream_of(ctx)>>>(x, out, more..., p);
  };
  if (p.splits > 1) launch(kRows ? row_totals<T> : column_totals<T>, totals);
  launch(kRows ? row_sums<T> : column_sums<T>, y, totals);
  cuda::check_launch(ctx);
}

Prepared prepare_cumsum(const Signature& s) {
  const auto& attrs = s.attrs_as<CumsumAttrs>();
  const Shape& x = s.inputs[0].shape;
  const int axis = static_cast<int>(attrs.axis < 0 ? attrs.axis + x.rank() : attrs.axis);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x[i];

  constexpr int64_t kShortRow = 32;
  CumsumParams p{outer * inner, x[axis], inner, 1, 0, attrs.exclusive, attrs.reverse};
  const bool rows = inner == 1 && p.extent > kShortRow;
  constexpr int64_t kBlocks = 1024, kMostColumnSplits = 256;
  const int64_t units = std::max<int64_t>(1, p.sums);
  const int64_t wanted = rows ? std::min(kBlocks / units, p.extent / (4 * kThreads))
                              : std::min({kBlocks * kThreads / units, p.extent / kShortRow, kMostColumnSplits});
  p.chunk = std::max<int64_t>(1, ceil_div(p.extent, std::max<int64_t>(1, wanted)));
  if (rows) p.chunk = ceil_div(p.chunk, kThreads) * kThreads;
  p.splits = std::max<int64_t>(1, ceil_div(p.extent, p.chunk));
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>) {
      return Prepared{};
    } else {
      const size_t workspace = p.splits > 1 ? static_cast<size_t>(p.sums * p.splits) * sizeof(TotalOf<T>) : 0;
      return Prepared(rows ? cumsum<T, true> : cumsum<T, false>, p, workspace);
    }
  });
}

constexpr KernelEntry kKernels[] = {{op_name::Cumsum, prepare_cumsum}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_cumsum();
std::span<const KernelEntry> gpu_kernels_cumsum() { return kKernels; }

}  // namespace twofold
