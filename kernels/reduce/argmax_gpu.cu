// CUDA argmax: a reduction of elements with their indices, in which of equal elements that of the lower index wins.
#include <type_traits>

#include <twofold/kernels/cuda/share.h>
#include <twofold/kernels/reduce/reduce.h>

namespace twofold {
namespace {

using cuda::Place;
using cuda::Share;

template <class T>
struct Best {
  struct Total {
    T value;
    int64_t index;  ///< < 0: none
  };
  /// True if `b` displaces `a` wherever it comes; NaN counts as the largest.
  __device__ static bool displaces(T b, T a) { return b > a || (b != b && a == a); }
  __device__ static Total join(const Total& a, const Total& b) {
    if (b.index < 0 || (a.index >= 0 && displaces(a.value, b.value))) return a;
    if (a.index < 0 || displaces(b.value, a.value)) return b;
    return a.index < b.index ? a : b;
  }
};

struct ArgMaxParams {
  int64_t inner;
  Share share;      ///< of the elements along the axis
  Share of_splits;  ///< of their splits, if there are several
};

template <class T>
__global__ void __launch_bounds__(cuda::kThreads)
    argmax_kernel(const T* x, int64_t* y, typename Best<T>::Total* partials, ArgMaxParams p) {
  const Place at(p.share);
  typename Best<T>::Total mine{T(0), -1};
  if (at.begin < at.end) {
    x += at.output / p.inner * p.share.count * p.inner + at.output % p.inner;
    mine = {x[at.begin * p.inner], at.begin};
#pragma unroll 4
    for (int64_t e = at.begin + p.share.along; e < at.end; e += p.share.along) {
      const T value = x[e * p.inner];
      if (Best<T>::displaces(value, mine.value)) mine = {value, e};
    }
  }
  const auto best = cuda::join_block<Best<T>>(p.share, at, mine);
  if (at.index > 0 || at.output >= p.share.outputs) return;
  if (p.share.splits > 1)
    partials[at.output * p.share.splits + at.split] = best;
  else
    y[at.output] = best.index;
}

template <class T>
__global__ void __launch_bounds__(cuda::kThreads)
    join_splits(const typename Best<T>::Total* partials, int64_t* y, Share share) {
  const Place at(share);
  typename Best<T>::Total mine{T(0), -1};
  for (int64_t e = at.begin; e < at.end; e += share.along)
    mine = Best<T>::join(mine, partials[at.output * share.count + e]);
  const auto best = cuda::join_block<Best<T>>(share, at, mine);
  if (at.index == 0 && at.output < share.outputs) y[at.output] = best.index;
}

template <class T>
void argmax(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const ArgMaxParams*>(params);
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<int64_t*>(args[1]);
  auto* partials = static_cast<typename Best<T>::Total*>(ctx.workspace);
  if (p.share.outputs == 0 || p.share.count == 0) return;  // no elements: refused by the shape rule
  argmax_kernel<<<p.share.blocks(), cuda::kThreads, 0, cuda::stream_of(ctx)>>>(x, y, partials, p);
  if (p.share.splits > 1)
    join_splits<T><<<p.of_splits.blocks(), cuda::kThreads, 0, cuda::stream_of(ctx)>>>(partials, y, p.of_splits);
  cuda::check_launch(ctx);
}

}  // namespace

Prepared prepare_argmax(const Signature& s);
Prepared prepare_argmax(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  const int64_t given = s.attrs_as<ArgMaxAttrs>().axis;
  const int axis = static_cast<int>(given < 0 ? given + x.rank() : given);
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x[i];
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>) {
      return Prepared{};
    } else {
      ArgMaxParams p{inner, cuda::share_out(outer * inner, x[axis], inner == 1, sizeof(T)), {}};
      p.of_splits = cuda::share_out(outer * inner, p.share.splits, true, sizeof(T));
      return Prepared(argmax<T>, p, p.share.partials() * sizeof(typename Best<T>::Total));
    }
  });
}

}  // namespace twofold
