// Activations and what they are made of: right in their tails and at both infinities.
#include <algorithm>

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
/// The factor 2 x by which a slope multiplies exp(-x^2) is no more than this where that is not 0: what a subnormal
/// exp(-x^2) was rounded by becomes so much larger.
constexpr real kGaussian = 56;
real normal(real x) { return std::exp(-x * x / 2) * kOneOverRootTwoPi; }
real share_below(real x) { return std::erfc(-x * kSqrtHalf) / 2; }
real tanh_slope(real x) {
  const real e = std::exp(-2 * std::fabs(x));
  return 4 * e / ((1 + e) * (1 + e));
}

real tanh_bend(real x) { return times(-2 * std::tanh(x), tanh_slope(x)); }
real tanh_third(real x) {
  const real y = std::tanh(x);
  return tanh_slope(x) * (4 * y * y - 2 * tanh_slope(x));
}
real sigmoid_third(real x) { return sigmoid_slope(x) * (1 - 6 * sigmoid_slope(x)); }

real silu_slope(real x) { return sigmoid(x) + times(sigmoid_slope(x), x); }
real silu_bend(real x) { return 2 * sigmoid_slope(x) + times(sigmoid_bend(x), x); }
real silu_third(real x) { return 3 * sigmoid_bend(x) + times(sigmoid_third(x), x); }
real gelu_slope(real x) { return share_below(x) + times(normal(x), x); }
real gelu_bend(real x) { return times(normal(x), 2 - x * x); }
real gelu_third(real x) { return times(times(normal(x), x), x * x - 4); }
// Their largest terms.
real tanh_third_term(real x) { return 4 * tanh_slope(x); }
real silu_slope_term(real x) { return sigmoid(x) + std::fabs(times(sigmoid_slope(x), x)); }
real silu_bend_term(real x) { return 2 * sigmoid_slope(x) + std::fabs(times(sigmoid_bend(x), x)); }
real silu_third_term(real x) { return 3 * std::fabs(sigmoid_bend(x)) + std::fabs(times(sigmoid_third(x), x)); }
real gelu_slope_term(real x) { return share_below(x) + std::fabs(times(normal(x), x)); }
real gelu_bend_term(real x) { return times(normal(x), 2 + x * x); }
real gelu_third_term(real x) { return times(normal(x), 4 + std::fabs(x * x * x)); }

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
     {4},
     {4},
     {.ulps = 8, .tiny = kGaussian}},
    {"gaussian",
     [](real x) { return std::exp(-x * x); },
     [](real x) { return times(-2 * x, std::exp(-x * x)); },
     [](real x) { return times(4 * x * x - 2, std::exp(-x * x)); },
     {4},
     {.ulps = 8, .tiny = kGaussian},
     {.ulps = 8, .tiny = kGaussian * kGaussian},
     nullptr,
     [](real x) { return times(4 * x * x + 2, std::exp(-x * x)); }},
    {"tanh", [](real x) { return std::tanh(x); }, tanh_slope, tanh_bend, {4}},
    {"sigmoid", sigmoid, sigmoid_slope, sigmoid_bend, {4}},
    {"silu",
     [](real x) { return times(sigmoid(x), x); },
     silu_slope,
     silu_bend,
     {4},
     {4},
     {.ulps = 8, .tiny = 800},  // a subnormal times x, which is no further out than -746
     silu_slope_term,
     silu_bend_term},
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
     {4}},
    {"gelu",
     [](real x) { return times(share_below(x), x); },
     gelu_slope,
     gelu_bend,
     {4},
     {.ulps = 4, .tiny = 8},
     {.ulps = 8, .tiny = kGaussian * kGaussian},
     gelu_slope_term,
     gelu_bend_term},
};

/// a times a slope at b that float32 holds as a subnormal is as wrong as that: nothing is promised.
template <F1 slope>
real at(real a, real b) {
  const real s = slope(b);
  return s != 0 && std::fabs(s) < 1.2e-38L && std::fabs(a) > 1 ? kAnything : a * s;
}
/// Nor where terms of opposite signs may overflow each by itself.
template <F1 bend>
real sum_at(real a, real b) {
  return std::fabs(a) > 1e38L ? kAnything : at<bend>(a, b);
}
template <F1 slope>
real by(real, real b) {
  return slope(b);
}
template <F1 slope, F1 bend, F1 third, F1 slope_term, F1 bend_term, F1 third_term>
Binary slope_of(const char* name) {
  Binary o{name, at<slope>, by<slope>, at<bend>, zero2, by<bend>, sum_at<third>};
  o.value = {.ulps = 8, .zero_sign = false, .tiny = 8};
  o.slope = o.bend = {.ulps = 8, .zero_sign = false, .tiny = kGaussian * kGaussian};
  const F2 terms[] = {at<slope_term>, by<slope_term>, at<bend_term>, zero2, by<bend_term>, at<third_term>};
  std::copy(std::begin(terms), std::end(terms), o.terms);
  return o;
}

const Binary kSlopes[] = {
    slope_of<tanh_slope, tanh_bend, tanh_third, tanh_slope, tanh_bend, tanh_third_term>("tanh_grad"),
    slope_of<sigmoid_slope, sigmoid_bend, sigmoid_third, sigmoid_slope, sigmoid_bend, sigmoid_slope>("sigmoid_grad"),
    slope_of<silu_slope, silu_bend, silu_third, silu_slope_term, silu_bend_term, silu_third_term>("silu_grad"),
    slope_of<gelu_slope, gelu_bend, gelu_third, gelu_slope_term, gelu_bend_term, gelu_third_term>("gelu_grad"),
};

}  // namespace

ORACLE(expm1, erf, gaussian, tanh, tanh_grad, sigmoid, sigmoid_grad, silu, silu_grad, softsign, softplus, gelu,
       gelu_grad) {
  for (const Unary& f : kActivations) check(f);
  for (const Binary& f : kSlopes) check(f);
}
