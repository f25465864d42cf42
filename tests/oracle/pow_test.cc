// pow, over all pairs of extremes.
#include "elementwise.h"

using namespace oracle;

namespace {

real pow_a(real a, real b) { return b == 0 ? 0 : b * std::pow(a, b - 1); }
real pow_b(real a, real b) { return a > 0 ? times(std::pow(a, b), std::log(a)) : 0; }

}  // namespace

ORACLE(pow) {
  check(Binary{"pow",
               [](real a, real b) { return std::pow(a, b); },
               pow_a,
               pow_b,
               [](real a, real b) { return b == 0 || b == 1 ? 0 : b * (b - 1) * std::pow(a, b - 2); },
               [](real a, real b) { return a > 0 ? std::pow(a, b - 1) + times(pow_a(a, b), std::log(a)) : kAnything; },
               [](real a, real b) { return a > 0 ? times(pow_b(a, b), std::log(a)) : 0; },
               {.ulps = 2},
               {.ulps = 4, .zero_sign = false},
               {.ulps = 8, .zero_sign = false}});
}
