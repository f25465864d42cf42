#include <cuda_runtime.h>

#include <algorithm>

#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/batch_norm/running.h>
#include <twofold/kernels/cuda/launch.h>
#include <twofold/lib/op/kernel.h>

// The sums and formulas of batch_norm_cpu.cc. A first kernel writes partial sums, a fixed number for each shape; in a
// second one every block adds up those of its channels, in one order, and does the second sweep.

namespace twofold {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kRows = kThreads / kWarp;
constexpr int64_t kMaxSplits = 64;
constexpr int64_t kBlocks = 1024;  ///< wanted in a grid: several for each multiprocessor

struct Sums {
  double w, wd;
};

struct Coefficients {
  double centre, a, b, k;
};

template <class T>
struct Arguments {
  const T *x, *scale, *offset;
  const T *dy, *mean, *inv_std;          ///< backward
  T* out;                                ///< y or dx
  T *out_mean, *variance, *out_inv_std;  ///< forward
  T *dscale, *doffset;                   ///< backward
  double epsilon;
  Sums* partials;
};

/// How x is cut: `splits` parts of `chunk` elements of a channel (runs) or rows (columns) each.
struct Cut {
  int64_t outer, channels, inner, splits, chunk;
  __host__ __device__ int64_t count() const { return outer * inner; }
  __host__ __device__ int64_t width() const { return channels * inner; }
};

__device__ Sums operator+(Sums a, Sums b) { return {a.w + b.w, a.wd + b.wd}; }

__device__ Sums warp_total(Sums s) {
  for (int step = kWarp / 2; step > 0; step /= 2)
    s = s + Sums{__shfl_down_sync(~0u, s.w, step), __shfl_down_sync(~0u, s.wd, step)};
  return s;
}

template <bool kBackward, class T>
__device__ double centre_of(const Arguments<T>& p, const Cut& cut, int64_t channel) {
  if (kBackward) return static_cast<double>(p.mean[channel]);
  const double first = static_cast<double>(p.x[channel * cut.inner]);
  return isfinite(first) ? first : 0.0;
}

template <bool kBackward, class T>
__device__ void add_terms(const Arguments<T>& p, int64_t i, double centre, Sums& s) {
  const double d = static_cast<double>(p.x[i]) - centre;
  const double w = kBackward ? static_cast<double>(p.dy[i]) : d;
  s = s + Sums{w, w * d};
}

template <bool kBackward, class T>
__device__ void write_result(const Arguments<T>& p, int64_t i, const Coefficients& c) {
  const double d = static_cast<double>(p.x[i]) - c.centre;
  p.out[i] = static_cast<T>(kBackward ? (static_cast<double>(p.dy[i]) - c.b - d * c.k) * c.a : d * c.a + c.b);
}

/// The coefficients of a channel's second sweep; where `write`, its outputs too.
template <bool kBackward, class T>
__device__ Coefficients finish(const Arguments<T>& p, const Cut& cut, int64_t c, Sums s, bool write) {
  const double count = static_cast<double>(cut.count()), centre = centre_of<kBackward>(p, cut, c);
  const double scale = static_cast<double>(p.scale[c]);
  if (kBackward) {
    const double r = static_cast<double>(p.inv_std[c]);
    if (write) p.dscale[c] = static_cast<T>(r * s.wd), p.doffset[c] = static_cast<T>(s.w);
    return {centre, r * scale, s.w / count, r * r * s.wd / count};
  }
  const double shift = s.w / count, centred = s.wd / count - shift * shift;
  const double m = centre + shift, v = centred < 0 ? 0 : centred, r = 1 / sqrt(v + p.epsilon);
  if (write) p.out_mean[c] = static_cast<T>(m), p.variance[c] = static_cast<T>(v), p.out_inv_std[c] = static_cast<T>(r);
  return {m, r * scale, static_cast<double>(p.offset[c]), 0};
}

// Runs: a block has one channel and one part of its elements, counted through (outer, inner).

/// f(index into x) for this thread's elements of the block's part.
template <class F>
__device__ void for_run(const Cut& cut, int64_t channel, int64_t split, const F& f) {
  const int64_t begin = split * cut.chunk, end = min(cut.count(), begin + cut.chunk);
  const int64_t outer_step = kThreads / cut.inner, inner_step = kThreads % cut.inner;
  int64_t o = (begin + threadIdx.x) / cut.inner, i = (begin + threadIdx.x) % cut.inner;
#pragma unroll 4
  for (int64_t e = begin + threadIdx.x; e < end; e += kThreads) {
    f((o * cut.channels + channel) * cut.inner + i);
    o += outer_step, i += inner_step;
    if (i >= cut.inner) i -= cut.inner, ++o;
  }
}

template <bool kBackward, class T>
__global__ void __launch_bounds__(kThreads) run_sums(Arguments<T> p, Cut cut) {
  __shared__ Sums of_warp[kRows];
  const int64_t channel = blockIdx.x / cut.splits, split = blockIdx.x % cut.splits;
  const double centre = centre_of<kBackward>(p, cut, channel);
  Sums s{0, 0};
  for_run(cut, channel, split, [&](int64_t i) { add_terms<kBackward>(p, i, centre, s); });
  s = warp_total(s);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = s;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < kRows; ++i) s = s + of_warp[i];
    p.partials[blockIdx.x] = s;
  }
}

template <bool kBackward, class T>
__global__ void __launch_bounds__(kThreads) run_apply(Arguments<T> p, Cut cut) {
  __shared__ Coefficients shared;
  const int64_t channel = blockIdx.x / cut.splits, split = blockIdx.x % cut.splits;
  if (threadIdx.x < kWarp) {
    Sums s{0, 0};
    for (int64_t i = threadIdx.x; i < cut.splits; i += kWarp) s = s + p.partials[channel * cut.splits + i];
    s = warp_total(s);
    if (threadIdx.x == 0) shared = finish<kBackward>(p, cut, channel, s, split == 0);
  }
  __syncthreads();
  const Coefficients c = shared;
  for_run(cut, channel, split, [&](int64_t i) { write_result<kBackward>(p, i, c); });
}

// Columns, where `inner` is short: a warp's lanes have neighbouring columns of the outer x (channels * inner) matrix,
// and a block's warps take turns at the rows of its part.

template <class F>
__device__ void for_column(const Cut& cut, int64_t column, int64_t split, const F& f) {
  const int64_t end = min(cut.outer, (split + 1) * cut.chunk);
  if (column >= cut.width()) return;
#pragma unroll 4
  for (int64_t row = split * cut.chunk + threadIdx.y; row < end; row += kRows) f(row * cut.width() + column);
}

/// The sum over the block's warps, for each lane, in every thread.
__device__ Sums column_total(Sums s) {
  __shared__ Sums of_thread[kRows][kWarp];
  of_thread[threadIdx.y][threadIdx.x] = s;
  __syncthreads();
  s = of_thread[0][threadIdx.x];
  for (int i = 1; i < kRows; ++i) s = s + of_thread[i][threadIdx.x];
  return s;
}

template <bool kBackward, class T>
__global__ void __launch_bounds__(kThreads) column_sums(Arguments<T> p, Cut cut) {
  const int64_t column = blockIdx.x / cut.splits * kWarp + threadIdx.x, split = blockIdx.x % cut.splits;
  const bool inside = column < cut.width();
  const double centre = inside ? centre_of<kBackward>(p, cut, column / cut.inner) : 0;
  Sums s{0, 0};
  for_column(cut, column, split, [&](int64_t i) { add_terms<kBackward>(p, i, centre, s); });
  s = column_total(s);
  if (inside && threadIdx.y == 0) p.partials[split * cut.width() + column] = s;
}

template <bool kBackward, class T>
__global__ void __launch_bounds__(kThreads) column_apply(Arguments<T> p, Cut cut) {
  const int64_t column = blockIdx.x / cut.splits * kWarp + threadIdx.x, split = blockIdx.x % cut.splits;
  const bool inside = column < cut.width();
  const int64_t channel = inside ? column / cut.inner : 0;
  Sums s{0, 0};
  for (int64_t part = threadIdx.y; part < cut.splits; part += kRows)
    for (int64_t i = 0; i < cut.inner; ++i) s = s + p.partials[part * cut.width() + channel * cut.inner + i];
  s = column_total(s);
  const bool write = inside && split == 0 && threadIdx.y == 0 && column % cut.inner == 0;
  const Coefficients c = finish<kBackward>(p, cut, channel, s, write);
  for_column(cut, column, split, [&](int64_t i) { write_result<kBackward>(p, i, c); });
}

struct Params {
  Cut cut;
  double epsilon;
  bool columns;
};

template <bool kBackward, class T>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& q = *static_cast<const Params*>(params);
  const auto in = [&](int i) { return static_cast<const T*>(args[i]); };
  const auto out = [&](int i) { return static_cast<T*>(args[i]); };
  Arguments<T> p{};
  p.x = in(0), p.scale = in(1), p.epsilon = q.epsilon, p.partials = static_cast<Sums*>(ctx.workspace);
  if (kBackward) {
    p.dy = in(2), p.mean = in(3), p.inv_std = in(4);
    p.out = out(5), p.dscale = out(6), p.doffset = out(7);
  } else {
    p.offset = in(2);
    p.out = out(3), p.out_mean = out(4), p.variance = out(5), p.out_inv_std = out(6);
  }
  const auto stream = static_cast<cudaStream_t>(ctx.stream);
  const int64_t tiles = q.columns ? (q.cut.width() + kWarp - 1) / kWarp : q.cut.channels;
  const auto blocks = static_cast<unsigned>(tiles * q.cut.splits);
  if (q.columns) {
    column_sums<kBackward><<<blocks, dim3(kWarp, kRows), 0, stream>>>(p, q.cut);
    column_apply<kBackward><<<blocks, dim3(kWarp, kRows), 0, stream>>>(p, q.cut);
  } else {
    run_sums<kBackward><<<blocks, kThreads, 0, stream>>>(p, q.cut);
    run_apply<kBackward><<<blocks, kThreads, 0, stream>>>(p, q.cut);
  }
  if (const auto e = cudaGetLastError(); e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <bool kBackward>
Prepared prepare(const Signature& s) {
  const auto& attrs = s.attrs_as<BatchNormAttrs>();
  const DType t = s.inputs[0].dtype;
  if (!is_floating(t)) return {};
  const BatchNormLayout l(s.inputs[0].shape, attrs.axis);
  if (l.channels == 0) return {[](const void*, void* const*, KernelContext&) noexcept {}, l};

  constexpr int64_t kMinChunk = 1024, kMinRows = 32;
  const bool columns = l.inner < kWarp;
  const int64_t extent = columns ? l.outer : l.count();
  const int64_t tiles = columns ? ceil_div(l.channels * l.inner, kWarp) : l.channels;
  const int64_t wanted =
      std::min({kMaxSplits, ceil_div(kBlocks, tiles), ceil_div(extent, columns ? kMinRows : kMinChunk)});
  Params p{{l.outer, l.channels, l.inner, 1, ceil_div(extent, wanted)}, attrs.epsilon, columns};
  p.cut.splits = ceil_div(extent, p.cut.chunk);
  const size_t workspace = static_cast<size_t>(p.cut.splits * (columns ? p.cut.width() : l.channels)) * sizeof(Sums);
  return {t == float32 ? run<kBackward, float> : run<kBackward, double>, p, workspace};
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    update_statistics(RunningUpdate<T> update, RunningOperands<T> operands, cuda::Reporter report) {
  const bool keep = report.failed();
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; c < update.channels; c += step) {
    if (keep)
      operands.keep(c);
    else
      operands.advance(update, c);
  }
}

template <class T>
void run_statistics(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& update = *static_cast<const RunningUpdate<T>*>(params);
  if (update.channels == 0) return;
  update_statistics<<<cuda::blocks_for(update.channels, kThreads), kThreads, 0, cuda::stream_of(ctx)>>>(
      update, RunningOperands<T>(args), cuda::Reporter(ctx));
  cuda::check_launch(ctx);
}

Prepared prepare_statistics(const Signature& s) {
  if (s.inputs[0].dtype == float32) return {run_statistics<float>, RunningUpdate<float>(s)};
  if (s.inputs[0].dtype == float64) return {run_statistics<double>, RunningUpdate<double>(s)};
  return {};
}

constexpr KernelEntry kKernels[] = {
    {"BatchNorm", prepare<false>},
    {"BatchNormGrad", prepare<true>},
    {"RunningStatistics", prepare_statistics},
};

}  // namespace

std::span<const KernelEntry> gpu_kernels_batch_norm();
std::span<const KernelEntry> gpu_kernels_batch_norm() { return kKernels; }

}  // namespace twofold
