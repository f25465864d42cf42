// CUDA softmax and log-softmax in two sweeps: the first finds the maximum of a slice and the sum below it together, the
// second writes. Where slices are few, blocks share one, and the second sweep is a launch of its own.
#include <cmath>
#include <limits>

#include <twofold/kernels/cuda/share.h>
#include <twofold/kernels/softmax/softmax.h>

namespace twofold {
namespace {

using cuda::Pack;
using cuda::Place;
using cuda::Share;

enum class Sweep : uint8_t { both, first, second };

struct SoftmaxParams {
  int64_t inner, step;  ///< elements from one slice to the next, and from one load of a slice to the next
  Share share;          ///< of a slice's loads
  bool log;
};

/// The largest element m of some, NaN aside, and the sum of their exp(x - m).
template <class T>
struct Slice {
  struct Total {
    T most;
    double sum;
  };
  static constexpr T kNone = -std::numeric_limits<T>::infinity();

  /// What to subtract: m, or 0 while no element is above -inf, since -inf - (-inf) is NaN.
  __device__ static T base(T most) { return most == kNone ? T(0) : most; }
  __device__ static double rescaled(const Total& a, T most) {
    return a.most == most ? a.sum : a.sum * std::exp(static_cast<double>(a.most) - static_cast<double>(base(most)));
  }
  __device__ static Total join(const Total& a, const Total& b) {
    const T most = a.most > b.most ? a.most : b.most;
    return {most, rescaled(a, most) + rescaled(b, most)};
  }
  template <int N>
  __device__ static void add(Total& total, const T (&x)[N]) {
    T most = total.most;
#pragma unroll
    for (int i = 0; i < N; ++i) most = x[i] > most ? x[i] : most;
    if (most != total.most) total = {most, rescaled(total, most)};
    T e[N];
#pragma unroll
    for (int i = 0; i < N; ++i) e[i] = std::exp(x[i] - base(most));
#pragma unroll
    for (int n = N / 2; n > 0; n /= 2)
#pragma unroll
      for (int i = 0; i < n; ++i) e[i] += e[i + n];
    total.sum += static_cast<double>(e[0]);
  }
};

template <int V, class T>
__device__ typename Slice<T>::Total first_sweep(const T* x, const SoftmaxParams& p, const Place& at, bool aligned) {
  constexpr int kAtOnce = 4;
  typename Slice<T>::Total total{Slice<T>::kNone, 0};
  const int64_t along = p.share.along;
  int64_t e = at.begin;
  for (; e + (kAtOnce - 1) * along < at.end; e += kAtOnce * along) {
    T elements[kAtOnce * V];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const auto pack = cuda::load<V>(x + (e + k * along) * p.step, aligned);
#pragma unroll
      for (int i = 0; i < V; ++i) elements[k * V + i] = pack.of[i];
    }
    Slice<T>::add(total, elements);
  }
  for (; e < at.end; e += along) Slice<T>::add(total, cuda::load<V>(x + e * p.step, aligned).of);
  return total;
}

template <int V, class T>
__device__ void second_sweep(const T* __restrict__ x, T* __restrict__ y, typename Slice<T>::Total total,
                             const SoftmaxParams& p, const Place& at, bool aligned) {
  const T sum = static_cast<T>(total.sum), log_sum = static_cast<T>(std::log(total.sum));
#pragma unroll 4
  for (int64_t e = at.begin; e < at.end; e += p.share.along) {
    auto pack = cuda::load<V>(x + e * p.step, aligned);
#pragma unroll
    for (T& v : pack.of) v = p.log ? v - total.most - log_sum : std::exp(v - total.most) / sum;
    cuda::store<V>(y + e * p.step, pack, aligned);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(cuda::kThreads)
    softmax_kernel(const T* __restrict__ x, T* __restrict__ y, typename Slice<T>::Total* partials, SoftmaxParams p,
                   Sweep sweep, bool aligned) {
  const Place at(p.share);
  const int64_t start = at.output / p.inner * p.share.count * p.step + at.output % p.inner;
  typename Slice<T>::Total total{Slice<T>::kNone, 0};
  if (sweep != Sweep::second) {
    total = first_sweep<V>(x + start, p, at, aligned);
  } else if (at.output < p.share.outputs) {
    for (int64_t k = at.index; k < p.share.splits; k += p.share.along)
      total = Slice<T>::join(total, partials[at.output * p.share.splits + k]);
  }
  total = cuda::join_block<Slice<T>>(p.share, at, total);
  if (sweep != Sweep::first)
    second_sweep<V>(x + start, y + start, total, p, at, aligned);
  else if (at.index == 0 && at.output < p.share.outputs)
    partials[at.output * p.share.splits + at.split] = total;
}

template <class T, int V>
void softmax(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const SoftmaxParams*>(params);
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<T*>(args[1]);
  auto* partials = static_cast<typename Slice<T>::Total*>(ctx.workspace);
  if (p.share.outputs == 0 || p.share.count == 0) return;
  const bool aligned = cuda::is_aligned<T, V>(x) && cuda::is_aligned<T, V>(y);
  const auto launch = [&](Sweep sweep) {
    softmax_kernel<T, V>
        <<<p.share.blocks(), cuda::kThreads, 0, cuda::stream_of(ctx)>>>(x, y, partials, p, sweep, aligned);
  };
  if (p.share.splits > 1) {
    launch(Sweep::first);
    launch(Sweep::second);
  } else {
    launch(Sweep::both);
  }
  cuda::check_launch(ctx);
}

template <class T>
Prepared prepare_with(const Signature& s, bool log) {
  const Shape& x = s.inputs[0].shape;
  const int64_t given = s.attrs_as<SoftmaxAttrs>().axis;
  const int axis = static_cast<int>(given < 0 ? given + x.rank() : given);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x[i];

  constexpr int kWide = 16 / sizeof(T);
  const bool wide = inner == 1 && x[axis] % kWide == 0;
  const int v = wide ? kWide : 1;
  const SoftmaxParams p{inner, wide ? kWide : inner,
                        cuda::share_out(outer * inner, x[axis] / v, inner == 1, v * sizeof(T)), log};
  return {wide ? softmax<T, kWide> : softmax<T, 1>, p, p.share.partials() * sizeof(typename Slice<T>::Total)};
}

template <bool kLog>
Prepared prepare(const Signature& s) {
  if (s.inputs[0].dtype == float32) return prepare_with<float>(s, kLog);
  if (s.inputs[0].dtype == float64) return prepare_with<double>(s, kLog);
  return {};
}

constexpr KernelEntry kKernels[] = {{op_name::Softmax, prepare<false>}, {op_name::LogSoftmax, prepare<true>}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_softmax();
std::span<const KernelEntry> gpu_kernels_softmax() { return kKernels; }

}  // namespace twofold
