// CPU pooling. A task has some planes (nchw) or some images (nhwc), whose elements no other task writes; within it the
// order is that of the windows.
#include <twofold/kernels/pool2d/problem.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

/// How the elements of one task's unit lie: a plane of one channel, or an image with all channels side by side.
struct Unit {
  int64_t count;       ///< units in all
  int64_t lanes;       ///< channels of a unit, neighbours in memory
  int64_t in, out;     ///< elements of a unit, before and after pooling
  int64_t place_step;  ///< from a unit to the next, as places count from their image's first element
  int64_t per_image;

  explicit Unit(const Pool2dProblem& p)
      : count(p.channels_last ? p.batch : p.batch * p.channels),
        lanes(p.channels_last ? p.channels : 1),
        in(p.h.in * p.w.in * lanes),
        out(p.h.out * p.w.out * lanes),
        place_step(p.channels_last ? 0 : in),
        per_image(p.channels_last ? 1 : p.channels) {}
  int64_t first_place(int64_t unit) const { return unit % per_image * place_step; }
};

template <class F>
void for_units(const Unit& u, const KernelContext& ctx, F&& f) {
  constexpr int64_t kTask = 16 * 1024;  // elements, about
  const int64_t group = std::max<int64_t>(1, kTask / std::max<int64_t>(1, u.in));
  ctx.parallel_for((u.count + group - 1) / group, [&](int64_t task) {
    for (int64_t i = task * group; i < std::min(u.count, (task + 1) * group); ++i) f(i);
  });
}

/// f(i, j, rows, columns) for every window.
template <class F>
void for_windows(const Pool2dProblem& p, F&& f) {
  for (int64_t i = 0; i < p.h.out; ++i) {
    const auto rows = Pool2dProblem::inside(p.h, i);
    for (int64_t j = 0; j < p.w.out; ++j) f(i, j, rows, Pool2dProblem::inside(p.w, j));
  }
}

template <class T>
void max_pool(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Pool2dProblem*>(params);
  const Unit u(p);
  for_units(u, ctx, [&](int64_t unit) {
    const T* x = static_cast<const T*>(args[0]) + unit * u.in;
    T* y = static_cast<T*>(args[1]) + unit * u.out;
    int32_t* places = static_cast<int32_t*>(args[2]) + unit * u.out;
    const auto offset = static_cast<int32_t>(u.first_place(unit));
    for_windows(p, [&](int64_t i, int64_t j, auto rows, auto columns) {
      T* best = y + (i * p.w.out + j) * u.lanes;
      int32_t* place = places + (i * p.w.out + j) * u.lanes;
      const int64_t first = (rows.first * p.w.in + columns.first) * u.lanes;
      for (int64_t c = 0; c < u.lanes; ++c) best[c] = x[first + c], place[c] = static_cast<int32_t>(first + c);
      for (int64_t r = rows.first; r < rows.last; ++r)
        for (int64_t k = columns.first; k < columns.last; ++k) {
          const int64_t at = (r * p.w.in + k) * u.lanes;
          for (int64_t c = 0; c < u.lanes; ++c) {
            const T v = x[at + c];
            const bool better = v > best[c] || (v != v && best[c] == best[c]);
            best[c] = better ? v : best[c];
            place[c] = better ? static_cast<int32_t>(at + c) : place[c];
          }
        }
      for (int64_t c = 0; c < u.lanes; ++c) place[c] += offset;
    });
  });
}

/// add(dx) adds to the elements of each unit's dx, unit by unit: where they may get many terms, in float64 in the
/// workspace.
template <class T, class Add>
void for_gradients(const Pool2dProblem& p, T* all, KernelContext& ctx, Add&& add) {
  const Unit u(p);
  const bool wide = sizeof(T) < sizeof(double) && p.wide_gradient();
  for_units(u, ctx, [&](int64_t unit) {
    T* dx = all + unit * u.in;
    if (!wide) {
      std::fill_n(dx, u.in, T(0));
      return add(u, unit, dx);
    }
    double* sums = static_cast<double*>(ctx.workspace) + unit * u.in;
    std::fill_n(sums, u.in, 0.0);
    add(u, unit, sums);
    for (int64_t i = 0; i < u.in; ++i) dx[i] = static_cast<T>(sums[i]);
  });
}

template <class T>
void max_pool_grad(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Pool2dProblem*>(params);
  for_gradients(p, static_cast<T*>(args[3]), ctx, [&](const Unit u, int64_t unit, auto* dx) {
    const T* dy = static_cast<const T*>(args[0]) + unit * u.out;
    const int32_t* places = static_cast<const int32_t*>(args[1]) + unit * u.out;
    for (int64_t i = 0; i < u.out; ++i) dx[places[i] - u.first_place(unit)] += dy[i];
  });
}

template <class T>
void max_pool_pick(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Pool2dProblem*>(params);
  const Unit u(p);
  for_units(u, ctx, [&](int64_t unit) {
    const T* x = static_cast<const T*>(args[0]) + unit * u.in;
    const int32_t* places = static_cast<const int32_t*>(args[1]) + unit * u.out;
    T* y = static_cast<T*>(args[2]) + unit * u.out;
    for (int64_t i = 0; i < u.out; ++i) y[i] = x[places[i] - u.first_place(unit)];
  });
}

/// The sums of a window of more than kShortSum elements: every kRun elements are summed in order in T, and these sums
/// in float64.
template <class T, class Place>
void long_sums(Pool2dProblem::Span rows, Pool2dProblem::Span columns, int64_t lanes, Place&& at, T* sum) {
  constexpr int64_t kLanes = 128;  // at once
  T part[kLanes];
  double total[kLanes];
  for (int64_t begin = 0; begin < lanes; begin += kLanes) {
    const int64_t n = std::min(kLanes, lanes - begin);
    std::fill_n(part, n, T(0)), std::fill_n(total, n, 0.0);
    int64_t parts = 0;
    const auto take = [&] {
      for (int64_t c = 0; c < n; ++c) total[c] += static_cast<double>(part[c]), part[c] = 0;
      parts = 0;
    };
    for (int64_t r = rows.first; r < rows.last; ++r)
      for (int64_t k = columns.first; k < columns.last; ++k) {
        const T* from = at(r, k) + begin;
        for (int64_t c = 0; c < n; ++c) part[c] += from[c];
        if (++parts == Pool2dProblem::kRun) take();
      }
    take();
    for (int64_t c = 0; c < n; ++c) sum[begin + c] = static_cast<T>(total[c]);
  }
}

template <class T>
void avg_pool(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Pool2dProblem*>(params);
  const Unit u(p);
  for_units(u, ctx, [&](int64_t unit) {
    const T* x = static_cast<const T*>(args[0]) + unit * u.in;
    T* y = static_cast<T*>(args[1]) + unit * u.out;
    for_windows(p, [&](int64_t i, int64_t j, auto rows, auto columns) {
      T* sum = y + (i * p.w.out + j) * u.lanes;
      if ((rows.last - rows.first) * (columns.last - columns.first) > Pool2dProblem::kShortSum) {
        long_sums(
            rows, columns, u.lanes, [&](int64_t r, int64_t k) { return x + (r * p.w.in + k) * u.lanes; }, sum);
      } else if (u.lanes == 1) {
        T total = 0;
        for (int64_t r = rows.first; r < rows.last; ++r)
          for (int64_t k = columns.first; k < columns.last; ++k) total += x[r * p.w.in + k];
        *sum = total;
      } else {
        std::fill_n(sum, u.lanes, T(0));
        for (int64_t r = rows.first; r < rows.last; ++r)
          for (int64_t k = columns.first; k < columns.last; ++k)
            for (int64_t c = 0; c < u.lanes; ++c) sum[c] += x[(r * p.w.in + k) * u.lanes + c];
      }
      const T count = static_cast<T>(p.count(i, j));
      for (int64_t c = 0; c < u.lanes; ++c) sum[c] /= count;
    });
  });
}

template <class T>
void avg_pool_grad(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Pool2dProblem*>(params);
  for_gradients(p, static_cast<T*>(args[2]), ctx, [&](const Unit u, int64_t unit, auto* dx) {
    const T* dy = static_cast<const T*>(args[0]) + unit * u.out;
    if (u.lanes == 0) return;
    for_windows(p, [&](int64_t i, int64_t j, auto rows, auto columns) {
      const T* from = dy + (i * p.w.out + j) * u.lanes;
      const T count = static_cast<T>(p.count(i, j)), first = from[0] / count;
      for (int64_t r = rows.first; r < rows.last; ++r)
        for (int64_t k = columns.first; k < columns.last; ++k) {
          auto* to = dx + (r * p.w.in + k) * u.lanes;
          to[0] += first;
          for (int64_t c = 1; c < u.lanes; ++c) to[c] += from[c] / count;
        }
    });
  });
}

/// `x` and `y`: which of the inputs, then the outputs, are the image before and after pooling.
template <template <class> class Kernel, size_t x, size_t y>
Prepared prepare(const Signature& s) {
  const auto spec = [&](size_t i) { return i < s.inputs.size() ? s.inputs[i] : s.outputs[i - s.inputs.size()]; };
  const Pool2dProblem p(s.attrs_as<Pool2dAttrs>(), spec(x).shape, spec(y).shape);
  const bool sums = x > y && p.wide_gradient();  // of gradients, which have dy first
  if (spec(x).dtype == float32)
    return {Kernel<float>::run, p, sums ? static_cast<size_t>(spec(x).shape.num_elements()) * sizeof(double) : 0};
  if (spec(x).dtype == float64) return {Kernel<double>::run, p};
  return {};
}

template <class T>
struct MaxPool {
  static constexpr KernelFn run = max_pool<T>;
};
template <class T>
struct MaxPoolGrad {
  static constexpr KernelFn run = max_pool_grad<T>;
};
template <class T>
struct MaxPoolPick {
  static constexpr KernelFn run = max_pool_pick<T>;
};
template <class T>
struct AvgPool {
  static constexpr KernelFn run = avg_pool<T>;
};
template <class T>
struct AvgPoolGrad {
  static constexpr KernelFn run = avg_pool_grad<T>;
};

constexpr KernelEntry kKernels[] = {
    {op_name::MaxPool2D, prepare<MaxPool, 0, 1>},         {op_name::MaxPool2DGrad, prepare<MaxPoolGrad, 2, 0>},
    {op_name::MaxPool2DPick, prepare<MaxPoolPick, 0, 1>}, {op_name::AvgPool2D, prepare<AvgPool, 0, 1>},
    {op_name::AvgPool2DGrad, prepare<AvgPoolGrad, 1, 0>},
};

}  // namespace

std::span<const KernelEntry> cpu_kernels_pool2d();
std::span<const KernelEntry> cpu_kernels_pool2d() { return kKernels; }

}  // namespace twofold
