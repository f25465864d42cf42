// CPU softmax and log-softmax. exp and log are Eigen's packet functions throughout, the last elements of a row in a
// padded packet, so that no result depends on where its element lies.
#include <algorithm>
#include <limits>

#include <Eigen/Core>

#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

namespace packets = Eigen::internal;

constexpr int64_t kTaskElements = 8192;  ///< about how much one task does: an exp is worth several loads
constexpr int64_t kShortRow = 32;        ///< up to this many elements rows go side by side, one in each lane
constexpr int64_t kBlock = 64;           ///< packets summed in the element type; their sums are added in float64

template <class T>
using Packet = typename packets::packet_traits<T>::type;
template <class T>
inline constexpr int64_t kLanes = packets::packet_traits<T>::size;

struct SoftmaxParams {
  int64_t outer, extent, inner;
};

template <class T>
Packet<T> load(const T* x, int64_t n, T padding) {
  if (n >= kLanes<T>) return packets::ploadu<Packet<T>>(x);
  alignas(64) T lanes[kLanes<T>];
  std::fill_n(lanes, kLanes<T>, padding);
  std::copy_n(x, n, lanes);
  return packets::pload<Packet<T>>(lanes);
}
template <class T>
void store(T* y, int64_t n, Packet<T> v) {
  if (n >= kLanes<T>) return packets::pstoreu(y, v);
  alignas(64) T lanes[kLanes<T>];
  packets::pstore(lanes, v);
  std::copy_n(lanes, n, y);
}

/// exp(x), 0 where that is below the least normal number. Eigen's alone makes exp(-inf) a subnormal number in some
/// instruction sets, but what is masked by -inf must give 0.
template <class T>
Packet<T> exp_of(Packet<T> x) {
  constexpr T kLeast = sizeof(T) == 4 ? T(-87.336544) : T(-708.396418);
  const auto vanishes = packets::pcmp_lt(x, packets::pset1<Packet<T>>(kLeast));
  return packets::pselect(vanishes, packets::pset1<Packet<T>>(T(0)), packets::pexp(x));
}

/// The sum of `packet(i)` over i = 0, w, 2w, ... below n, whose padding lanes are zero.
template <class T, class F>
double sum_packets(int64_t n, F packet) {
  constexpr int64_t w = kLanes<T>;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock * w) {
    Packet<T> even = packets::pset1<Packet<T>>(T(0)), odd = even;
    const int64_t end = std::min(n, begin + kBlock * w);
    int64_t i = begin;
    for (; i + w < end; i += 2 * w) {
      even = packets::padd(even, packet(i));
      odd = packets::padd(odd, packet(i + w));
    }
    if (i < end) even = packets::padd(even, packet(i));
    total += static_cast<double>(packets::predux(packets::padd(even, odd)));
  }
  return total;
}

template <class T, bool kLog>
void softmax_row(const T* x, T* y, int64_t n) {
  constexpr int64_t w = kLanes<T>;
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  Packet<T> most = packets::pset1<Packet<T>>(kLowest);
  for (int64_t i = 0; i < n; i += w) most = packets::pmax(most, load(x + i, n - i, kLowest));
  const auto m = packets::pset1<Packet<T>>(packets::predux_max(most));
  const double total = sum_packets<T>(n, [&](int64_t i) {
    const auto e = exp_of<T>(packets::psub(load(x + i, n - i, kLowest), m));  // 0 in the padding
    if constexpr (!kLog) store(y + i, n - i, e);
    return e;
  });
  const auto sum = packets::pset1<Packet<T>>(static_cast<T>(total));
  const auto log_sum = packets::plog(sum);
  for (int64_t i = 0; i < n; i += w) {
    if constexpr (kLog)
      store(y + i, n - i, packets::psub(packets::psub(load(x + i, n - i, T(0)), m), log_sum));
    else
      store(y + i, n - i, packets::pdiv(load(y + i, n - i, T(0)), sum));
  }
}

/// One packet of columns, `width` of them in use. y may be x.
template <class T, bool kLog>
void softmax_columns(const T* x, T* y, int64_t n, int64_t stride, int64_t width) {
  constexpr int64_t w = kLanes<T>;
  auto m = packets::pset1<Packet<T>>(-std::numeric_limits<T>::infinity());
  for (int64_t i = 0; i < n; ++i) m = packets::pmax(m, load(x + i * stride, width, T(0)));
  double totals[w] = {};
  alignas(64) T lanes[w];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    auto block = packets::pset1<Packet<T>>(T(0));
    for (int64_t i = begin; i < std::min(n, begin + kBlock); ++i) {
      const auto e = exp_of<T>(packets::psub(load(x + i * stride, width, T(0)), m));
      if constexpr (!kLog) store(y + i * stride, width, e);
      block = packets::padd(block, e);
    }
    packets::pstore(lanes, block);
    for (int64_t k = 0; k < w; ++k) totals[k] += static_cast<double>(lanes[k]);
  }
  for (int64_t k = 0; k < w; ++k) lanes[k] = static_cast<T>(totals[k]);
  const auto sum = packets::pload<Packet<T>>(lanes);
  const auto log_sum = packets::plog(sum);
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (kLog)
      store(y + i * stride, width, packets::psub(packets::psub(load(x + i * stride, width, T(0)), m), log_sum));
    else
      store(y + i * stride, width, packets::pdiv(load(y + i * stride, width, T(0)), sum));
  }
}

/// `rows` <= lanes short rows at once, each in a lane of its own.
template <class T, bool kLog>
void softmax_short_rows(const T* x, T* y, int64_t n, int64_t rows) {
  constexpr int64_t w = kLanes<T>;
  alignas(64) T turned[kShortRow * w];
  for (int64_t r = 0; r < w; ++r)
    for (int64_t i = 0; i < n; ++i) turned[i * w + r] = r < rows ? x[r * n + i] : T(0);
  softmax_columns<T, kLog>(turned, turned, n, w, w);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = turned[i * w + r];
}

template <class T, bool kLog>
void softmax_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const SoftmaxParams*>(params);
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<T*>(args[1]);
  constexpr int64_t w = kLanes<T>;
  if (p.inner == 1 && p.extent <= kShortRow) {
    constexpr int64_t kRows = kTaskElements / kShortRow / w * w;
    ctx.parallel_for(ceil_div(p.outer, kRows), [&](int64_t task) {
      const int64_t end = std::min(p.outer, (task + 1) * kRows);
      for (int64_t r = task * kRows; r < end; r += w)
        softmax_short_rows<T, kLog>(x + r * p.extent, y + r * p.extent, p.extent, std::min(w, end - r));
    });
    return;
  }
  const int64_t tiles = ceil_div(p.inner, w), units = p.outer * tiles;
  const int64_t per_unit = std::max<int64_t>(1, p.extent * std::min(p.inner, w));
  const int64_t group = std::max<int64_t>(1, kTaskElements / per_unit);
  ctx.parallel_for(ceil_div(units, group), [&](int64_t task) {
    for (int64_t u = task * group; u < std::min(units, (task + 1) * group); ++u) {
      const int64_t column = u % tiles * w, at = u / tiles * p.extent * p.inner + column;
      if (p.inner == 1)
        softmax_row<T, kLog>(x + at, y + at, p.extent);
      else
        softmax_columns<T, kLog>(x + at, y + at, p.extent, p.inner, std::min(w, p.inner - column));
    }
  });
}

template <bool kLog>
Prepared prepare(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  const int64_t given = s.attrs_as<SoftmaxAttrs>().axis;
  const int axis = static_cast<int>(given < 0 ? given + x.rank() : given);
  SoftmaxParams p{1, x[axis], 1};
  for (int i = 0; i < axis; ++i) p.outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) p.inner *= x[i];
  if (p.extent == 0) p.outer = 0;  // however many empty rows there are
  if (s.inputs[0].dtype == float32) return {softmax_kernel<float, kLog>, p};
  if (s.inputs[0].dtype == float64) return {softmax_kernel<double, kLog>, p};
  return {};
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_softmax();
std::span<const KernelEntry> cpu_kernels_softmax() {
  static constexpr KernelEntry kTable[] = {{op_name::Softmax, prepare<false>}, {op_name::LogSoftmax, prepare<true>}};
  return kTable;
}

}  // namespace twofold
