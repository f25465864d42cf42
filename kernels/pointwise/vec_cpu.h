// The vocabulary of functors.h for Eigen's packets of float and double.
//
// Eigen 3.4's own exp, log and tanh saturate or lose subnormal numbers near the ends of their ranges and differ between
// instruction sets in what they cover, so these are written here once. Against the exact value they stay within 2.5
// units in the last place; infinities, NaN, zeros and subnormal numbers are as C's.
#pragma once

#ifndef EIGEN_FAST_MATH
#define EIGEN_FAST_MATH 0  // else sqrt of a float packet is an approximation
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12's own AVX-512 header
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#include <math.h>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <twofold/kernels/pointwise/scalar.h>

namespace twofold {
namespace packet = Eigen::internal;

#if defined(__AVX512F__)
/// Lane masks as AVX-512 has them: one bit per lane.
template <class T>
struct Mask {
  using Bits = std::conditional_t<sizeof(T) == 4, __mmask16, __mmask8>;
  Bits m;
  friend TWOFOLD_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<Bits>(a.m & b.m)}; }
  friend TWOFOLD_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<Bits>(a.m | b.m)}; }
};
template <int kPredicate>
TWOFOLD_INLINE Mask<float> compare(__m512 a, __m512 b) {
  return {_mm512_cmp_ps_mask(a, b, kPredicate)};
}
template <int kPredicate>
TWOFOLD_INLINE Mask<double> compare(__m512d a, __m512d b) {
  return {_mm512_cmp_pd_mask(a, b, kPredicate)};
}
TWOFOLD_INLINE __m512 blend(Mask<float> m, __m512 a, __m512 b) { return _mm512_mask_blend_ps(m.m, b, a); }
TWOFOLD_INLINE __m512d blend(Mask<double> m, __m512d a, __m512d b) { return _mm512_mask_blend_pd(m.m, b, a); }
#else
/// Lane masks as a packet whose lanes are all ones or all zeros.
template <class T>
struct Mask {
  using Packet = typename packet::packet_traits<T>::type;
  Packet m;
  friend TWOFOLD_INLINE Mask operator&(Mask a, Mask b) { return {packet::pand(a.m, b.m)}; }
  friend TWOFOLD_INLINE Mask operator|(Mask a, Mask b) { return {packet::por(a.m, b.m)}; }
};
#endif

/// A packet of T with the vocabulary's operations.
template <class T>
struct Vec {
  using Packet = typename packet::packet_traits<T>::type;
  static constexpr int kSize = packet::unpacket_traits<Packet>::size;
  Packet p;

  Vec() = default;
  TWOFOLD_INLINE Vec(Packet v) : p(v) {}
  template <class C>
    requires std::is_arithmetic_v<C>
  TWOFOLD_INLINE explicit Vec(C c) : p(packet::pset1<Packet>(static_cast<T>(c))) {}

  static TWOFOLD_INLINE Vec load(const T* from) { return packet::ploadu<Packet>(from); }
  TWOFOLD_INLINE void store(T* to) const { packet::pstoreu(to, p); }
  /// The first `n` < kSize lanes; those beyond them are 0.
  static TWOFOLD_INLINE Vec load_part(const T* from, int64_t n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
      return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), from);
    else
      return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), from);
#else
    T padded[kSize] = {};
    for (int64_t i = 0; i < n; ++i) padded[i] = from[i];
    return load(padded);
#endif
  }
  TWOFOLD_INLINE void store_part(T* to, int64_t n) const {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4)
      _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << n) - 1), p);
    else
      _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << n) - 1), p);
#else
    T padded[kSize];
    store(padded);
    for (int64_t i = 0; i < n; ++i) to[i] = padded[i];
#endif
  }
  TWOFOLD_INLINE T first() const { return packet::pfirst(p); }

  friend TWOFOLD_INLINE Vec operator+(Vec a, Vec b) { return packet::padd(a.p, b.p); }
  friend TWOFOLD_INLINE Vec operator-(Vec a, Vec b) { return packet::psub(a.p, b.p); }
  friend TWOFOLD_INLINE Vec operator*(Vec a, Vec b) { return packet::pmul(a.p, b.p); }
  friend TWOFOLD_INLINE Vec operator/(Vec a, Vec b) { return packet::pdiv(a.p, b.p); }
  // Not pnegate, which on AVX-512 is 0 - a and keeps +0.
  friend TWOFOLD_INLINE Vec operator-(Vec a) { return packet::pxor(a.p, Vec(T(-0.0)).p); }
#if defined(__AVX512F__)
  friend TWOFOLD_INLINE Mask<T> operator<(Vec a, Vec b) { return compare<_CMP_LT_OQ>(a.p, b.p); }
  friend TWOFOLD_INLINE Mask<T> operator<=(Vec a, Vec b) { return compare<_CMP_LE_OQ>(a.p, b.p); }
  friend TWOFOLD_INLINE Mask<T> operator==(Vec a, Vec b) { return compare<_CMP_EQ_OQ>(a.p, b.p); }
  friend TWOFOLD_INLINE Mask<T> operator!=(Vec a, Vec b) { return compare<_CMP_NEQ_UQ>(a.p, b.p); }
  friend TWOFOLD_INLINE Vec select_(Mask<T> m, Vec a, Vec b) { return blend(m, a.p, b.p); }
#else
  friend TWOFOLD_INLINE Mask<T> operator<(Vec a, Vec b) { return {packet::pcmp_lt(a.p, b.p)}; }
  friend TWOFOLD_INLINE Mask<T> operator<=(Vec a, Vec b) { return {packet::pcmp_le(a.p, b.p)}; }
  friend TWOFOLD_INLINE Mask<T> operator==(Vec a, Vec b) { return {packet::pcmp_eq(a.p, b.p)}; }
  friend TWOFOLD_INLINE Mask<T> operator!=(Vec a, Vec b) {
    return {packet::pxor(packet::pcmp_eq(a.p, b.p), packet::ptrue(a.p))};
  }
  friend TWOFOLD_INLINE Vec select_(Mask<T> m, Vec a, Vec b) { return packet::pselect(m.m, a.p, b.p); }
#endif
  friend TWOFOLD_INLINE Mask<T> operator>(Vec a, Vec b) { return b < a; }
  friend TWOFOLD_INLINE Mask<T> operator>=(Vec a, Vec b) { return b <= a; }
  friend TWOFOLD_INLINE Vec min_(Vec a, Vec b) { return select_((a < b) | (a != a), a, b); }
  friend TWOFOLD_INLINE Vec max_(Vec a, Vec b) { return select_((b < a) | (a != a), a, b); }
  friend TWOFOLD_INLINE Vec abs_(Vec a) { return packet::pabs(a.p); }
  friend TWOFOLD_INLINE Vec sqrt_(Vec a) { return packet::psqrt(a.p); }
  friend TWOFOLD_INLINE Vec floor_(Vec a) { return packet::pfloor(a.p); }
  friend TWOFOLD_INLINE Vec ceil_(Vec a) { return packet::pceil(a.p); }
  friend TWOFOLD_INLINE Vec round_(Vec a) { return packet::print(a.p); }
  /// a * b + c, in one rounding where the instruction set has that.
  friend TWOFOLD_INLINE Vec fma_(Vec a, Vec b, Vec c) { return packet::pmadd(a.p, b.p, c.p); }
};

namespace internal {
template <class T>
struct MathConstants;
template <>
struct MathConstants<float> {
  // exp: beyond these bounds the result is 0 or infinity; ln2 = high + low, with high * k exact for every exponent k.
  static constexpr float kExpLow = -104.f, kExpHigh = 89.f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  static constexpr float kExp[] = {1.f, 1.f, 1.f / 2, 1.f / 6, 1.f / 24, 1.f / 120, 1.f / 720, 1.f / 5040};
  // log(1 + f) = f - s * (f - R(s * s)), s = f / (2 + f), R(z) = z * (2/3 + 2/5 z + ...).
  static constexpr float kLog[] = {2.f / 3, 2.f / 5, 2.f / 7, 2.f / 9};
  // Lambert's continued fraction for tanh, cut and cleared of fractions: x P(x^2) / Q(x^2), for |x| <= 1/2.
  static constexpr float kTanhP[] = {945, 105, 1}, kTanhQ[] = {945, 420, 15}, kTanhOne = 10;
};
template <>
struct MathConstants<double> {
  static constexpr double kExpLow = -746., kExpHigh = 710., kLn2High = 6.93147180369123816490e-01,
                          kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kExp[] = {
      1.,        1.,         1. / 2,      1. / 6,       1. / 24,       1. / 120,       1. / 720,
      1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800.};
  static constexpr double kLog[] = {2. / 3,  2. / 5,  2. / 7,  2. / 9,  2. / 11,
                                    2. / 13, 2. / 15, 2. / 17, 2. / 19, 2. / 21};
  static constexpr double kTanhP[] = {2027025, 270270, 6930, 36}, kTanhQ[] = {2027025, 945945, 51975, 630, 1},
                          kTanhOne = 20;
};

/// c[0] + c[1] x + c[2] x^2 + ...
template <class T, int n>
TWOFOLD_INLINE Vec<T> polynomial(const T (&c)[n], Vec<T> x) {
  Vec<T> sum(c[n - 1]);
  for (int i = n - 2; i >= 0; --i) sum = fma_(sum, x, Vec<T>(c[i]));
  return sum;
}

template <class T>
TWOFOLD_INLINE Vec<T> each_lane(Vec<T> a, Vec<T> b, T (*f)(T, T)) {
  T x[Vec<T>::kSize], y[Vec<T>::kSize];
  a.store(x), b.store(y);
  for (int i = 0; i < Vec<T>::kSize; ++i) x[i] = f(x[i], y[i]);
  return Vec<T>::load(x);
}
}  // namespace internal

// exp(x) = 2^k exp(r), k the integer nearest to x / ln 2, |r| <= ln(2) / 2.
template <class T>
TWOFOLD_INLINE Vec<T> exp_(Vec<T> x) {
  using C = internal::MathConstants<T>;
  const Vec<T> bounded = packet::pmin(packet::pmax(x.p, Vec<T>(C::kExpLow).p), Vec<T>(C::kExpHigh).p);
  const Vec<T> k = packet::pfloor(fma_(bounded, Vec<T>(1.4426950408889634), Vec<T>(0.5)).p);
  const Vec<T> r = fma_(k, Vec<T>(-C::kLn2Low), fma_(k, Vec<T>(-C::kLn2High), bounded));
  const Vec<T> y = packet::pldexp(internal::polynomial(C::kExp, r).p, k.p);
  return select_(x == x, y, x);
}

// x = 2^k m with m between sqrt(1/2) and sqrt(2).
template <class T>
TWOFOLD_INLINE Vec<T> log_(Vec<T> x) {
  using C = internal::MathConstants<T>;
  Vec<T> k;
  Vec<T> m = packet::pfrexp(x.p, k.p);  // 1/2 <= m < 1
  const auto low = m < Vec<T>(0.70710678118654752);
  m = select_(low, m + m, m);
  k = select_(low, k - Vec<T>(1), k);
  const Vec<T> f = m - Vec<T>(1), s = f / (f + Vec<T>(2)), z = s * s, half = f * f * Vec<T>(0.5);
  const Vec<T> rest = z * internal::polynomial(C::kLog, z);
  const Vec<T> y = fma_(k, Vec<T>(C::kLn2High), f - (half - fma_(s, half + rest, k * Vec<T>(C::kLn2Low))));
  const Vec<T> infinity(std::numeric_limits<T>::infinity());
  const Vec<T> special = select_(x == Vec<T>(0), -infinity, Vec<T>(std::numeric_limits<T>::quiet_NaN()));
  return select_(x < infinity, select_(x > Vec<T>(0), y, special), select_(x == infinity, x, special));
}

// Near 0 the continued fraction, else (e^2a - 1) / (e^2a + 1) with a = |x|: one division serves both.
template <class T>
TWOFOLD_INLINE Vec<T> tanh_(Vec<T> x) {
  using C = internal::MathConstants<T>;
  const Vec<T> a = abs_(x), one(1), bounded = select_(a < Vec<T>(C::kTanhOne), a, Vec<T>(C::kTanhOne));
  const Vec<T> z = a * a, e = exp_(bounded + bounded);
  const auto near = a < Vec<T>(0.5);
  const Vec<T> above = select_(near, a * internal::polynomial(C::kTanhP, z), e - one);
  const Vec<T> below = select_(near, internal::polynomial(C::kTanhQ, z), e + one);
  const Vec<T> sign = packet::pand(x.p, Vec<T>(T(-0.0)).p);
  return select_(x == x, Vec<T>(packet::por((above / below).p, sign.p)), x);
}

// log(u) of u = 1 + x, corrected for the rounding of u. (Kahan)
template <class T>
TWOFOLD_INLINE Vec<T> log1p_(Vec<T> x) {
  const Vec<T> one(1), u = one + x, y = log_(u);
  return select_(u == one, x, select_(u < Vec<T>(std::numeric_limits<T>::infinity()), y * (x / (u - one)), y));
}

// The same for exp(x) - 1 = u - 1, by the logarithm of u.
template <class T>
TWOFOLD_INLINE Vec<T> expm1_(Vec<T> x) {
  const Vec<T> one(1), u = exp_(x), y = u - one;
  const auto far = (abs_(x) > Vec<T>(1)) | (x != x);
  return select_(u == one, x, select_(far, y, y * (x / log_(u))));
}

// One lane at a time, by C's function, since it has many special cases.
TWOFOLD_INLINE Vec<float> pow_(Vec<float> a, Vec<float> b) {
  return internal::each_lane<float>(a, b, [](float x, float y) { return std::pow(x, y); });
}
TWOFOLD_INLINE Vec<double> pow_(Vec<double> a, Vec<double> b) {
  return internal::each_lane<double>(a, b, [](double x, double y) { return std::pow(x, y); });
}

#define TWOFOLD_LANES(function)                                                                  \
  TWOFOLD_INLINE Vec<float> function##_(Vec<float> x) {                                          \
    return internal::each_lane<float>(x, x, [](float a, float) { return std::function(a); });    \
  }                                                                                              \
  TWOFOLD_INLINE Vec<double> function##_(Vec<double> x) {                                        \
    return internal::each_lane<double>(x, x, [](double a, double) { return std::function(a); }); \
  }
TWOFOLD_LANES(sin)
TWOFOLD_LANES(cos)
TWOFOLD_LANES(erf)
#undef TWOFOLD_LANES
template <class T>
TWOFOLD_INLINE Vec<T> floor_div_(Vec<T> a, Vec<T> b) {
  return internal::each_lane<T>(a, b, [](T x, T y) { return floor_div_(Scalar<T>(x), Scalar<T>(y)).v; });
}
template <class T>
TWOFOLD_INLINE Vec<T> mod_(Vec<T> a, Vec<T> b) {
  return internal::each_lane<T>(a, b, [](T x, T y) { return mod_(Scalar<T>(x), Scalar<T>(y)).v; });
}

}  // namespace twofold
