// Functions of one or two elements as references, with their derivatives of the first and the second order.
#pragma once

#include <utility>

#include "oracle.h"

namespace oracle {

using F1 = real (*)(real);
using F2 = real (*)(real, real);

constexpr real zero1(real) { return 0; }
constexpr real zero2(real, real) { return 0; }
/// a b, 0 where either is: for what vanishes faster than the other grows.
inline real times(real a, real b) {
  return a == 0 || b == 0 ? std::copysign(real(0), a) * std::copysign(real(1), b) : a * b;
}

struct Unary {
  const char* function;
  F1 f, first, second;
  Within value, slope = {4}, bend = {8};  ///< the last places that the value and the derivatives may be off
  F1 slope_term = nullptr, bend_term = nullptr;  ///< the largest term of a derivative that crosses zero
};

struct Binary {
  const char* function;
  F2 f, by_a, by_b;
  F2 by_aa = zero2, by_ab = zero2, by_bb = zero2;
  Within value = {}, slope = {.ulps = 1, .zero_sign = false}, bend = {.ulps = 4, .zero_sign = false};
  bool by_reciprocal = false;  ///< 1 / b is on the way to the second order: not where it overflows
  F2 terms[6] = {};            ///< the largest term of f, by_a, by_b, by_aa, by_ab, by_bb where they cross zero
};

/// Holds the op of that name to it, over all of both floating dtypes; of two operands over all pairs of extremes.
void check(const Unary& reference);
void check(const Binary& reference);

/// All pairs, as two lists.
template <class T>
std::pair<std::vector<T>, std::vector<T>> pairs(const std::vector<T>& v) {
  std::pair<std::vector<T>, std::vector<T>> p;
  for (const T& a : v)
    for (const T& b : v) p.first.push_back(a), p.second.push_back(b);
  return p;
}

}  // namespace oracle
