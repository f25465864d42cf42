// What every public function gives, held against references that share no text with the library.
//
// Parity of the two modes cannot see an error that both make. So each public function has a case here, which states its
// value (within so many units in the last place) or its Error with the code, over all that its dtypes hold: zeros of
// both signs, 1, the largest, the smallest normal and subnormal numbers, infinities, NaN, both ends of the integers,
// and over extents of 0 and 1. References are written in long double, for integers in exact arithmetic.
// completeness_test.cc holds the list of functions that the public headers declare against the cases.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"

namespace oracle {

namespace tf = twofold;
using real = long double;
using Reals = std::vector<real>;
using tf::DType;
using tf::Shape;
using tf::Tensor;
using Tensors = std::vector<Tensor>;

inline constexpr real kInf = std::numeric_limits<real>::infinity();
inline constexpr real kNaN = std::numeric_limits<real>::quiet_NaN();
/// In place of a value that no formula gives and no document promises: outside of a function's domain.
inline const real kAnything = -std::numeric_limits<real>::max();

/// Names of functions that have a case, as the headers' scan spells them: "clip", "nn::mse_loss", "Tensor::item".
std::set<std::string>& covered();
struct Covers {
  explicit Covers(std::string_view comma_separated);
};

/// Opens the case of these functions: ORACLE(any, all) { ... }
#define ORACLE_NAMED(name, ...)                   \
  static const oracle::Covers name{#__VA_ARGS__}; \
  TEST_CASE("oracle: " #__VA_ARGS__)
#define ORACLE_JOINED(a, b) a##b
#define ORACLE_ON(line, ...) ORACLE_NAMED(ORACLE_JOINED(covers_, line), __VA_ARGS__)
#define ORACLE(...) ORACLE_ON(__LINE__, __VA_ARGS__)

/// How near a result has to be.
struct Within {
  double ulps = 0;  ///< units in the last place of the reference in the result's dtype; 0: that very value
  /// Further, in units of the dtype's epsilon times this: what a sum of terms of that size may lose.
  real size = 0;
  bool zero_sign = true;  ///< whether -0 is another value than 0
  /// Further, in units of the least subnormal number: what a factor makes of one that was rounded to a subnormal.
  real tiny = 0;
};

/// Elements that every floating dtype T is tried with: `extremes` are few enough to be paired.
template <class T>
Reals extremes() {
  using L = std::numeric_limits<T>;
  Reals v;
  for (const real x :
       {real(0), real(L::denorm_min()), real(L::min() / 8), real(L::min()), real(1e-8), real(T(0.3)), real(0.5),
        real(1), real(2), real(3), real(T(17.1)), real(100), real(1e9), real(L::max()) / 2, real(L::max()), kInf})
    v.push_back(x), v.push_back(-x);
  v.push_back(kNaN);
  return v;
}
/// All powers of 2 and some numbers between them, of both signs, beside the extremes.
template <class T>
Reals everywhere() {
  Reals v = extremes<T>();
  using L = std::numeric_limits<T>;
  for (int e = L::min_exponent - L::digits; e<L::max_exponent; e += L::max_exponent> 200 ? 3 : 1)
    for (const double m : {1.0, 1.2345678901234567, 1.7071067811865475}) {
      const T x = static_cast<T>(std::ldexp(real(m), e));
      v.push_back(x), v.push_back(-x);
    }
  for (int i = -400; i <= 400; ++i) v.push_back(static_cast<T>(i * 0.0507));  // where functions bend
  for (int i = -200; i <= 200; ++i) v.push_back(static_cast<T>(i * 4.01));    // where exponentials end
  return v;
}
/// Both ends of an integer dtype, and what lies around 0.
template <class T>
std::vector<T> integers() {
  using L = std::numeric_limits<T>;
  std::vector<T> v = {L::min(), T(L::min() + 1), 0, 1, 2, 3, 7, 100, T(L::max() / 2), T(L::max() - 1), L::max()};
  if constexpr (std::is_signed_v<T>) v.insert(v.end(), {T(-1), T(-2), T(-7), T(-100), T(L::min() / 2)});
  return v;
}

Tensor make(DType dtype, const Shape& shape, const Reals& values);
inline Tensor make(DType dtype, const Reals& values) {
  return make(dtype, Shape{static_cast<int64_t>(values.size())}, values);
}
Reals values_of(const Tensor& t);

/// What is wrong with `got` as these values of this dtype, or "".
/// `terms`: where each element is a sum, how large its terms are; a unit in the last place is then of the largest.
std::string off(const Tensor& got, DType dtype, const Shape& shape, const Reals& wanted, Within within = {},
                const Reals& terms = {});
/// The same of a vector.
inline std::string off_list(const Tensor& got, DType dtype, const Reals& wanted, Within within = {},
                            const Reals& terms = {}) {
  return off(got, dtype, Shape{static_cast<int64_t>(wanted.size())}, wanted, within, terms);
}

using Call = std::function<Tensors(const Tensors&)>;
/// The results of `call`, once they have been found the same to the bit eagerly, deferred with what a graph may know of
/// the inputs (all, ranks, nothing), optimised and not. (Which NaN a NaN is does not count.)
Tensors everyway(const Call& call, const Tensors& inputs);
inline Tensor everyway1(const std::function<Tensor(const Tensors&)>& call, const Tensors& inputs) {
  return everyway([&](const Tensors& in) { return Tensors{call(in)}; }, inputs)[0];
}

/// f(x), and the derivatives of its sum by x of the first and the second order, zeros where there are none.
struct Derived {
  Tensor y, first, second;
};
Derived derive(const std::function<Tensor(const Tensor&)>& f, const Tensor& x);

/// Calls f(zero of the C++ type, dtype) for both floating dtypes, or for the three of integers.
template <class F>
void for_floating(F&& f) {
  f(float{}, tf::float32);
  f(double{}, tf::float64);
}
template <class F>
void for_integers(F&& f) {
  f(int32_t{}, tf::int32);
  f(int64_t{}, tf::int64);
  f(uint8_t{}, tf::uint8);
}

}  // namespace oracle
