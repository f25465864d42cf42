// From random bits to numbers of a distribution. Freestanding, and written in basic float64 arithmetic only (no
// contraction, no library function but the exactly rounded square root), so that every processor gets the same bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include <twofold/kernels/random/philox.h>

namespace twofold {

/// Numbers made from one PhiloxBlock: 4 of float32, each from 32 bits, or 2 of float64, each from 64.
template <class T>
inline constexpr int kPerBlock = sizeof(T) == 4 ? 4 : 2;

namespace internal {

TWOFOLD_DEVICE inline uint64_t join(uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; }

TWOFOLD_DEVICE inline double from_bits(uint64_t bits) {
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}
TWOFOLD_DEVICE inline uint64_t to_bits(double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

/// log(x) of a positive normal x: e log 2 + 2 artanh((m - 1) / (m + 1)) with x = 2^e m, m in [sqrt(1/2), sqrt(2)).
TWOFOLD_DEVICE inline double log_of(double x) {
  const uint64_t bits = to_bits(x);
  // The exponent is taken after adding what carries mantissas from sqrt(2) on into it.
  const uint64_t e = (bits + 0x00095f619980c433ull) >> 52;
  const double m = from_bits(bits - ((e - 1023) << 52));
  // The integer e as a double, by way of its bits: 2^52 + e.
  const double exponent = from_bits(0x4330000000000000ull | e) - (4503599627370496.0 + 1023.0);
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 23;
  p = p * z + 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return exponent * 0.69314718055994530942 + 2 * (s + s * z * p);
}

/// Cosine and sine of pi/2 * t, |t| <= 1/2, by their series.
TWOFOLD_DEVICE inline void quarter_turn(double t, double& cosine, double& sine) {
  const double x = t * 1.57079632679489661923, z = x * x;
  double c = 1.0 / 20922789888000.0;  // 1/16!
  c = c * z - 1.0 / 87178291200.0;
  c = c * z + 1.0 / 479001600.0;
  c = c * z - 1.0 / 3628800.0;
  c = c * z + 1.0 / 40320.0;
  c = c * z - 1.0 / 720.0;
  c = c * z + 1.0 / 24.0;
  c = c * z - 1.0 / 2.0;
  cosine = c * z + 1.0;
  double s = 1.0 / 355687428096000.0;  // 1/17!
  s = s * z - 1.0 / 1307674368000.0;
  s = s * z + 1.0 / 6227020800.0;
  s = s * z - 1.0 / 39916800.0;
  s = s * z + 1.0 / 362880.0;
  s = s * z - 1.0 / 5040.0;
  s = s * z + 1.0 / 120.0;
  s = s * z - 1.0 / 6.0;
  sine = s * z * x + x;
}

/// Two independent standard normal numbers from a radius' and an angle's 53 random bits (Box and Muller, 1958).
TWOFOLD_DEVICE inline void normal_pair(uint64_t radius_bits, uint64_t angle_bits, double& z0, double& z1) {
  constexpr uint64_t kOne = 0x3ff0000000000000ull;
  // Floating numbers 1 + bits / 2^52 minus what makes them (0, 1] and [0, 1): bits 52 and below of 53 are used.
  const double u = 2.0 - from_bits(kOne | radius_bits >> 1);
  const double turn = from_bits(kOne | angle_bits >> 1) - 1.0;
  // The nearest quarter turn is taken off exactly: adding 2^52 rounds to an integer.
  const double quarters = 4 * turn, nearest = (quarters + 4503599627370496.0) - 4503599627370496.0;
  const uint64_t quadrant = to_bits(quarters + 4503599627370496.0) & 3;
  double cosine, sine;
  quarter_turn(quarters - nearest, cosine, sine);
  const uint64_t swap = (quadrant & 1) ? ~uint64_t{0} : 0;
  const uint64_t c = to_bits(cosine), s = to_bits(sine);
  const uint64_t cosine_sign = ((quadrant + 1) & 2) << 62, sine_sign = (quadrant & 2) << 62;
  const double radius = ::sqrt(-2 * log_of(u));
  z0 = radius * from_bits(((c & ~swap) | (s & swap)) ^ cosine_sign);
  z1 = radius * from_bits(((s & ~swap) | (c & swap)) ^ sine_sign);
}

/// The block's kPerBlock<T> standard normal numbers.
template <class T>
TWOFOLD_DEVICE inline void standard_normals(const PhiloxBlock& block, double* z) {
  const uint32_t* w = block.word;
  if constexpr (sizeof(T) == 4) {
    normal_pair(uint64_t{w[0]} << 21, uint64_t{w[1]} << 21, z[0], z[1]);
    normal_pair(uint64_t{w[2]} << 21, uint64_t{w[3]} << 21, z[2], z[3]);
  } else {
    normal_pair(join(w[0], w[1]) >> 11, join(w[2], w[3]) >> 11, z[0], z[1]);
  }
}

/// The upper 64 bits of a product of 128.
TWOFOLD_DEVICE inline uint64_t upper_product(uint64_t a, uint64_t b) {
  const uint64_t a0 = static_cast<uint32_t>(a), a1 = a >> 32, b0 = static_cast<uint32_t>(b), b1 = b >> 32;
  const uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + static_cast<uint32_t>(middle);
  return a1 * b1 + (middle >> 32) + (other >> 32);
}
}  // namespace internal

/// The block's kPerBlock<T> normal numbers of `mean` and `stddev`.
template <class T>
TWOFOLD_DEVICE inline void normal_block(const PhiloxBlock& block, double mean, double stddev, T* out) {
  double z[4] = {};
  internal::standard_normals<T>(block, z);
  for (int i = 0; i < kPerBlock<T>; ++i) out[i] = static_cast<T>(mean + stddev * z[i]);
}

/// The kPerBlock<T> numbers of block number `index` from the normal distribution cut off at two standard deviations. A
/// number beyond is drawn anew from blocks that belong to its element alone, at most kRetries of them (of 2 numbers at
/// least): that all are beyond has a probability of 1e-43, and then it is the mean.
template <class T>
TWOFOLD_DEVICE inline void truncated_normal_block(uint64_t key, uint64_t execution, uint64_t index,
                                                  const PhiloxBlock& block, double mean, double stddev, T* out) {
  constexpr uint64_t kRetries = 16, kRetried = uint64_t{1} << 63;
  double z[4] = {};
  internal::standard_normals<T>(block, z);
  for (int i = 0; i < kPerBlock<T>; ++i) {
    double v = z[i];
    const uint64_t element = index * kPerBlock<T> + static_cast<uint64_t>(i);
    for (uint64_t retry = 0; !(v >= -2 && v <= 2) && retry < kRetries; ++retry) {
      double more[4] = {};
      internal::standard_normals<T>(random_block(key, execution, kRetried | (element * kRetries + retry)), more);
      for (int k = 0; k < kPerBlock<T> && !(v >= -2 && v <= 2); ++k) v = more[k];
    }
    if (!(v >= -2 && v <= 2)) v = 0;
    out[i] = static_cast<T>(mean + stddev * v);
  }
}

/// The block's 2 integers in [low, low + range), each from 64 bits: one integer's probability differs from another's by
/// 2^-64 at most.
template <class T>
TWOFOLD_DEVICE inline void uniform_int_block(const PhiloxBlock& block, int64_t low, uint64_t range, T* out) {
  for (int i = 0; i < 2; ++i) {
    const uint64_t bits = internal::join(block.word[2 * i], block.word[2 * i + 1]);
    out[i] = static_cast<T>(static_cast<uint64_t>(low) + internal::upper_product(bits, range));
  }
}

/// The largest T that may be drawn from [low, high): below high, or low where that is all.
template <class T>
T last_below(double low, double high) {
  T last = static_cast<T>(high);
  if (static_cast<double>(last) >= high) last = std::nextafter(last, -std::numeric_limits<T>::infinity());
  return last < static_cast<T>(low) ? static_cast<T>(low) : last;
}

/// The block's kPerBlock<T> numbers uniform in [low, high), from the upper 24 or 53 bits; `last` is the largest T below
/// high.
template <class T>
TWOFOLD_DEVICE inline void uniform_block(const PhiloxBlock& block, double low, double high, T last, T* out) {
  const uint32_t* w = block.word;
  for (int i = 0; i < kPerBlock<T>; ++i) {
    double u;
    if constexpr (sizeof(T) == 4) {
      u = static_cast<double>(w[i] >> 8) * 0x1p-24;
    } else {
      u = static_cast<double>(static_cast<int64_t>(internal::join(w[2 * i], w[2 * i + 1]) >> 11)) * 0x1p-53;
    }
    const T v = static_cast<T>(low + (high - low) * u);
    out[i] = v > last ? last : v;
  }
}

}  // namespace twofold
