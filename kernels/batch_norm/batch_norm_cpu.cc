#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/batch_norm/flat.h>
#include <twofold/kernels/batch_norm/running.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>

#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

// Forward and backward are two sweeps of one form. With d = x - centre of each channel:
//
//              centre          w     first sweep: sum w and sum w d   second sweep
//   forward    first element   d     mean and variance                y  = d a + b
//   backward   mean            dy    doffset and dscale               dx = (dy - b - d k) a
//
// Where attrs.relu is set, forward rectifies y once it is rounded, and reports for which x y <= 0; backward takes dy as
// 0 there. The results equal to the bit those of Relu and ReluGrad on y and dy.
//
// Everything is computed in float64 and rounded once. The first element is a sample of its channel, so that centring by
// it costs the variance at most a factor of the number of elements in float64's relative error, whatever the mean.
// Plain loops over fixed numbers of lanes: compilers vectorise them, and the order of additions stays as written.

namespace twofold {
namespace {

struct Sums {
  double w = 0, wd = 0;
};

struct Coefficients {
  double centre, a, b, k;
};

/// x, or 0 where it is `flat`. By a bit mask: compilers do not vectorise a loop in which a branch may skip the
/// conversion.
template <class T>
T rectified(T x, bool flat) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return std::bit_cast<T>(std::bit_cast<Bits>(x) & (static_cast<Bits>(flat) - 1));
}

template <class T, bool kBackward, bool kRelu>
struct Operands {
  using Number = T;
  const T* x;
  const T* dy;            ///< backward
  const Flat<T>* flat_x;  ///< backward of a rectified y, by channel
  T* out;

  Operands from(int64_t offset) const { return {x + offset, kBackward ? dy + offset : nullptr, flat_x, out + offset}; }
  Flat<T> flat(int64_t channel) const { return kBackward && kRelu ? flat_x[channel] : Flat<T>{}; }

  void add_terms(int64_t i, double centre, Flat<T> flat, double& w_sum, double& wd_sum) const {
    const double d = static_cast<double>(x[i]) - centre;
    const double w = kBackward ? static_cast<double>(gradient(i, flat)) : d;
    w_sum += w;
    wd_sum += w * d;
  }
  void write_result(int64_t i, const Coefficients& c, Flat<T> flat) const {
    if constexpr (kBackward) {
      const double d = static_cast<double>(x[i]) - c.centre;
      out[i] = static_cast<T>((static_cast<double>(gradient(i, flat)) - c.b - d * c.k) * c.a);
    } else {
      const T y = normalised(x[i], c.centre, c.a, c.b);
      out[i] = rectified(y, kRelu && y < 0);
    }
  }

 private:
  T gradient(int64_t i, Flat<T> flat) const { return rectified(dy[i], kRelu && flat.holds(x[i])); }
};

/// Runs: `inner` is long, and contiguous for each (outer, channel). A run is summed by segments.
struct Runs {
  static constexpr int64_t kSegment = 8192;    ///< elements
  static constexpr int64_t kTask = 32 * 1024;  ///< elements, about
  static constexpr int64_t kLanes = 16;
  int64_t outer, channels, inner;

  int64_t segments() const { return ceil_div(inner, kSegment); }
  int64_t num_partials() const { return outer * channels * segments(); }

  template <class F>
  void for_segments(const KernelContext& ctx, F&& f) const {
    const int64_t per_run = segments(), total = num_partials();
    const int64_t per_task = std::max<int64_t>(1, kTask / std::min(inner, kSegment));
    ctx.parallel_for(ceil_div(total, per_task), [&](int64_t task) {
      for (int64_t i = task * per_task; i < std::min(total, (task + 1) * per_task); ++i) {
        const int64_t run = i / per_run, begin = i % per_run * kSegment;
        f(i, run % channels, run * inner + begin, std::min(kSegment, inner - begin));
      }
    });
  }

  template <class P, class Centre>
  void sums(const KernelContext& ctx, const P& p, const Centre& centre, Sums* partials) const {
    for_segments(ctx, [&](int64_t index, int64_t channel, int64_t offset, int64_t n) {
      const P run = p.from(offset);
      const double c = centre(channel);
      const auto flat = p.flat(channel);
      double w[kLanes] = {}, wd[kLanes] = {};
      int64_t i = 0;
      for (; i + kLanes <= n; i += kLanes)
        for (int64_t lane = 0; lane < kLanes; ++lane) run.add_terms(i + lane, c, flat, w[lane], wd[lane]);
      for (int64_t lane = 0; i + lane < n; ++lane) run.add_terms(i + lane, c, flat, w[lane], wd[lane]);
      for (int64_t half = kLanes / 2; half > 0; half /= 2)
        for (int64_t lane = 0; lane < half; ++lane) w[lane] += w[lane + half], wd[lane] += wd[lane + half];
      partials[index] = {w[0], wd[0]};
    });
  }

  Sums total(const Sums* partials, int64_t channel) const {
    Sums s;
    for (int64_t o = 0; o < outer; ++o) {
      const Sums* run = partials + (o * channels + channel) * segments();
      for (int64_t i = 0; i < segments(); ++i) s.w += run[i].w, s.wd += run[i].wd;
    }
    return s;
  }

  template <class P>
  void apply(const KernelContext& ctx, const P& p, const Coefficients* coefficients) const {
    for_segments(ctx, [&](int64_t, int64_t channel, int64_t offset, int64_t n) {
      const P run = p.from(offset);
      const Coefficients c = coefficients[channel];
      const auto flat = p.flat(channel);
      for (int64_t i = 0; i < n; ++i) run.write_result(i, c, flat);
    });
  }
};

/// Columns: `inner` is short, often 1. x is a matrix with channels * inner columns, and channels are summed side by
/// side. Where rows are short, several are taken as one wide row.
struct Columns {
  static constexpr int64_t kStrip = 512;       ///< columns of one task
  static constexpr int64_t kTask = 32 * 1024;  ///< elements, about
  static constexpr int64_t kMinRows = 32;      ///< of a block, so that partial sums are few beside the elements
  int64_t outer, channels, inner;

  int64_t width() const { return channels * inner; }
  int64_t wide() const { return width() * std::max<int64_t>(1, 256 / width()); }
  int64_t wide_rows() const { return ceil_div(outer * width(), wide()); }
  int64_t block_rows() const { return std::max(kMinRows, kTask / std::min(wide(), kStrip)); }
  int64_t blocks() const { return ceil_div(wide_rows(), block_rows()); }
  int64_t num_partials() const { return blocks() * wide(); }

  /// f(block, first column, columns) for every strip of every block.
  template <class F>
  void for_strips(const KernelContext& ctx, F&& f) const {
    const int64_t strips = ceil_div(wide(), kStrip);
    ctx.parallel_for(blocks() * strips, [&](int64_t task) {
      const int64_t begin = task % strips * kStrip;
      f(task / strips, begin, std::min(kStrip, wide() - begin));
    });
  }
  /// f(offset, n) for the strip's part of each of the block's rows; the last row may be short.
  template <class F>
  void for_rows(int64_t block, int64_t begin, int64_t columns, F&& f) const {
    const int64_t end_row = std::min(wide_rows(), (block + 1) * block_rows()), size = outer * width();
    for (int64_t row = block * block_rows(); row < end_row; ++row) {
      const int64_t offset = row * wide() + begin;
      f(offset, std::clamp<int64_t>(size - offset, 0, columns));
    }
  }
  int64_t channel_of(int64_t column) const { return column % width() / inner; }

  template <class T>
  struct FlatStrip {
    T lo[kStrip], hi[kStrip];
    void set(int64_t j, Flat<T> flat) { lo[j] = flat.lo, hi[j] = flat.hi; }
    Flat<T> operator[](int64_t j) const { return {lo[j], hi[j]}; }
  };

  template <class P, class Centre>
  void sums(const KernelContext& ctx, const P& p, const Centre& centre, Sums* partials) const {
    for_strips(ctx, [&](int64_t block, int64_t begin, int64_t columns) {
      double c[kStrip], w[kStrip] = {}, wd[kStrip] = {};
      FlatStrip<typename P::Number> flat;
      for (int64_t j = 0; j < columns; ++j) {
        c[j] = centre(channel_of(begin + j));
        flat.set(j, p.flat(channel_of(begin + j)));
      }
      for_rows(block, begin, columns, [&](int64_t offset, int64_t n) {
        const P row = p.from(offset);
        for (int64_t j = 0; j < n; ++j) row.add_terms(j, c[j], flat[j], w[j], wd[j]);
      });
      for (int64_t j = 0; j < columns; ++j) partials[block * wide() + begin + j] = {w[j], wd[j]};
    });
  }

  Sums total(const Sums* partials, int64_t channel) const {
    Sums s;
    for (int64_t row = 0; row < num_partials(); row += width())
      for (int64_t i = 0; i < inner; ++i) {
        const Sums& part = partials[row + channel * inner + i];
        s.w += part.w, s.wd += part.wd;
      }
    return s;
  }

  template <class P>
  void apply(const KernelContext& ctx, const P& p, const Coefficients* coefficients) const {
    for_strips(ctx, [&](int64_t block, int64_t begin, int64_t columns) {
      double centre[kStrip], a[kStrip], b[kStrip], k[kStrip];
      FlatStrip<typename P::Number> flat;
      for (int64_t j = 0; j < columns; ++j) {
        const Coefficients& c = coefficients[channel_of(begin + j)];
        centre[j] = c.centre, a[j] = c.a, b[j] = c.b, k[j] = c.k;
        flat.set(j, p.flat(channel_of(begin + j)));
      }
      for_rows(block, begin, columns, [&](int64_t offset, int64_t n) {
        const P row = p.from(offset);
        for (int64_t j = 0; j < n; ++j) row.write_result(j, {centre[j], a[j], b[j], k[j]}, flat[j]);
      });
    });
  }
};

template <class Sweep>
struct Params {
  Sweep sweep;
  double epsilon;

  double count() const { return static_cast<double>(sweep.outer * sweep.inner); }
  size_t workspace() const {
    return static_cast<size_t>(sweep.num_partials()) * sizeof(Sums) +
           static_cast<size_t>(sweep.channels) * sizeof(Coefficients);
  }
};

/// `finish(channel, sums)` writes what belongs to one channel and gives the coefficients of its second sweep.
template <class Sweep, class P, class Centre, class Finish>
void two_sweeps(const Sweep& sweep, KernelContext& ctx, const P& operands, const Centre& centre, const Finish& finish) {
  constexpr int64_t kChannelsPerTask = 8;
  Sums* partials = static_cast<Sums*>(ctx.workspace);
  Coefficients* coefficients = reinterpret_cast<Coefficients*>(partials + sweep.num_partials());
  sweep.sums(ctx, operands, centre, partials);
  ctx.parallel_for(ceil_div(sweep.channels, kChannelsPerTask), [&](int64_t task) {
    for (int64_t c = task * kChannelsPerTask; c < std::min(sweep.channels, (task + 1) * kChannelsPerTask); ++c)
      coefficients[c] = finish(c, sweep.total(partials, c));
  });
  sweep.apply(ctx, operands, coefficients);
}

template <class T, bool kRelu, class Sweep>
void forward(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Params<Sweep>*>(params);
  const auto *x = static_cast<const T*>(args[0]), *scale = static_cast<const T*>(args[1]),
             *offset = static_cast<const T*>(args[2]);
  auto *mean = static_cast<T*>(args[4]), *variance = static_cast<T*>(args[5]), *inv_std = static_cast<T*>(args[6]);
  auto* flat = static_cast<Flat<T>*>(args[7]);
  const auto centre = [&](int64_t c) {
    const double first = static_cast<double>(x[c * p.sweep.inner]);
    return std::isfinite(first) ? first : 0.0;
  };
  const Operands<T, false, kRelu> operands{x, nullptr, nullptr, static_cast<T*>(args[3])};
  two_sweeps(p.sweep, ctx, operands, centre, [&](int64_t c, const Sums& s) {
    const double shift = s.w / p.count(), centred = s.wd / p.count() - shift * shift;
    const double m = centre(c) + shift, v = centred < 0 ? 0 : centred, r = 1 / std::sqrt(v + p.epsilon);
    mean[c] = static_cast<T>(m);
    variance[c] = static_cast<T>(v);
    inv_std[c] = static_cast<T>(r);
    const Coefficients second{m, r * static_cast<double>(scale[c]), static_cast<double>(offset[c]), 0};
    if (kRelu) flat[c] = flat_of<T>(second.centre, second.a, second.b);
    return second;
  });
}

template <class T, bool kRelu, class Sweep>
void backward(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Params<Sweep>*>(params);
  const auto *x = static_cast<const T*>(args[0]), *scale = static_cast<const T*>(args[1]),
             *dy = static_cast<const T*>(args[2]), *mean = static_cast<const T*>(args[3]),
             *inv_std = static_cast<const T*>(args[4]);
  const auto* flat = kRelu ? static_cast<const Flat<T>*>(args[5]) : nullptr;
  void* const* out = args + (kRelu ? 6 : 5);
  auto *dx = static_cast<T*>(out[0]), *dscale = static_cast<T*>(out[1]), *doffset = static_cast<T*>(out[2]);
  const auto centre = [&](int64_t c) { return static_cast<double>(mean[c]); };
  two_sweeps(p.sweep, ctx, Operands<T, true, kRelu>{x, dy, flat, dx}, centre, [&](int64_t c, const Sums& s) {
    const double r = static_cast<double>(inv_std[c]);
    dscale[c] = static_cast<T>(r * s.wd);
    doffset[c] = static_cast<T>(s.w);
    return Coefficients{centre(c), r * static_cast<double>(scale[c]), s.w / p.count(), r * r * s.wd / p.count()};
  });
}

template <class T, bool kBackward, class Sweep>
KernelFn choose(bool relu) {
  if (kBackward) return relu ? backward<T, true, Sweep> : backward<T, false, Sweep>;
  return relu ? forward<T, true, Sweep> : forward<T, false, Sweep>;
}

template <class T, bool kBackward>
Prepared prepare_for(const Signature& s) {
  constexpr int64_t kShortRun = 16;
  const auto& attrs = s.attrs_as<BatchNormAttrs>();
  const BatchNormLayout l(s.inputs[0].shape, attrs.axis);
  if (l.channels == 0) return {[](const void*, void* const*, KernelContext&) noexcept {}, l};
  if (l.inner < kShortRun) {
    const Params<Columns> p{{l.outer, l.channels, l.inner}, attrs.epsilon};
    return {choose<T, kBackward, Columns>(attrs.relu), p, p.workspace()};
  }
  const Params<Runs> p{{l.outer, l.channels, l.inner}, attrs.epsilon};
  return {choose<T, kBackward, Runs>(attrs.relu), p, p.workspace()};
}

template <bool kBackward>
Prepared prepare(const Signature& s) {
  if (s.inputs[0].dtype == float32) return prepare_for<float, kBackward>(s);
  if (s.inputs[0].dtype == float64) return prepare_for<double, kBackward>(s);
  return {};
}

template <class T>
void run_statistics(const void* params, void* const* args, KernelContext&) noexcept {
  const auto& update = *static_cast<const RunningUpdate<T>*>(params);
  const RunningOperands<T> operands(args);
  for (int64_t c = 0; c < update.channels; ++c) operands.advance(update, c);
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

std::span<const KernelEntry> cpu_kernels_batch_norm();
std::span<const KernelEntry> cpu_kernels_batch_norm() { return kKernels; }

}  // namespace twofold
