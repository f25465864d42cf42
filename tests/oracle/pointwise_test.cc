// The elementwise functions of one operand, but for activations.
#include <algorithm>

#include "elementwise.h"

using namespace oracle;

namespace {

// At a kink the derivative is that which ops.def documents: abs and relu have 0 at 0.
const Unary kFunctions[] = {
    {"negative", [](real x) { return -x; }, [](real x) { return std::isnan(x) ? -1 : real(-1); }, zero1, {}, {}, {}},
    {"abs",
     [](real x) { return std::fabs(x); },
     [](real x) {
       return std::isnan(x) ? kNaN : x > 0 ? real(1) : x < 0 ? real(-1) : x;
     },
     zero1,
     {},
     {},
     {}},
    {"sign", [](real x) { return x > 0   ? real(1)
                                 : x < 0 ? real(-1)
                                         : x; }, zero1, zero1, {}, {}, {}},
    {"square",
     [](real x) { return x * x; },
     [](real x) { return 2 * x; },
     [](real) { return real(2); },
     {0.5},
     {0},
     {0}},
    {"relu",
     [](real x) { return x < 0 ? 0 : x; },
     [](real x) { return x > 0 || std::isnan(x) ? real(1) : real(0); },
     zero1,
     {},
     {},
     {}},
    {"floor", [](real x) { return std::floor(x); }, zero1, zero1, {}, {}, {}},
    {"ceil", [](real x) { return std::ceil(x); }, zero1, zero1, {}, {}, {}},
    {"round", [](real x) { return std::nearbyint(x); }, zero1, zero1, {}, {}, {}},
    {"sqrt",
     [](real x) { return std::sqrt(x); },
     [](real x) { return x < 0 ? kNaN : 1 / (2 * std::sqrt(x)); },
     [](real x) { return x < 0    ? kNaN
                         : x == 0 ? (std::signbit(x) ? kAnything : -kInf)
                                  : -1 / (4 * x * std::sqrt(x)); },
     {0.5},
     {2},
     {5}},
    {"rsqrt",
     [](real x) { return 1 / std::sqrt(x); },
     [](real x) { return x < 0    ? kNaN
                         : x == 0 ? (std::signbit(x) ? kAnything : -kInf)
                                  : -1 / (2 * x * std::sqrt(x)); },
     [](real x) { return x < 0             ? kNaN
                         : std::signbit(x) ? kAnything
                                           : 3 / (4 * x * x * std::sqrt(x)); },
     {2},
     {6},
     {10}},
    {"reciprocal",
     [](real x) { return 1 / x; },
     [](real x) { return -1 / (x * x); },
     [](real x) { return 2 / (x * x * x); },
     {0.5},
     {3},
     {4}},
    {"exp",
     [](real x) { return std::exp(x); },
     [](real x) { return std::exp(x); },
     [](real x) { return std::exp(x); },
     {2},
     {2},
     {2}},
    {"log",
     [](real x) { return std::log(x); },
     [](real x) { return 1 / x; },
     [](real x) { return -1 / (x * x); },
     {2},
     {1},
     {2}},
    {"log1p",
     [](real x) { return std::log1p(x); },
     [](real x) { return 1 / (1 + x); },
     [](real x) { return -1 / ((1 + x) * (1 + x)); },
     {4}},
    {"sin",
     [](real x) { return std::sin(x); },
     [](real x) { return std::cos(x); },
     [](real x) { return -std::sin(x); },
     {4}},
    {"cos",
     [](real x) { return std::cos(x); },
     [](real x) { return -std::sin(x); },
     [](real x) { return -std::cos(x); },
     {4}},
};

Reals each(const Reals& xs, F1 f) {
  Reals y;
  for (const real x : xs) y.push_back(f(x));
  return y;
}

}  // namespace

ORACLE(negative, abs, sign, square, relu, floor, ceil, round, sqrt, rsqrt, reciprocal, exp, log, log1p, sin, cos) {
  for (const Unary& f : kFunctions) check(f);
}

ORACLE(is_nan, is_inf, is_finite, logical_not) {
  for_floating([](auto zero, DType dtype) {
    const Reals x = everywhere<decltype(zero)>();
    const auto got = everyway(
        [](const Tensors& in) {
          return Tensors{tf::is_nan(in[0]), tf::is_inf(in[0]), tf::is_finite(in[0])};
        },
        {make(dtype, x)});
    const Reals at = values_of(make(dtype, x));
    CHECK(off_list(got[0], tf::bool_, each(at, [](real v) { return real(std::isnan(v)); })) == "");
    CHECK(off_list(got[1], tf::bool_, each(at, [](real v) { return real(std::isinf(v)); })) == "");
    CHECK(off_list(got[2], tf::bool_, each(at, [](real v) { return real(std::isfinite(v)); })) == "");
  });
  for_integers([](auto zero, DType) {
    const Tensor x = tf::tensor(integers<decltype(zero)>());
    const Reals no(static_cast<size_t>(x.num_elements()), 0), yes(no.size(), 1);
    CHECK(off_list(tf::is_nan(x), tf::bool_, no) == "");
    CHECK(off_list(tf::is_inf(x), tf::bool_, no) == "");
    CHECK(off_list(tf::is_finite(x), tf::bool_, yes) == "");
  });
  CHECK(off_list(everyway1([](const Tensors& in) { return tf::logical_not(in[0]); }, {make(tf::bool_, {0, 1})}),
                 tf::bool_, {1, 0}) == "");
  CHECK_ERROR(tf::logical_not(tf::tensor({1})), InvalidArgument, "bool");
}
