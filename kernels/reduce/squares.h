// Sums of squares that neither overflow nor underflow. Freestanding, so that kernels of any device can compile this
// text.
#pragma once

#include <cmath>
#include <type_traits>

#include <twofold/kernels/host_device.h>

namespace twofold {

/// What becomes of a reduction's total: total / divisor + epsilon, or the root of that.
struct Finish {
  double divisor = 1;
  double epsilon = 0;
  bool root = false;
};

/// A sum of squares in float64, whose range holds the square of every float32.
template <class T>
struct PlainSquares {
  double sum;

  PlainSquares() = default;
  TWOFOLD_DEVICE explicit PlainSquares(T x) : sum(static_cast<double>(x) * static_cast<double>(x)) {}

  TWOFOLD_DEVICE friend PlainSquares operator+(const PlainSquares& a, const PlainSquares& b) {
    PlainSquares c;
    c.sum = a.sum + b.sum;
    return c;
  }
  TWOFOLD_DEVICE double finish(const Finish& f) const {
    const double y = sum / f.divisor + f.epsilon;
    return f.root ? std::sqrt(y) : y;
  }
};

/// A sum of squares of float64 by magnitude, the large ones and the small ones scaled by a power of two. (Blue, "A
/// portable Fortran program to find the Euclidean norm of a vector", 1978.)
struct ScaledSquares {
  static constexpr double kLarge = 0x1p480, kSmall = 0x1p-480;  ///< 2^63 squares of numbers in between fit
  static constexpr double kUp = 0x1p600, kDown = 0x1p-600;
  double middle, large, small;

  ScaledSquares() = default;
  TWOFOLD_DEVICE explicit ScaledSquares(double x) {
    const double size = std::fabs(x), down = x * kDown, up = x * kUp;
    large = size > kLarge ? down * down : 0;
    small = size < kSmall ? up * up : 0;
    middle = size > kLarge || size < kSmall ? 0 : x * x;  // NaN too
  }

  /// Whether a plain sum is accurate: it did not overflow, and squares that underflowed are too small to count.
  static bool is_safe(double sum) { return sum > 0x1p-900 && sum < 0x1p960; }
  static ScaledSquares of_safe(double sum) {
    ScaledSquares c{};
    c.middle = sum;
    return c;
  }

  TWOFOLD_DEVICE friend ScaledSquares operator+(const ScaledSquares& a, const ScaledSquares& b) {
    ScaledSquares c;
    c.middle = a.middle + b.middle, c.large = a.large + b.large, c.small = a.small + b.small;
    return c;
  }
  TWOFOLD_DEVICE double finish(const Finish& f) const {
    if (large > 0) {
      const double y = (large + middle * kDown * kDown) / f.divisor;
      return f.root ? std::sqrt(y + f.epsilon * kDown * kDown) * kUp : y * kUp * kUp + f.epsilon;
    }
    if (middle == 0 && f.root && f.epsilon == 0) return std::sqrt(small / f.divisor) * kDown;
    const double y = (middle + small * kDown * kDown) / f.divisor + f.epsilon;
    return f.root ? std::sqrt(y) : y;
  }
};

template <class T>
using Squares = std::conditional_t<std::is_same_v<T, float>, PlainSquares<float>, ScaledSquares>;

}  // namespace twofold
