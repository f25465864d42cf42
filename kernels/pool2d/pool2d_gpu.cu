// The arithmetic of pool2d_cpu.cc, to the bit: one thread for each element of the result. Gradients gather what the
// windows over an element give it, in the order of the windows.
#include <cuda_runtime.h>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/pool2d/problem.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

/// Elements or windows first .. last - 1.
template <class Index>
struct Span {
  Index first, last;
};

template <class Index>
struct Axis {
  Index in, out, kernel, stride, pad;
  Index padded;  ///< where the padded image ends

  explicit Axis(const WindowAxis& a)
      : in(static_cast<Index>(a.in)),
        out(static_cast<Index>(a.out)),
        kernel(static_cast<Index>(a.kernel)),
        stride(static_cast<Index>(a.stride)),
        pad(static_cast<Index>(a.pad())),
        padded(static_cast<Index>(a.in + (a.same ? a.kernel : a.after))) {}

  /// The part in the image of window i.
  __device__ Span<Index> inside(Index i) const {
    const Index begin = i * stride - pad;
    return {max(begin, Index{0}), min(begin + kernel, in)};
  }
  /// The windows that element r lies in.
  __device__ Span<Index> windows(Index r) const {
    const Index before = r + pad - kernel;
    return {before < 0 ? 0 : before / stride + 1, min((r + pad) / stride + 1, out)};
  }
  /// By what a mean over window i is divided, as far as this axis goes: a factor.
  __device__ Index count(Index i, bool include_pad) const {
    const Index begin = i * stride - pad;
    if (include_pad) return min(begin + kernel, padded) - begin;
    const Span<Index> s = inside(i);
    return s.last - s.first;
  }
};

/// Index counts the elements of every tensor. Images lie as rows of pixels of `lanes` elements: of one plane, or of all
/// channels.
template <class Index>
struct Problem {
  Axis<Index> h, w;
  Index lanes, planes;  ///< planes of an image
  Index x_size, y_size;
  bool include_pad, wide_gradient;

  explicit Problem(const Pool2dProblem& p)
      : h(p.h),
        w(p.w),
        lanes(static_cast<Index>(p.channels_last ? p.channels : 1)),
        planes(static_cast<Index>(p.channels_last ? 1 : p.channels)),
        x_size(static_cast<Index>(p.batch * p.channels * p.h.in * p.w.in)),
        y_size(static_cast<Index>(p.batch * p.channels * p.h.out * p.w.out)),
        include_pad(p.count_include_pad),
        wide_gradient(p.wide_gradient()) {}

  struct Place {
    Index plane, row, column, lane;
  };
  __device__ Place in_x(Index e) const { return place(e, h.in, w.in); }
  __device__ Place in_y(Index e) const { return place(e, h.out, w.out); }
  __device__ Index x_at(Index plane, Index row, Index column, Index lane) const {
    return ((plane * h.in + row) * w.in + column) * lanes + lane;
  }
  __device__ Index y_at(Index plane, Index row, Index column, Index lane) const {
    return ((plane * h.out + row) * w.out + column) * lanes + lane;
  }
  /// Where the image that a plane belongs to begins in x.
  __device__ Index image_at(Index plane) const { return x_at(plane / planes * planes, 0, 0, 0); }

 private:
  __device__ Place place(Index e, Index rows, Index columns) const {
    const Index pixel = e / lanes, row = pixel / columns;
    return {row / rows, row % rows, pixel % columns, e % lanes};
  }
};

template <class Index, class F>
__device__ void for_each(Index n, const F& f) {
  const Index step = static_cast<Index>(gridDim.x * blockDim.x);
  for (Index e = static_cast<Index>(blockIdx.x * blockDim.x + threadIdx.x); e < n; e += step) f(e);
}

template <class T, class Index>
__global__ void max_pool(Problem<Index> p, const T* x, T* y, int32_t* places) {
  for_each(p.y_size, [&](Index e) {
    const auto [plane, i, j, lane] = p.in_y(e);
    const Span<Index> rows = p.h.inside(i), columns = p.w.inside(j);
    Index place = p.x_at(plane, rows.first, columns.first, lane);
    T best = x[place];
    for (Index r = rows.first; r < rows.last; ++r)
      for (Index c = columns.first; c < columns.last; ++c) {
        const Index at = p.x_at(plane, r, c, lane);
        const T v = x[at];
        if (v > best || (v != v && best == best)) best = v, place = at;
      }
    y[e] = best, places[e] = static_cast<int32_t>(place - p.image_at(plane));
  });
}

template <class T, class Sum, class Index>
__global__ void max_pool_grad(Problem<Index> p, const T* dy, const int32_t* places, T* dx) {
  for_each(p.x_size, [&](Index e) {
    const auto [plane, row, column, lane] = p.in_x(e);
    const Span<Index> rows = p.h.windows(row), columns = p.w.windows(column);
    const auto place = static_cast<int32_t>(e - p.image_at(plane));
    Sum sum = 0;
    for (Index i = rows.first; i < rows.last; ++i)
      for (Index j = columns.first; j < columns.last; ++j) {
        const Index at = p.y_at(plane, i, j, lane);
        if (places[at] == place) sum += dy[at];
      }
    dx[e] = static_cast<T>(sum);
  });
}

template <class T, class Index>
__global__ void max_pool_pick(Problem<Index> p, const T* x, const int32_t* places, T* y) {
  for_each(p.y_size, [&](Index e) { y[e] = x[p.image_at(p.in_y(e).plane) + places[e]]; });
}

template <class T, class Index>
__global__ void avg_pool(Problem<Index> p, const T* x, T* y) {
  for_each(p.y_size, [&](Index e) {
    const auto [plane, i, j, lane] = p.in_y(e);
    const Span<Index> rows = p.h.inside(i), columns = p.w.inside(j);
    const bool is_long = (rows.last - rows.first) * (columns.last - columns.first) > Pool2dProblem::kShortSum;
    T part = 0;  // of a run, if it is long
    double total = 0;
    Index parts = 0;
    for (Index r = rows.first; r < rows.last; ++r)
      for (Index c = columns.first; c < columns.last; ++c) {
        part += x[p.x_at(plane, r, c, lane)];
        if (is_long && ++parts == Pool2dProblem::kRun) total += static_cast<double>(part), part = 0, parts = 0;
      }
    y[e] = static_cast<T>(total + static_cast<double>(part)) /
           static_cast<T>(int64_t{p.h.count(i, p.include_pad)} * p.w.count(j, p.include_pad));
  });
}

template <class T, class Sum, class Index>
__global__ void avg_pool_grad(Problem<Index> p, const T* dy, T* dx) {
  for_each(p.x_size, [&](Index e) {
    const auto [plane, row, column, lane] = p.in_x(e);
    const Span<Index> rows = p.h.windows(row), columns = p.w.windows(column);
    Sum sum = 0;
    for (Index i = rows.first; i < rows.last; ++i)
      for (Index j = columns.first; j < columns.last; ++j) {
        const auto count = int64_t{p.h.count(i, p.include_pad)} * p.w.count(j, p.include_pad);
        sum += dy[p.y_at(plane, i, j, lane)] / static_cast<T>(count);
      }
    dx[e] = static_cast<T>(sum);
  });
}

enum class Op { max_pool, max_pool_grad, max_pool_pick, avg_pool, avg_pool_grad };

template <Op op, class T, class Index>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Problem<Index>*>(params);
  const Index n = op == Op::max_pool_grad || op == Op::avg_pool_grad ? p.x_size : p.y_size;
  if (n == 0) return;
  const auto launch = [&](auto* kernel, auto*... pointers) {
    kernel<<<cuda::blocks_for(n), cuda::kThreads, 0, cuda::stream_of(ctx)>>>(p, pointers...);
  };
  const auto t = [&](int i) { return static_cast<T*>(args[i]); };
  const auto places = [&](int i) { return static_cast<int32_t*>(args[i]); };
  if constexpr (op == Op::max_pool) launch(max_pool<T, Index>, t(0), t(1), places(2));
  if constexpr (op == Op::max_pool_grad)
    launch(p.wide_gradient ? max_pool_grad<T, double, Index> : max_pool_grad<T, T, Index>, t(0), places(1), t(3));
  if constexpr (op == Op::max_pool_pick) launch(max_pool_pick<T, Index>, t(0), places(1), t(2));
  if constexpr (op == Op::avg_pool) launch(avg_pool<T, Index>, t(0), t(1));
  if constexpr (op == Op::avg_pool_grad)
    launch(p.wide_gradient ? avg_pool_grad<T, double, Index> : avg_pool_grad<T, T, Index>, t(0), t(2));
  cuda::check_launch(ctx);
}

/// `x` and `y`: which of the inputs, then the outputs, are the image before and after pooling.
template <Op op, size_t x, size_t y>
Prepared prepare(const Signature& s) {
  const auto spec = [&](size_t i) { return i < s.inputs.size() ? s.inputs[i] : s.outputs[i - s.inputs.size()]; };
  const Pool2dProblem p(s.attrs_as<Pool2dAttrs>(), spec(x).shape, spec(y).shape);
  // Half of what int32 holds: loops and windows reach beyond the end.
  constexpr int64_t kMost = 1 << 30;
  int64_t most = std::max(spec(x).shape.num_elements(), spec(y).shape.num_elements());
  for (const WindowAxis* a : {&p.h, &p.w}) most = std::max({most, a->kernel, a->stride, a->pad() + a->in + a->kernel});
  const bool small = most < kMost;
  const auto choose = [&]<class T>(T) -> Prepared {
    if (small) return {run<op, T, int32_t>, Problem<int32_t>(p)};
    return {run<op, T, int64_t>, Problem<int64_t>(p)};
  };
  if (spec(x).dtype == float32) return choose(float());
  if (spec(x).dtype == float64) return choose(double());
  return {};
}

constexpr KernelEntry kKernels[] = {
    {op_name::MaxPool2D, prepare<Op::max_pool, 0, 1>},
    {op_name::MaxPool2DGrad, prepare<Op::max_pool_grad, 2, 0>},
    {op_name::MaxPool2DPick, prepare<Op::max_pool_pick, 0, 1>},
    {op_name::AvgPool2D, prepare<Op::avg_pool, 0, 1>},
    {op_name::AvgPool2DGrad, prepare<Op::avg_pool_grad, 1, 0>},
};

}  // namespace

std::span<const KernelEntry> gpu_kernels_pool2d();
std::span<const KernelEntry> gpu_kernels_pool2d() { return kKernels; }

}  // namespace twofold
