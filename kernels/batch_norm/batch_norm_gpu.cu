#include <cuda_runtime.h>

#include <algorithm>

#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/batch_norm/flat.h>
#include <twofold/kernels/batch_norm/running.h>
#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

// The sums and formulas of batch_norm_cpu.cc. A first kernel writes partial sums, a fixed number for each shape; in a
// second one every block adds up those of its channels, in one order, and does the second sweep.

namespace twofold {
namespace {

using cuda::kThreads;
using cuda::kWarp;

constexpr int kRows = kThreads / kWarp;
constexpr int kResident = 4;  ///< blocks that a multiprocessor is to hold at once: bounds a thread's registers

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
  const Flat<T>* flat;                   ///< backward of a rectified y
  T* out;                                ///< y or dx
  T *out_mean, *variance, *out_inv_std;  ///< forward
  Flat<T>* out_flat;                     ///< forward, if y is rectified
  T *dscale, *doffset;                   ///< backward
  double epsilon, per_count;             ///< per_count: 1 / elements of a channel
  Sums* partials;
};

/// Numbers that a thread reads and writes at once.
template <class T, int kWidth, int kAlign = kWidth * sizeof(T)>
struct alignas(kAlign) Pack {
  using Number = T;
  static constexpr int width = kWidth;
  static constexpr int batch = 32 / (kWidth * sizeof(T));  ///< packs that a thread has in flight
  T v[kWidth];

  static __device__ Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
  __device__ void store(T* to) const { *reinterpret_cast<Pack*>(to) = *this; }
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
__device__ Flat<T> flat_at(const Arguments<T>& p, int64_t channel) {
  return kBackward && p.flat ? p.flat[channel] : Flat<T>{1, 0};
}

template <bool kBackward, class T>
__device__ Sums terms(T x, T dy, double centre, const Flat<T>& flat) {
  if (kBackward && flat.holds(x)) dy = 0;
  const double d = static_cast<double>(x) - centre, w = kBackward ? static_cast<double>(dy) : d;
  return {w, w * d};
}

template <bool kBackward, class T>
__device__ T result(const Arguments<T>& p, T x, T dy, const Coefficients& c, const Flat<T>& flat) {
  if (!kBackward) {
    const T y = normalised(x, c.centre, c.a, c.b);
    return p.out_flat && y < 0 ? T{0} : y;
  }
  if (flat.holds(x)) dy = 0;
  return static_cast<T>((static_cast<double>(dy) - c.b - (static_cast<double>(x) - c.centre) * c.k) * c.a);
}

/// The coefficients of a channel's second sweep; where `write`, its outputs too.
template <bool kBackward, class T>
__device__ Coefficients finish(const Arguments<T>& p, const Cut& cut, int64_t c, Sums s, bool write) {
  const double centre = centre_of<kBackward>(p, cut, c);
  const double scale = static_cast<double>(p.scale[c]);
  if (kBackward) {
    const double r = static_cast<double>(p.inv_std[c]);
    if (write) p.dscale[c] = static_cast<T>(r * s.wd), p.doffset[c] = static_cast<T>(s.w);
    return {centre, r * scale, s.w * p.per_count, r * r * s.wd * p.per_count};
  }
  const double shift = s.w * p.per_count, centred = s.wd * p.per_count - shift * shift;
  const double m = centre + shift, v = centred < 0 ? 0 : centred, r = rsqrt(v + p.epsilon);
  if (write) p.out_mean[c] = static_cast<T>(m), p.variance[c] = static_cast<T>(v), p.out_inv_std[c] = static_cast<T>(r);
  return {m, r * scale, static_cast<double>(p.offset[c]), 0};
}

template <bool kBackward, class T>
__device__ void write_flat(const Arguments<T>& p, int64_t channel, const Coefficients& c) {
  if (!kBackward && p.out_flat) p.out_flat[channel] = flat_of<T>(c.centre, c.a, c.b);
}

// Runs: a block has one channel and one part of its elements, counted through (outer, inner).

/// f(indices into x) for this thread's packs of the block's part, a batch at a time; -1: none.
template <class Pack, class F>
__device__ void for_run(const Cut& cut, int64_t channel, int64_t split, const F& f) {
  constexpr int kStep = kThreads * Pack::width;
  const int64_t begin = split * cut.chunk;
  const int size = static_cast<int>(min(cut.chunk, cut.count() - begin));
  const int64_t next_run = cut.width() - cut.inner;  // from the end of one to the beginning of the channel's next
  const int64_t outer_step = kStep / cut.inner * cut.width() + kStep % cut.inner;
  const int inner_step = static_cast<int>(kStep % cut.inner);
  int element = threadIdx.x * Pack::width;
  int64_t i = (begin + element) % cut.inner;
  int64_t index = ((begin + element) / cut.inner * cut.channels + channel) * cut.inner + i;
  while (element < size) {
    int64_t indices[Pack::batch];
    for (int64_t& at : indices) {
      at = element < size ? index : -1;
      element += kStep, i += inner_step, index += outer_step;
      if (i >= cut.inner) i -= cut.inner, index += next_run;
    }
    f(indices);
  }
}

/// What a thread has in flight of x, and of dy where it is read.
template <bool kBackward, class Pack>
struct Batch {
  Pack x[Pack::batch]{}, dy[Pack::batch]{};

  __device__ Batch(const Arguments<typename Pack::Number>& p, const int64_t (&indices)[Pack::batch]) {
    for (int n = 0; n < Pack::batch; ++n) {
      if (indices[n] < 0) continue;
      x[n] = Pack::load(p.x + indices[n]);
      if (kBackward) dy[n] = Pack::load(p.dy + indices[n]);
    }
  }
};

template <bool kBackward, class Pack>
__global__ void __launch_bounds__(kThreads, kResident) run_sums(Arguments<typename Pack::Number> p, Cut cut) {
  __shared__ Sums of_warp[kRows];
  const int64_t channel = blockIdx.x / cut.splits, split = blockIdx.x % cut.splits;
  const double centre = centre_of<kBackward>(p, cut, channel);
  const auto flat = flat_at<kBackward>(p, channel);
  Sums s{0, 0};
  for_run<Pack>(cut, channel, split, [&](const int64_t(&indices)[Pack::batch]) {
    const Batch<kBackward, Pack> b(p, indices);
    for (int n = 0; n < Pack::batch; ++n) {
      if (indices[n] < 0) continue;
      for (int j = 0; j < Pack::width; ++j) s = s + terms<kBackward>(b.x[n].v[j], b.dy[n].v[j], centre, flat);
    }
  });
  s = warp_total(s);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = s;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < kRows; ++i) s = s + of_warp[i];
    p.partials[blockIdx.x] = s;
  }
}

template <bool kBackward, class Pack>
__global__ void __launch_bounds__(kThreads, kResident) run_apply(Arguments<typename Pack::Number> p, Cut cut) {
  __shared__ Coefficients shared;
  const int64_t channel = blockIdx.x / cut.splits, split = blockIdx.x % cut.splits;
  if (threadIdx.x < kWarp) {
    Sums s{0, 0};
#pragma unroll 1  // to use fewer registers
    for (int64_t i = threadIdx.x; i < cut.splits; i += kWarp) s = s + p.partials[channel * cut.splits + i];
    s = warp_total(s);
    if (threadIdx.x == 0) shared = finish<kBackward>(p, cut, channel, s, split == 0);
  }
  const auto flat = flat_at<kBackward>(p, channel);
  __syncthreads();
  const Coefficients c = shared;
  if (split == 0 && threadIdx.x == kThreads - 1) write_flat<kBackward>(p, channel, c);
  for_run<Pack>(cut, channel, split, [&](const int64_t(&indices)[Pack::batch]) {
    Batch<kBackward, Pack> b(p, indices);
    for (int n = 0; n < Pack::batch; ++n) {
      if (indices[n] < 0) continue;
      for (int j = 0; j < Pack::width; ++j) b.x[n].v[j] = result<kBackward>(p, b.x[n].v[j], b.dy[n].v[j], c, flat);
      b.x[n].store(p.out + indices[n]);
    }
  });
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
  const int64_t channel = inside ? column / cut.inner : 0;
  const double centre = centre_of<kBackward>(p, cut, channel);
  const auto flat = flat_at<kBackward>(p, channel);
  Sums s{0, 0};
  for_column(cut, column, split,
             [&](int64_t i) { s = s + terms<kBackward>(p.x[i], kBackward ? p.dy[i] : T{}, centre, flat); });
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
  if (write) write_flat<kBackward>(p, channel, c);
  const auto flat = flat_at<kBackward>(p, channel);
  for_column(cut, column, split,
             [&](int64_t i) { p.out[i] = result<kBackward>(p, p.x[i], kBackward ? p.dy[i] : T{}, c, flat); });
}

struct Params {
  Cut cut;
  double epsilon;
  bool relu, columns;
};

template <bool kBackward, class Pack, class T>
void sweep_runs(const Arguments<T>& p, const Cut& cut, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(cut.channels * cut.splits);
  run_sums<kBackward, Pack><<<blocks, kThreads, 0, stream>>>(p, cut);
  run_apply<kBackward, Pack><<<blocks, kThreads, 0, stream>>>(p, cut);
}

template <bool kBackward, class T>
void sweep_columns(const Arguments<T>& p, const Cut& cut, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(cut.width(), kWarp) * cut.splits);
  column_sums<kBackward><<<blocks, dim3(kWarp, kRows), 0, stream>>>(p, cut);
  column_apply<kBackward><<<blocks, dim3(kWarp, kRows), 0, stream>>>(p, cut);
}

template <class T>
bool is_aligned(const Arguments<T>& p) {
  const auto bits = [](const T* at) { return reinterpret_cast<uintptr_t>(at); };
  return (bits(p.x) | bits(p.dy) | bits(p.out)) % 16 == 0;
}

template <bool kBackward, class T>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& q = *static_cast<const Params*>(params);
  const auto in = [&](int i) { return static_cast<const T*>(args[i]); };
  const auto out = [&](int i) { return static_cast<T*>(args[i]); };
  Arguments<T> p{};
  p.x = in(0), p.scale = in(1), p.partials = static_cast<Sums*>(ctx.workspace);
  p.epsilon = q.epsilon, p.per_count = 1 / static_cast<double>(q.cut.count());
  if (kBackward) {
    p.dy = in(2), p.mean = in(3), p.inv_std = in(4);
    const int first = q.relu ? 6 : 5;
    if (q.relu) p.flat = static_cast<const Flat<T>*>(args[5]);
    p.out = out(first), p.dscale = out(first + 1), p.doffset = out(first + 2);
  } else {
    p.offset = in(2);
    p.out = out(3), p.out_mean = out(4), p.variance = out(5), p.out_inv_std = out(6);
    if (q.relu) p.out_flat = static_cast<Flat<T>*>(args[7]);
  }
  const cudaStream_t stream = cuda::stream_of(ctx);
  // Sums are taken in one order whatever the operands' alignment: a pack has four numbers, read at once or one by one.
  constexpr int kFour = sizeof(T) == 4 ? 4 : 1;
  if (q.columns)
    sweep_columns<kBackward>(p, q.cut, stream);
  else if (q.cut.inner % kFour != 0)
    sweep_runs<kBackward, Pack<T, 1>>(p, q.cut, stream);
  else if (is_aligned(p))
    sweep_runs<kBackward, Pack<T, kFour>>(p, q.cut, stream);
  else
    sweep_runs<kBackward, Pack<T, kFour, sizeof(T)>>(p, q.cut, stream);
  cuda::check_launch(ctx);
}

template <bool kBackward>
Prepared prepare(const Signature& s) {
  constexpr int64_t kColumnBlocks = 1024, kMinRows = 32, kMaxSplits = 64;
  constexpr int64_t kRunBlocks = 512, kMinChunk = kThreads * 4;  // what the largest GPUs hold at once
  const auto& attrs = s.attrs_as<BatchNormAttrs>();
  const DType t = s.inputs[0].dtype;
  if (!is_floating(t)) return {};
  const BatchNormLayout l(s.inputs[0].shape, attrs.axis);
  if (l.channels == 0) return {[](const void*, void* const*, KernelContext&) noexcept {}, l};

  Params p{{l.outer, l.channels, l.inner, 1, 0}, attrs.epsilon, attrs.relu, l.inner < kWarp};
  int64_t extent = l.count();
  if (p.columns) {
    extent = l.outer;
    const int64_t blocks = ceil_div(kColumnBlocks, ceil_div(p.cut.width(), kWarp));
    p.cut.chunk = ceil_div(extent, std::min({kMaxSplits, blocks, ceil_div(extent, kMinRows)}));
  } else {
    const int64_t splits = std::min(ceil_div(kRunBlocks, l.channels), ceil_div(extent, kMinChunk));
    p.cut.chunk = ceil_div(ceil_div(extent, splits), kMinChunk) * kMinChunk;
  }
  p.cut.splits = ceil_div(extent, p.cut.chunk);
  const size_t workspace = static_cast<size_t>(p.cut.splits * (p.columns ? p.cut.width() : l.channels)) * sizeof(Sums);
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
    {op_name::BatchNorm, prepare<false>},
    {op_name::BatchNormGrad, prepare<true>},
    {op_name::RunningStatistics, prepare_statistics},
};

}  // namespace

std::span<const KernelEntry> gpu_kernels_batch_norm();
std::span<const KernelEntry> gpu_kernels_batch_norm() { return kKernels; }

}  // namespace twofold
