// The vocabulary of functors.h for one number. Freestanding; host code includes <math.h> before it.
#pragma once

#include <twofold/kernels/pointwise/functors.h>

namespace twofold {

namespace internal {
// Arithmetic on signed integers is done in unsigned ones, where it wraps.
template <class T>
struct Arithmetic {
  using type = T;
};
template <>
struct Arithmetic<int> {
  using type = unsigned;
};
template <>
struct Arithmetic<long> {
  using type = unsigned long;
};
template <>
struct Arithmetic<long long> {
  using type = unsigned long long;
};
template <>
struct Arithmetic<unsigned char> {
  using type = unsigned;
};
template <>
struct Arithmetic<bool> {
  using type = unsigned;
};

template <class T>
inline constexpr bool kFloating = false;
template <>
inline constexpr bool kFloating<float> = true;
template <>
inline constexpr bool kFloating<double> = true;
}  // namespace internal

/// A number of type T with the vocabulary's operations. Its masks are bools.
template <class T>
struct Scalar {
  using U = typename internal::Arithmetic<T>::type;
  T v;

  Scalar() = default;
  template <class C>
  TWOFOLD_INLINE explicit Scalar(C c) : v(static_cast<T>(c)) {}

  friend TWOFOLD_INLINE Scalar operator+(Scalar a, Scalar b) { return Scalar(U(a.v) + U(b.v)); }
  friend TWOFOLD_INLINE Scalar operator-(Scalar a, Scalar b) { return Scalar(U(a.v) - U(b.v)); }
  friend TWOFOLD_INLINE Scalar operator*(Scalar a, Scalar b) { return Scalar(U(a.v) * U(b.v)); }
  friend TWOFOLD_INLINE Scalar operator/(Scalar a, Scalar b) { return Scalar(a.v / b.v); }
  friend TWOFOLD_INLINE Scalar operator-(Scalar a) {
    if constexpr (internal::kFloating<T>)
      return Scalar(-a.v);
    else
      return Scalar(U(0) - U(a.v));
  }
  friend TWOFOLD_INLINE bool operator<(Scalar a, Scalar b) { return a.v < b.v; }
  friend TWOFOLD_INLINE bool operator<=(Scalar a, Scalar b) { return a.v <= b.v; }
  friend TWOFOLD_INLINE bool operator>(Scalar a, Scalar b) { return a.v > b.v; }
  friend TWOFOLD_INLINE bool operator>=(Scalar a, Scalar b) { return a.v >= b.v; }
  friend TWOFOLD_INLINE bool operator==(Scalar a, Scalar b) { return a.v == b.v; }
  friend TWOFOLD_INLINE bool operator!=(Scalar a, Scalar b) { return a.v != b.v; }

  friend TWOFOLD_INLINE Scalar select_(bool mask, Scalar a, Scalar b) { return mask ? a : b; }
  friend TWOFOLD_INLINE Scalar min_(Scalar a, Scalar b) { return a.v < b.v || a.v != a.v ? a : b; }
  friend TWOFOLD_INLINE Scalar max_(Scalar a, Scalar b) { return a.v > b.v || a.v != a.v ? a : b; }
  friend TWOFOLD_INLINE Scalar abs_(Scalar a) {
    if constexpr (internal::kFloating<T>)
      return Scalar(::fabs(a.v));
    else
      return a < Scalar(0) ? -a : a;
  }
  /// The largest whole number that is no more than a / b: as Python's //, but of integers by 0 it is 0, and where it
  /// does not fit it wraps.
  friend TWOFOLD_INLINE Scalar floor_div_(Scalar a, Scalar b) {
    if constexpr (internal::kFloating<T>) {
      if (b.v == 0) return a / b;
      const T rest = static_cast<T>(::fmod(a.v, b.v)), q = (a.v - rest) / b.v;  // whole but for rounding
      return rest != 0 && (rest < 0) != (b.v < 0) ? round_(Scalar(q)) - Scalar(1) : round_(Scalar(q));
    } else {
      if (b.v == 0) return Scalar(0);
      if (b.v == static_cast<T>(-1)) return static_cast<T>(-1) < 0 ? -a : Scalar(a.v == b.v);  // no overflow
      const T q = static_cast<T>(a.v / b.v);
      return Scalar(a.v % b.v != 0 && (a.v < 0) != (b.v < 0) ? q - 1 : q);
    }
  }
  /// The remainder of a by b: of b's sign or 0; of integers by 0 it is 0.
  friend TWOFOLD_INLINE Scalar mod_(Scalar a, Scalar b) {
    if constexpr (internal::kFloating<T>) {
      const T r = static_cast<T>(::fmod(a.v, b.v));
      if (r == 0) return Scalar(::copysign(r, b.v));
      return Scalar((r < 0) != (b.v < 0) ? r + b.v : r);
    } else {
      if (b.v == 0 || b.v == static_cast<T>(-1))
        return b.v == 0 || static_cast<T>(-1) < 0 ? Scalar(0) : Scalar(a.v % b.v);
      const T r = static_cast<T>(a.v % b.v);
      return Scalar(r != 0 && (r < 0) != (b.v < 0) ? r + b.v : r);
    }
  }
};

// clang-format off
TWOFOLD_INLINE Scalar<float> sqrt_(Scalar<float> x) { return Scalar<float>(::sqrtf(x.v)); }
TWOFOLD_INLINE Scalar<float> exp_(Scalar<float> x) { return Scalar<float>(::expf(x.v)); }
TWOFOLD_INLINE Scalar<float> log_(Scalar<float> x) { return Scalar<float>(::logf(x.v)); }
TWOFOLD_INLINE Scalar<float> tanh_(Scalar<float> x) { return Scalar<float>(::tanhf(x.v)); }
TWOFOLD_INLINE Scalar<float> pow_(Scalar<float> a, Scalar<float> b) { return Scalar<float>(::powf(a.v, b.v)); }
TWOFOLD_INLINE Scalar<float> expm1_(Scalar<float> x) { return Scalar<float>(::expm1f(x.v)); }
TWOFOLD_INLINE Scalar<float> log1p_(Scalar<float> x) { return Scalar<float>(::log1pf(x.v)); }
TWOFOLD_INLINE Scalar<float> sin_(Scalar<float> x) { return Scalar<float>(::sinf(x.v)); }
TWOFOLD_INLINE Scalar<float> cos_(Scalar<float> x) { return Scalar<float>(::cosf(x.v)); }
TWOFOLD_INLINE Scalar<float> erf_(Scalar<float> x) { return Scalar<float>(::erff(x.v)); }
TWOFOLD_INLINE Scalar<float> floor_(Scalar<float> x) { return Scalar<float>(::floorf(x.v)); }
TWOFOLD_INLINE Scalar<float> ceil_(Scalar<float> x) { return Scalar<float>(::ceilf(x.v)); }
TWOFOLD_INLINE Scalar<float> round_(Scalar<float> x) { return Scalar<float>(::rintf(x.v)); }
TWOFOLD_INLINE Scalar<float> fma_(Scalar<float> a, Scalar<float> b, Scalar<float> c) { return Scalar<float>(::fmaf(a.v, b.v, c.v)); }
TWOFOLD_INLINE Scalar<double> fma_(Scalar<double> a, Scalar<double> b, Scalar<double> c) { return Scalar<double>(::fma(a.v, b.v, c.v)); }
TWOFOLD_INLINE Scalar<double> sqrt_(Scalar<double> x) { return Scalar<double>(::sqrt(x.v)); }
TWOFOLD_INLINE Scalar<double> exp_(Scalar<double> x) { return Scalar<double>(::exp(x.v)); }
TWOFOLD_INLINE Scalar<double> log_(Scalar<double> x) { return Scalar<double>(::log(x.v)); }
TWOFOLD_INLINE Scalar<double> tanh_(Scalar<double> x) { return Scalar<double>(::tanh(x.v)); }
TWOFOLD_INLINE Scalar<double> pow_(Scalar<double> a, Scalar<double> b) { return Scalar<double>(::pow(a.v, b.v)); }
TWOFOLD_INLINE Scalar<double> round_(Scalar<double> x) { return Scalar<double>(::rint(x.v)); }
TWOFOLD_INLINE Scalar<double> ceil_(Scalar<double> x) { return Scalar<double>(::ceil(x.v)); }
TWOFOLD_INLINE Scalar<double> floor_(Scalar<double> x) { return Scalar<double>(::floor(x.v)); }
TWOFOLD_INLINE Scalar<double> erf_(Scalar<double> x) { return Scalar<double>(::erf(x.v)); }
TWOFOLD_INLINE Scalar<double> cos_(Scalar<double> x) { return Scalar<double>(::cos(x.v)); }
TWOFOLD_INLINE Scalar<double> sin_(Scalar<double> x) { return Scalar<double>(::sin(x.v)); }
TWOFOLD_INLINE Scalar<double> log1p_(Scalar<double> x) { return Scalar<double>(::log1p(x.v)); }
TWOFOLD_INLINE Scalar<double> expm1_(Scalar<double> x) { return Scalar<double>(::expm1(x.v)); }
// clang-format on

/// What a functor's result is stored as: a number, or a mask as bool.
template <class T>
TWOFOLD_INLINE T stored(Scalar<T> result) {
  return result.v;
}
TWOFOLD_INLINE bool stored(bool mask) { return mask; }

/// Conversion between element types, every case defined: floating to integer truncates toward zero, saturates, and
/// gives 0 for NaN; integer to integer wraps; to bool is `!= 0`.
template <class To, class From>
TWOFOLD_INLINE To convert(From x) {
  if constexpr (!internal::kFloating<From> || internal::kFloating<To>) {
    return static_cast<To>(x);
  } else if constexpr (static_cast<To>(2) == static_cast<To>(1)) {  // bool
    return x != From(0);
  } else {
    constexpr int kBits = sizeof(To) * 8;
    constexpr bool kSigned = static_cast<To>(-1) < To(0);
    constexpr From kPast = From(2) * From(1ull << (kBits - 2)) * From(kSigned ? 1 : 2);  // the least value too large
    constexpr To kMost = kSigned ? static_cast<To>((1ull << (kBits - 1)) - 1) : static_cast<To>(-1);
    constexpr From kLeast = kSigned ? -kPast : From(0);
    // Brought into range before it is converted, so that the conversion may be vectorised.
    const From inside = x > kLeast ? (x < kPast ? x : From(0)) : (x <= kLeast ? kLeast : From(0));
    const To converted = static_cast<To>(inside);
    return x >= kPast ? kMost : converted;
  }
}

}  // namespace twofold
