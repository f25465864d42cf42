// Activations and what they are made of: right in their tails and at both infinities.
#include "elementwise.h"

using namespace oracle;

namespace {

const real kSqrtHalf = std::sqrt(real(0.5));
const real kTwoOverRootPi = 2 / std::sqrt(std::acos(real(-1)));
const real kOneOverRootTwoPi = kTwoOverRootPi / 2 * kSqrtHalf;

real sigmoid(real x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
/// sigmoid(x) sigmoid(-x)
real sigmoid_slope(real x) {
  const real e = std::exp(-std::fabs(x));
  return e / ((1 + e) * (1 + e));
}
real sigmoid_bend(real x) { return sigmoid_slope(x) * -std::tanh(x / 2); }
real normal(real x) { return std::exp(-x * x / 2) * kOneOverRootTwoPi; }
real share_below(real x) { return std::erfc(-x * kSqrtHalf) / 2; }
real tanh_slope(real x) {
  const real e = std::exp(-2 * std::fabs(x));
  return 4 * e / ((1 + e) * (1 + e));
}

real silu_slope(real x) { return sigmoid(x) + times(sigmoid_slope(x), x); }
real silu_bend(real x) { return 2 * sigmoid_slope(x) + times(sigmoid_bend(x), x); }
real silu_third(real x) {
  const real y = sigmoid(x);
  return 3 * sigmoid_bend(x) + times(sigmoid_slope(x) * (1 - 6 * y * (1 - y)), x);
}
real gelu_slope(real x) { return share_below(x) + times(normal(x), x); }
real gelu_bend(real x) { return times(normal(x), 2 - x * x); }
real gelu_third(real x) { return times(times(normal(x), x), x * x - 4); }

// Slopes that are made of the value, 1 - y^2 and y (1 - y), have its last places and no more: where they are small,
// near 1, what is left of them. So have those that cross zero. All others keep their digits in the tails.
const Unary kActivations[] = {
    {"expm1",
     [](real x) { return std::expm1(x); },
     [](real x) { return std::exp(x); },
     [](real x) { return std::exp(x); },
     {4}},
    {"erf",
     [](real x) { return std::erf(x); },
     [](real x) { return std::exp(-x * x) * kTwoOverRootPi; },
     [](real x) { return times(-2 * x, std::exp(-x * x) * kTwoOverRootPi); },
     {4}},
    {"gaussian",
     [](real x) { return std::exp(-x * x); },
     [](real x) { return times(-2 * x, std::exp(-x * x)); },
     [](real x) { return times(4 * x * x - 2, std::exp(-x * x)); },
     {4}},
    {"tanh",
     [](real x) { return std::tanh(x); },
     tanh_slope,
     [](real x) { return times(-2 * std::tanh(x), tanh_slope(x)); },
     {4},
     {.ulps = 4, .size = 2},
     {.ulps = 8, .size = 4}},
    {"sigmoid", sigmoid, sigmoid_slope, sigmoid_bend, {4}, {.ulps = 4, .size = 2}, {.ulps = 8, .size = 4}},
    {"silu",
     [](real x) { return times(sigmoid(x), x); },
     [](real x) { return sigmoid(x) + times(sigmoid_slope(x), x); },
     [](real x) { return 2 * sigmoid_slope(x) + times(sigmoid_bend(x), x); },
     {4},
     {.ulps = 8, .size = 1},
     {.ulps = 8, .size = 8}},
    {"softsign",
     [](real x) { return std::isinf(x) ? std::copysign(real(1), x) : x / (1 + std::fabs(x)); },
     [](real x) { return 1 / ((1 + std::fabs(x)) * (1 + std::fabs(x))); },
     [](real x) {
       const real d = 1 + std::fabs(x);
       return (x > 0 ? -2 : x < 0 ? 2 : x) / (d * d * d);
     },
     {2}},
    {"softplus",
     [](real x) { return std::fmax(x, real(0)) + std::log1p(std::exp(-std::fabs(x))); },
     sigmoid,
     sigmoid_slope,
     {4},
     {4},
     {.ulps = 4, .size = 2}},
    {"gelu",
     [](real x) { return times(share_below(x), x); },
     [](real x) { return share_below(x) + times(normal(x), x); },
     [](real x) { return times(normal(x), 2 - x * x); },
     {4},
     {.ulps = 8, .size = 1},
     {.ulps = 8, .size = 8}},
};

const Binary kSlopes[] = {
    {"silu_grad", [](real a, real b) { return a * silu_slope(b); }, [](real, real b) { return silu_slope(b); },
     [](real a, real b) { return a * silu_bend(b); }, zero2, [](real, real b) { return silu_bend(b); },
     [](real a, real b) { return a * silu_third(b); }},
    {"gelu_grad", [](real a, real b) { return a * gelu_slope(b); }, [](real, real b) { return gelu_slope(b); },
     [](real a, real b) { return a * gelu_bend(b); }, zero2, [](real, real b) { return gelu_bend(b); },
     [](real a, real b) { return a * gelu_third(b); }},
};

}  // namespace

ORACLE(expm1, erf, gaussian, tanh, sigmoid, silu, silu_grad, softsign, softplus, gelu, gelu_grad) {
  for (const Unary& f : kActivations) check(f);
  for (const Binary& f : kSlopes) check(f);
}
