// pow, over all pairs of extremes.
#include "elementwise.h"

using namespace oracle;

namespace {

/// Whether what a derivative is made of, log(a), b^2, a^(b-1) and a^(b-2), stays within float32: elsewhere a factor
/// that overflows on the way may decide, and no more is promised than that values are right.
bool moderate(real a, real b) {
  const auto small = [](real v) { return std::isfinite(v) && std::fabs(v) < 1e30L; };
  return small(a) && small(b * b) && (b == 0 || std::fabs(b) > 1e-30L) && small(std::pow(a, b - 1)) &&
         small(std::pow(a, b - 2));
}
template <F2 f>
real where_moderate(real a, real b) {
  return moderate(a, b) ? f(a, b) : kAnything;
}

real pow_a(real a, real b) { return b == 0 ? 0 : b * std::pow(a, b - 1); }
real pow_b(real a, real b) { return a > 0 ? times(std::pow(a, b), std::log(a)) : 0; }

real pow_aa(real a, real b) { return b == 0 || b == 1 ? 0 : b * (b - 1) * std::pow(a, b - 2); }
real pow_ab(real a, real b) { return a > 0 ? std::pow(a, b - 1) + times(pow_a(a, b), std::log(a)) : kAnything; }
real pow_bb(real a, real b) { return a > 0 ? times(pow_b(a, b), std::log(a)) : 0; }

}  // namespace

ORACLE(pow) {
  // b - 1 is rounded, which |log(a)| makes more of in a power.
  check(Binary{"pow",
               [](real a, real b) { return std::pow(a, b); },
               where_moderate<pow_a>,
               where_moderate<pow_b>,
               where_moderate<pow_aa>,
               where_moderate<pow_ab>,
               where_moderate<pow_bb>,
               {.ulps = 2},
               {.ulps = 1024, .zero_sign = false},
               {.ulps = 2048, .zero_sign = false}});
}
