// A number as an option holds it.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/lossless.h>

namespace twofold {

class Literal;
struct FieldValue;

/// A number of any arithmetic type, whole ones to the last digit: what functions take where a `double` would round an
/// int64 beyond 2^53. An unsigned one beyond int64, which no dtype holds, is the nearest double.
class Number {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  constexpr Number(T v) {
    if (std::is_integral_v<T> && (std::is_signed_v<T> || sizeof(T) < 8 || v <= static_cast<T>(INT64_MAX))) {
      integer_ = static_cast<int64_t>(v);
    } else {
      floating_ = static_cast<double>(v), is_floating_ = true;
    }
  }

  /// The nearest double.
  constexpr double value() const { return is_floating_ ? floating_ : static_cast<double>(integer_); }
  /// Whether it is a whole number, be it written as a floating one.
  bool is_whole() const { return !is_floating_ || (std::isfinite(floating_) && std::trunc(floating_) == floating_); }

  /// Whether `dtype` has it. Floating dtypes have all numbers, rounded.
  bool fits(DType dtype) const {
    return dispatch(dtype, [&]<class T>(T) {
      return std::is_floating_point_v<T> ||
             (is_floating_ ? internal::lossless<T>(floating_) : internal::lossless<T>(integer_));
    });
  }
  /// As a T, whose dtype it fits.
  template <class T>
  T as() const {
    return is_floating_ ? static_cast<T>(floating_) : static_cast<T>(integer_);
  }
  /// As a literal for `dtype`, which it fits.
  Literal literal(DType dtype) const;

  /// By value; NaN is unordered. (x86's long double holds both kinds.)
  friend std::partial_ordering operator<=>(const Number& a, const Number& b) { return a.exact() <=> b.exact(); }
  friend bool operator==(const Number& a, const Number& b) { return a.exact() == b.exact(); }

  // As a field of attributes: by kind and bits.
  friend uint64_t hash_field(const Number& n) {
    return (n.bits() << 1 | n.bits() >> 63) ^ uint64_t { n.is_floating_ };
  }
  friend bool same_field(const Number& a, const Number& b) {
    return a.is_floating_ == b.is_floating_ && a.bits() == b.bits();
  }
  friend std::string print_field(const Number& n);
  friend void perturb_field(Number& n) { n = n.value() + 1; }
  friend FieldValue to_field(const Number& n);
  friend void from_field(const FieldValue& f, Number& n);

 private:
  constexpr long double exact() const {
    static_assert(std::numeric_limits<long double>::digits >= 64);
    return is_floating_ ? static_cast<long double>(floating_) : static_cast<long double>(integer_);
  }
  uint64_t bits() const {
    uint64_t bits;
    std::memcpy(&bits, &integer_, sizeof bits);
    return bits;
  }

  union {
    int64_t integer_ = 0;
    double floating_;
  };
  bool is_floating_ = false;
};

}  // namespace twofold
