// Where a rectified y is flat. Freestanding, so that kernels of any device can compile this text.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <twofold/kernels/host_device.h>

namespace twofold {

/// The numbers x of a channel for which y <= 0: those from lo to hi, none where lo > hi.
template <class T>
struct Flat {
  T lo, hi;

  TWOFOLD_DEVICE bool holds(T x) const { return (x >= lo) & (x <= hi); }
};

/// y = (x - centre) a + b in float64, rounded once.
template <class T>
TWOFOLD_DEVICE T normalised(T x, double centre, double a, double b) {
  return static_cast<T>((static_cast<double>(x) - centre) * a + b);
}

/// The Flat of a channel, exact to the last x, as the search evaluates `normalised` itself. That is monotone in x, so
/// the x sought reach from a bound to one end of the finite numbers. The search for the bound begins where it would lie
/// without rounding. A channel with an x that is not finite has a NaN for `a`, and nothing flat.
template <class T>
TWOFOLD_DEVICE Flat<T> flat_of(double centre, double a, double b) {
  using Key = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;  // a float as its distance from 0 in floats
  constexpr T kMax = std::numeric_limits<T>::max();
  const auto number = [](Key k) { return k < 0 ? -std::bit_cast<T>(-k) : std::bit_cast<T>(k); };
  const bool falls = a < 0;
  const auto is_flat = [&](T x) { return normalised(falls ? -x : x, centre, a, b) <= 0; };

  constexpr Key kInfinity = std::bit_cast<Key>(kMax) + 1;
  Key in = -kInfinity, out = kInfinity;  // the last flat one lies in [in, out)
  (is_flat(0) ? in : out) = 0;
  const T guess = static_cast<T>(falls ? b / a - centre : centre - b / a);
  Key at = guess > 0 ? std::bit_cast<Key>(guess) : guess < 0 ? -std::bit_cast<Key>(-guess) : 0;
  for (Key step = 1; out - in > 1; step += step < kInfinity / 2 ? step : 0) {
    if (at <= in || at >= out) at = in + (out - in) / 2;
    if (is_flat(number(at))) {
      in = at;
      at = step < out - at ? at + step : out;
    } else {
      out = at;
      at = step < at - in ? at - step : in;
    }
  }
  return falls ? Flat<T>{-number(in), kMax} : Flat<T>{-kMax, number(in)};
}

}  // namespace twofold
