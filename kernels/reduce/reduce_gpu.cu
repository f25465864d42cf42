// CUDA reductions. Axes merge into kept and reduced groups. Every thread joins some elements of one output, a few at a
// time in the element type and the results of that in a wider one, as on the CPU; then threads are joined, then blocks.
#include <limits>
#include <type_traits>

#include <twofold/kernels/cuda/share.h>
#include <twofold/kernels/reduce/groups.h>

namespace twofold {
namespace {

using cuda::Place;
using cuda::Share;

// Reducers: `Total` is what threads have; few elements are paired in `Partial` first.

template <class T>
struct SumOf {
  using Element = T;
  using Result = T;
  using Total = std::conditional_t<std::is_floating_point_v<T>, double,
                                   std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>;  // integers wrap
  using Partial = std::conditional_t<std::is_floating_point_v<T>, T, Total>;
  static constexpr Total nothing() { return 0; }
  static constexpr Partial pair(Partial a, Partial b) { return a + b; }
  static constexpr Total join(Total a, Total b) { return a + b; }
  static constexpr T result(Total total, const Finish& f) {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(total / f.divisor);
    else
      return static_cast<T>(total);
  }
};

template <class T>
struct ProdOf {
  using Element = T;
  using Result = T;
  using Total = typename SumOf<T>::Total;
  using Partial = Total;
  static constexpr Total nothing() { return 1; }
  static constexpr Total pair(Total a, Total b) { return a * b; }
  static constexpr Total join(Total a, Total b) { return a * b; }
  static constexpr T result(Total total, const Finish&) { return static_cast<T>(total); }
};

/// The sum of squares, finished.
template <class T, class R>
struct SquaresOf {
  using Element = T;
  using Result = R;
  using Total = Squares<T>;
  using Partial = Total;
  __device__ static Total nothing() { return Total(); }
  __device__ static Total pair(const Total& a, const Total& b) { return a + b; }
  __device__ static Total join(const Total& a, const Total& b) { return a + b; }
  __device__ static R result(const Total& total, const Finish& f) { return static_cast<R>(total.finish(f)); }
};

/// The largest element, or with kSign = -1 the smallest.
template <class T, int kSign>
struct ExtremeOf {
  using Element = T;
  using Result = T;
  using Total = T;
  using Partial = T;
  static constexpr T nothing() {
    using Limits = std::numeric_limits<T>;
    if constexpr (Limits::has_infinity)
      return -kSign * Limits::infinity();
    else
      return kSign > 0 ? Limits::lowest() : Limits::max();
  }
  static constexpr T pair(T a, T b) { return (kSign > 0 ? b > a : b < a) || b != b ? b : a; }
  static constexpr T join(T a, T b) { return pair(a, b); }
  static constexpr T result(T total, const Finish&) { return total; }
};
template <class T>
using MaxOf = ExtremeOf<T, 1>;
template <class T>
using MinOf = ExtremeOf<T, -1>;

struct ReduceParams {
  Walk kept;          ///< the outputs
  Walk outer;         ///< an output's elements, but for the innermost group
  int64_t run, step;  ///< loads of the innermost group, and elements from one to the next
  Share share;        ///< of an output's loads
  Share of_splits;    ///< of its splits, none if they are one
  Finish finish;      ///< of sums of floating numbers
  int output;         ///< place of the output among the arguments
};

template <class R, class T, int N>
__device__ typename R::Partial fold(const T (&elements)[N]) {
  typename R::Partial p[N];
#pragma unroll
  for (int i = 0; i < N; ++i) p[i] = static_cast<typename R::Partial>(elements[i]);
#pragma unroll
  for (int n = N / 2; n > 0; n /= 2)
#pragma unroll
    for (int i = 0; i < n; ++i) p[i] = R::pair(p[i], p[i + n]);
  return p[0];
}

/// Where a thread's loads are: load e of an output, then e + along, ...
class Steps {
 public:
  __device__ Steps(const ReduceParams& p, int64_t e) : p_(p), inner_(e), inner_step_(p.share.along) {
    if (p.outer.rank > 0) {
      outer_ = e / p.run, inner_ = e % p.run;
      outer_step_ = p.share.along / p.run, inner_step_ = p.share.along % p.run;
    }
    const int64_t outer_stride = p.outer.rank == 1 ? p.outer.stride[0] : 0;
    offset_step_ = outer_step_ * outer_stride + inner_step_ * p.step;
    wrap_ = outer_stride - p.run * p.step;
    offset_ = cuda::offset_of(p.outer, outer_) + inner_ * p.step;
  }
  __device__ int64_t offset() const { return offset_; }
  __device__ void next() {
    inner_ += inner_step_, outer_ += outer_step_, offset_ += offset_step_;
    if (inner_ >= p_.run) inner_ -= p_.run, ++outer_, offset_ += wrap_;
    if (p_.outer.rank > 1) offset_ = cuda::offset_of(p_.outer, outer_) + inner_ * p_.step;
  }

 private:
  const ReduceParams& p_;
  int64_t outer_ = 0, inner_, outer_step_ = 0, inner_step_;
  int64_t offset_, offset_step_, wrap_;
};

template <class R, int V>
__device__ typename R::Total thread_total(const typename R::Element* x, const ReduceParams& p, const Place& at,
                                          bool aligned) {
  using Element = typename R::Element;
  using Total = typename R::Total;
  constexpr int kAtOnce = 4;
  Total total = R::nothing();
  if (at.begin >= at.end) return total;
  x += cuda::offset_of(p.kept, at.output);
  Steps steps(p, at.begin);
  int64_t e = at.begin;
  for (const int64_t along = p.share.along; e + (kAtOnce - 1) * along < at.end; e += kAtOnce * along) {
    cuda::Pack<Element, V> packs[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k, steps.next()) packs[k] = cuda::load<V>(x + steps.offset(), aligned);
    typename R::Partial partials[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) partials[k] = fold<R>(packs[k].of);
    total = R::join(total, static_cast<Total>(fold<R>(partials)));
  }
  for (; e < at.end; e += p.share.along, steps.next())
    total = R::join(total, static_cast<Total>(fold<R>(cuda::load<V>(x + steps.offset(), aligned).of)));
  return total;
}

template <class R, int V>
__global__ void __launch_bounds__(cuda::kThreads)
    reduce_kernel(const typename R::Element* x, typename R::Result* y, typename R::Total* partials,
                  const __grid_constant__ ReduceParams p, bool aligned) {
  const Place at(p.share);
  const auto total = cuda::join_block<R>(p.share, at, thread_total<R, V>(x, p, at, aligned));
  if (at.index > 0 || at.output >= p.share.outputs) return;
  if (p.share.splits > 1)
    partials[at.output * p.share.splits + at.split] = total;
  else
    y[at.output] = R::result(total, p.finish);
}

template <class R>
__global__ void __launch_bounds__(cuda::kThreads)
    join_splits(const typename R::Total* partials, typename R::Result* y, Share share, Finish finish) {
  const Place at(share);
  typename R::Total mine = R::nothing();
  for (int64_t e = at.begin; e < at.end; e += share.along) mine = R::join(mine, partials[at.output * share.count + e]);
  const auto total = cuda::join_block<R>(share, at, mine);
  if (at.index == 0 && at.output < share.outputs) y[at.output] = R::result(total, finish);
}

template <class R, int V>
void reduce(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Element = typename R::Element;
  const auto& p = *static_cast<const ReduceParams*>(params);
  const auto* x = static_cast<const Element*>(args[0]);
  auto* y = static_cast<typename R::Result*>(args[p.output]);
  auto* partials = static_cast<typename R::Total*>(ctx.workspace);
  if (p.share.outputs == 0) return;
  const bool aligned = cuda::is_aligned<Element, V>(x);
  reduce_kernel<R, V><<<p.share.blocks(), cuda::kThreads, 0, cuda::stream_of(ctx)>>>(x, y, partials, p, aligned);
  if (p.share.splits > 1)
    join_splits<R>
        <<<p.of_splits.blocks(), cuda::kThreads, 0, cuda::stream_of(ctx)>>>(partials, y, p.of_splits, p.finish);
  cuda::check_launch(ctx);
}

struct CopyParams {
  size_t bytes;
  int output;
};

void copy(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const CopyParams*>(params);
  if (p.bytes == 0) return;
  const auto e = cudaMemcpyAsync(args[p.output], args[0], p.bytes, cudaMemcpyDeviceToDevice, cuda::stream_of(ctx));
  if (e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

template <class R>
inline constexpr bool is_squares = false;
template <class T, class R>
inline constexpr bool is_squares<SquaresOf<T, R>> = true;

template <class R>
Prepared prepare_with(const Signature& s, uint32_t axes, Finish finish = {}) {
  using Element = typename R::Element;
  const Shape& x = s.inputs[0].shape;
  reduced::Groups groups(x, axes);
  if (is_squares<R> && groups.keep_all()) groups.reduce_one();
  const int output = static_cast<int>(s.inputs.size());
  if (groups.keep_all()) return {copy, CopyParams{static_cast<size_t>(x.num_elements()) * sizeof(Element), output}};

  const bool rows = groups.of[0].reduced;
  const auto& inner = groups.of[rows ? 0 : 1];
  ReduceParams p{.run = inner.extent, .step = inner.stride, .output = output};
  for (int i = groups.n; i-- > 0;)
    if (!groups.of[i].reduced)
      p.kept.push(groups.of[i].extent, groups.of[i].stride);
    else if (&groups.of[i] != &inner)
      p.outer.push(groups.of[i].extent, groups.of[i].stride);
  p.finish = finish;

  constexpr int kWide = 16 / sizeof(Element);
  const bool wide = rows && p.run % kWide == 0;
  if (wide) p.run /= kWide, p.step = kWide;
  p.share = cuda::share_out(p.kept.size(), p.outer.size() * p.run, rows, wide ? 16 : sizeof(Element));
  p.of_splits = cuda::share_out(p.kept.size(), p.share.splits, true, sizeof(typename R::Total));  // too few to split
  return {wide ? reduce<R, kWide> : reduce<R, 1>, p, p.share.partials() * sizeof(typename R::Total)};
}

template <template <class> class R>
Prepared prepare_numbers(const Signature& s, uint32_t axes) {
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return Prepared{};
    else
      return prepare_with<R<T>>(s, axes);
  });
}

Prepared prepare_sum(const Signature& s) { return prepare_numbers<SumOf>(s, reduced::axes_of(s)); }
Prepared prepare_prod(const Signature& s) { return prepare_numbers<ProdOf>(s, reduced::axes_of(s)); }
Prepared prepare_max(const Signature& s) { return prepare_numbers<MaxOf>(s, reduced::axes_of(s)); }
Prepared prepare_min(const Signature& s) { return prepare_numbers<MinOf>(s, reduced::axes_of(s)); }
Prepared prepare_mean(const Signature& s) {
  const Finish finish{.divisor = reduced::count_of(s)};
  if (s.inputs[0].dtype == float32) return prepare_with<SumOf<float>>(s, reduced::axes_of(s), finish);
  if (s.inputs[0].dtype == float64) return prepare_with<SumOf<double>>(s, reduced::axes_of(s), finish);
  return {};
}
Prepared prepare_squares(const Signature& s) {
  const uint32_t axes = reduced::axes_of_squares(s);
  const Finish finish = reduced::finish_of_squares(s);
  if (s.inputs[0].dtype == float64) return prepare_with<SquaresOf<double, double>>(s, axes, finish);
  if (s.inputs[0].dtype != float32) return {};
  if (s.outputs[0].dtype == float64) return prepare_with<SquaresOf<float, double>>(s, axes, finish);
  return prepare_with<SquaresOf<float, float>>(s, axes, finish);
}
Prepared prepare_sum_to(const Signature& s) { return prepare_numbers<SumOf>(s, reduced::axes_to_output(s)); }

template <class T>
__global__ void write_one(T* y, T value) {
  *y = value;
}

Prepared prepare_count(const Signature& s) {
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    const auto run = [](const void* params, void* const* args, KernelContext& ctx) noexcept {
      write_one<<<1, 1, 0, cuda::stream_of(ctx)>>>(static_cast<T*>(args[1]),
                                                   static_cast<T>(*static_cast<const double*>(params)));
      cuda::check_launch(ctx);
    };
    return Prepared(run, reduced::count_of(s));
  });
}

}  // namespace

Prepared prepare_argmax(const Signature& s);
Prepared prepare_prod_grad(const Signature& s);

std::span<const KernelEntry> gpu_kernels_reduce();
std::span<const KernelEntry> gpu_kernels_reduce() {
  static constexpr KernelEntry kTable[] = {
      {op_name::Sum, prepare_sum},
      {op_name::Mean, prepare_mean},
      {op_name::Max, prepare_max},
      {op_name::Min, prepare_min},
      {op_name::ArgMax, prepare_argmax},
      {op_name::SumTo, prepare_sum_to},
      {op_name::SumToLike, prepare_sum_to},
      {op_name::ReducedCount, prepare_count},
      {op_name::Prod, prepare_prod},
      {op_name::ProdGrad, prepare_prod_grad},
      {op_name::SumOfSquares, prepare_squares},
  };
  return kTable;
}

}  // namespace twofold
