// What a reduction does with its elements: for kernels/reduce/*_cpu.cc only.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include <twofold/kernels/reduce/squares.h>

namespace twofold::reducers {

/// Shorter rows are reduced by a simple loop, which is faster than packets; at least as many elements as a packet has
/// lanes.
constexpr int64_t kShortRow = 16;

// Packets.

template <class T>
using Packet = typename Eigen::internal::packet_traits<T>::type;
template <class T>
inline constexpr int64_t kLanes = Eigen::internal::packet_traits<T>::size;

template <class T>
Packet<T> load(const T* x) {
  return Eigen::internal::ploadu<Packet<T>>(x);
}
/// The last n < lanes of the elements before `end`, zero in the other lanes.
template <class T>
Packet<T> load_last(const T* end, int64_t n) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  static constexpr auto kMasks = [] {
    std::array<Bits, 2 * kLanes<T>> bits{};
    for (size_t i = kLanes<T>; i < bits.size(); ++i) bits[i] = ~Bits{0};
    return bits;
  }();
  return Eigen::internal::pand(load(reinterpret_cast<const T*>(kMasks.data() + n)), load(end - kLanes<T>));
}

/// Joins n >= lanes elements through four packets: x[i] with x[i + 4 * lanes], then the four packets, then their lanes.
/// `tail` loads the elements that fill no packet, given their end and number.
template <class T, class Join, class Tail, class Last>
T join_block(const T* x, int64_t n, T nothing, Join join, Tail tail, Last last) {
  constexpr int64_t w = kLanes<T>;
  Packet<T> a[4];
  std::fill_n(a, 4, Eigen::internal::pset1<Packet<T>>(nothing));
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    a[0] = join(a[0], load(x + i));
    a[1] = join(a[1], load(x + i + w));
    a[2] = join(a[2], load(x + i + 2 * w));
    a[3] = join(a[3], load(x + i + 3 * w));
  }
  for (; i + w <= n; i += w) a[0] = join(a[0], load(x + i));
  if (i < n) a[1] = join(a[1], tail(x + n, n - i));
  return last(join(join(a[0], a[1]), join(a[2], a[3])));
}

// Reducers: `Total` is what blocks are joined in; `block` reduces a row's block; `pair` joins two elements of a column,
// each made a `Partial`; `result` makes a `Result` of the total.

template <class T>
struct SumOf {
  using Element = T;
  using Result = T;
  using Total = double;
  using Partial = T;
  static constexpr Total kNothing = 0;
  static Total join(Total a, Total b) { return a + b; }
  static Partial pair(Partial a, Partial b) { return a + b; }
  static Total block(const T* x, int64_t n) {
    if (n >= kShortRow)
      return join_block(
          x, n, T(0), [](auto a, auto b) { return Eigen::internal::padd(a, b); }, load_last<T>,
          [](auto a) { return Eigen::internal::predux(a); });
    Total total = 0;
    for (int64_t i = 0; i < n; ++i) total += x[i];
    return total;
  }
  static T result(Total total, const Finish&) { return static_cast<T>(total); }
};

template <class T>
struct MeanOf : SumOf<T> {
  static T result(double total, const Finish& f) { return static_cast<T>(total / f.divisor); }
};

/// The sum of squares, finished.
template <class T, class R, class S = Squares<T>>
struct SquaresOf {
  static constexpr bool kScaled = std::is_same_v<S, ScaledSquares>;
  using Element = T;
  using Result = R;
  using Total = S;
  using Partial = S;
  static constexpr Total kNothing{};
  static Total join(const Total& a, const Total& b) { return a + b; }
  static Partial pair(const Partial& a, const Partial& b) { return a + b; }
  static Total block(const T* x, int64_t n) {
    const double sum = plain(x, n);
    Total total{};
    if constexpr (!kScaled) {
      total.sum = sum;
    } else if (Total::is_safe(sum)) {
      total = Total::of_safe(sum);
    } else {
      for (int64_t i = 0; i < n; ++i) total = total + Total(x[i]);
    }
    return total;
  }
  static R result(const Total& total, const Finish& f) { return static_cast<R>(total.finish(f)); }

 private:
  static double plain(const T* x, int64_t n) {
    constexpr int64_t kSideBySide = 16;
    double part[kSideBySide] = {};
    int64_t i = 0;
    for (; i + kSideBySide <= n; i += kSideBySide)
      for (int64_t k = 0; k < kSideBySide; ++k)
        part[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
    for (int64_t half = kSideBySide / 2; half > 0; half /= 2)
      for (int64_t k = 0; k < half; ++k) part[k] += part[k + half];
    for (; i < n; ++i) part[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return part[0];
  }
};

/// Integers wrap, so they are summed unsigned.
template <class T>
requires std::is_integral_v<T>
struct SumOf<T> {
  using Element = T;
  using Result = T;
  using Total = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  using Partial = Total;
  static constexpr Total kNothing = 0;
  static Total join(Total a, Total b) { return a + b; }
  static Partial pair(Partial a, Partial b) { return a + b; }
  static Total block(const T* x, int64_t n) {
    Total total = 0;
    for (int64_t i = 0; i < n; ++i) total += static_cast<Total>(x[i]);
    return total;
  }
  static T result(Total total, const Finish&) { return static_cast<T>(total); }
};

/// Floating numbers are multiplied in float64 all the way: partial products leave the range of float32 soon.
template <class T>
struct ProdOf {
  using Element = T;
  using Result = T;
  using Total = std::conditional_t<std::is_floating_point_v<T>, double, typename SumOf<T>::Total>;
  using Partial = Total;
  static constexpr Total kNothing = 1;
  static Total join(Total a, Total b) { return a * b; }
  static Partial pair(Partial a, Partial b) { return a * b; }
  static Total block(const T* x, int64_t n) {
    constexpr int64_t kSideBySide = 8;
    Total part[kSideBySide];
    std::fill_n(part, kSideBySide, Total(1));
    int64_t i = 0;
    for (; i + kSideBySide <= n; i += kSideBySide)
      for (int64_t k = 0; k < kSideBySide; ++k) part[k] *= static_cast<Total>(x[i + k]);
    Total total = ((part[0] * part[1]) * (part[2] * part[3])) * ((part[4] * part[5]) * (part[6] * part[7]));
    for (; i < n; ++i) total *= static_cast<Total>(x[i]);
    return total;
  }
  static T result(Total total, const Finish&) { return static_cast<T>(total); }
};

template <class T>
bool is_nan(T x) {
  return x != x;
}

/// The largest element, or with kSign = -1 the smallest.
template <class T, int kSign>
struct ExtremeOf {
  using Element = T;
  using Result = T;
  using Total = T;
  using Partial = T;
  using Limits = std::numeric_limits<T>;
  static constexpr T kNothing = std::is_floating_point_v<T> ? -kSign * Limits::infinity()
                                : kSign > 0                 ? Limits::lowest()
                                                            : Limits::max();
  static T join(T a, T b) { return (kSign > 0 ? b > a : b < a) || is_nan(b) ? b : a; }
  static T pair(T a, T b) { return join(a, b); }
  static T block(const T* x, int64_t n) {
    if constexpr (std::is_floating_point_v<T>) {
      if (n >= kShortRow)
        return join_block(
            x, n, kNothing,
            [](auto a, auto b) {
              if constexpr (kSign > 0)
                return Eigen::internal::pmax<Eigen::PropagateNaN>(a, b);
              else
                return Eigen::internal::pmin<Eigen::PropagateNaN>(a, b);
            },
            [](const T* end, int64_t) { return load(end - kLanes<T>); },  // an element joined twice changes nothing
            [](auto a) {
              if constexpr (kSign > 0)
                return Eigen::internal::predux_max<Eigen::PropagateNaN>(a);
              else
                return Eigen::internal::predux_min<Eigen::PropagateNaN>(a);
            });
    }
    T total = kNothing;
    for (int64_t i = 0; i < n; ++i) total = join(total, x[i]);
    return total;
  }
  static T result(T total, const Finish&) { return total; }
};

template <class T>
using MaxOf = ExtremeOf<T, 1>;
template <class T>
using MinOf = ExtremeOf<T, -1>;

}  // namespace twofold::reducers
