// Pointwise functions of floating numbers over all of their range, against long double: values to the last places,
// tails and subnormal results included, and limits at the infinities, of slopes too.
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/pointwise/record.h>

#include "both_modes.h"

namespace tf = twofold;
using testing::in_both_modes;

namespace {

using Real = long double;
constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

Real logistic(Real x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
Real normal_share(Real x) { return std::erfc(-x * std::sqrt(0.5L)) / 2; }
Real normal_density(Real x) { return std::exp(-x * x / 2) * 0.398942280401432677939946L; }

/// At -inf and at inf.
struct Ends {
  double low, high;
};

struct Reference {
  Real (*f)(Real);  ///< at finite numbers
  Ends value;
  Ends slope = {kNan, kNan}, second = {kNan, kNan};
  Real (*derivative)(Real) = nullptr;  ///< where it is none of the above, its slope is checked everywhere
  bool crosses_zero = false;           ///< the slope does, above -2, as a sum of terms that are about 1
};

const std::map<std::string, Reference> kReferences = {
    {"Neg", {[](Real x) { return -x; }, {kInf, -kInf}, {-1, -1}, {0, 0}}},
    {"Abs", {[](Real x) { return std::fabs(x); }, {kInf, kInf}, {-1, 1}, {0, 0}}},
    {"Sign", {[](Real x) { return x > 0   ? 1
                                  : x < 0 ? -1
                                          : x; }, {-1, 1}}},
    {"Square", {[](Real x) { return x * x; }, {kInf, kInf}, {-kInf, kInf}, {2, 2}}},
    {"Sqrt", {[](Real x) { return std::sqrt(x); }, {kNan, kInf}, {kNan, 0}, {kNan, 0}}},
    {"Rsqrt", {[](Real x) { return 1 / std::sqrt(x); }, {kNan, 0}, {kNan, 0}, {kNan, 0}}},
    {"Reciprocal", {[](Real x) { return 1 / x; }, {0, 0}, {0, 0}, {0, 0}}},
    {"Exp",
     {[](Real x) { return std::exp(x); }, {0, kInf}, {0, kInf}, {0, kInf}, [](Real x) { return std::exp(x); }}},
    {"Log", {[](Real x) { return std::log(x); }, {kNan, kInf}, {0, 0}, {0, 0}}},
    {"Tanh",
     {[](Real x) { return std::tanh(x); },
      {-1, 1},
      {0, 0},
      {0, 0},
      [](Real x) { return 1 / (std::cosh(x) * std::cosh(x)); }}},
    {"Sigmoid", {logistic, {0, 1}, {0, 0}, {0, 0}, [](Real x) { return logistic(x) * logistic(-x); }}},
    {"Silu",
     {[](Real x) { return x * logistic(x); },
      {0, kInf},
      {0, 1},
      {0, 0},
      [](Real x) { return logistic(x) * (1 + x * logistic(-x)); },
      true}},
    {"Softsign",
     {[](Real x) { return x / (1 + std::fabs(x)); },
      {-1, 1},
      {0, 0},
      {0, 0},
      [](Real x) { return 1 / (1 + std::fabs(x)) / (1 + std::fabs(x)); }}},
    {"Relu", {[](Real x) { return x < 0 ? 0 : x; }, {0, kInf}, {0, 1}, {0, 0}}},
    {"Softplus",
     {[](Real x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); },
      {0, kInf},
      {0, 1},
      {0, 0},
      logistic}},
    {"Gelu",
     {[](Real x) { return x * normal_share(x); },
      {0, kInf},
      {0, 1},
      {0, 0},
      [](Real x) { return normal_share(x) + x * normal_density(x); },
      true}},
    {"Gaussian",
     {[](Real x) { return std::exp(-x * x); },
      {0, 0},
      {0, 0},
      {0, 0},
      [](Real x) { return x == 0 ? 0 : -2 * x * std::exp(-x * x); }}},
    {"Expm1",
     {[](Real x) { return std::expm1(x); },
      {-1, kInf},
      {0, kInf},
      {0, kInf},
      [](Real x) { return std::exp(x); }}},
    {"Log1p", {[](Real x) { return std::log1p(x); }, {kNan, kInf}, {0, 0}, {0, 0}}},
    {"Sin", {[](Real x) { return std::sin(x); }, {kNan, kNan}}},
    {"Cos", {[](Real x) { return std::cos(x); }, {kNan, kNan}}},
    {"Erf",
     {[](Real x) { return std::erf(x); },
      {-1, 1},
      {0, 0},
      {0, 0},
      [](Real x) { return std::exp(-x * x) * 1.12837916709551257389615890312L; }}},
    {"Floor", {[](Real x) { return std::floor(x); }, {-kInf, kInf}}},
    {"Ceil", {[](Real x) { return std::ceil(x); }, {-kInf, kInf}}},
    {"Round", {[](Real x) { return std::nearbyint(x); }, {-kInf, kInf}}},
};

/// splitmix64
uint64_t mixed(uint64_t i) {
  i = (i + 1) * 0x9e3779b97f4a7c15;
  i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9;
  i = (i ^ (i >> 27)) * 0x94d049bb133111eb;
  return i ^ (i >> 31);
}

/// Corners, random bits, and numbers from ever narrower ranges about 0.
template <class T>
std::vector<T> numbers() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> xs;
  for (T x : {T(0), Limits::denorm_min(), Limits::min(), Limits::epsilon(), T(0.5), T(1), T(2), T(5), T(5.5), T(6),
              Limits::max(), Limits::infinity()})
    xs.push_back(x), xs.push_back(-x);
  constexpr double kWide = sizeof(T) == 4 ? 110 : 760;
  for (const double most : {kWide, 40.0, 16.0, 4.0, 1.0})
    for (uint64_t i = 0; i < 3000; ++i)
      xs.push_back(static_cast<T>((static_cast<double>(mixed(i) >> 11) * 0x1p-52 - 1) * most));
  for (uint64_t i = 0; i < 6000; ++i) {
    T x;
    const uint64_t bits = mixed(i + 1234567);
    std::memcpy(&x, &bits, sizeof x);
    xs.push_back(x);  // NaN too
  }
  return xs;
}

/// How far `got` is from `want`, in units of the last place of a T near `want`.
template <class T>
double ulps(T got, Real want) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : kInf;
  if (got == static_cast<T>(want)) return 0;
  int exponent;
  std::frexp(want, &exponent);
  if (std::isinf(got)) got = std::copysign(Limits::max(), got);  // rounding may end at one or the other
  return static_cast<double>(std::fabs(static_cast<Real>(got) - want) /
                             std::ldexp(Real(1), std::max(exponent, Limits::min_exponent) - Limits::digits));
}

bool is_floating_function(const tf::PointwiseRecord& p) {
  return p.arity == 1 && !p.makes_bool && tf::supports(p.dtypes, tf::float32);
}

Real limit(Real x, const Reference& r) { return std::isinf(x) ? (x < 0 ? r.value.low : r.value.high) : r.f(x); }

template <class T>
void check_values(const tf::PointwiseRecord& p, const Reference& r) {
  const std::vector<T> xs = numbers<T>();
  const tf::Tensor y = in_both_modes([&] { return std::vector{p.unary(tf::constant(xs))}; })[0];
  const auto got = y.data<T>();
  double worst = 0;
  T at = 0;
  for (size_t i = 0; i < xs.size(); ++i) {
    const double off = std::isnan(xs[i]) ? (std::isnan(got[i]) ? 0 : kInf) : ulps<T>(got[i], limit(xs[i], r));
    if (off > worst) worst = off, at = xs[i];
    if (i % 500 < 24 && !std::isnan(xs[i])) {  // one element by itself is computed by the same arithmetic
      const tf::Tensor alone = tf::eagerly([&] { return p.unary(tf::tensor(std::vector<T>{xs[i]})); });
      CHECK(std::memcmp(alone.data<T>().data(), &got[i], sizeof(T)) == 0);
    }
  }
  INFO(p.function << " is " << worst << " ulp off at " << at);
  CHECK(worst <= 4);
  if (r.f(0) == 0 && p.function != std::string("square") && p.function != std::string("abs") &&
      p.function != std::string("negative")) {
    CHECK(std::signbit(got[1]));  // of -0
    CHECK(!std::signbit(got[0]));
  }
}

template <class T>
void check_slopes(const tf::PointwiseRecord& p, const Reference& r) {
  if (!p.differentiable) return;
  std::vector<T> xs = numbers<T>();
  const std::vector<tf::Tensor> out = in_both_modes([&] {
    const tf::Tensor x = tf::constant(xs);
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor dx = tape.gradient(p.unary(x), x), second = tape.gradient(dx, x);
    return std::vector{dx, second.defined() ? second : tf::zeros_like(x)};
  });
  const auto dx = out[0].data<T>(), second = out[1].data<T>();
  const size_t end = 22;  // inf and -inf stand there
  REQUIRE(std::isinf(xs[end]));
  INFO(p.function);
  const auto same = [](T got, double want) { return std::isnan(want) || static_cast<double>(got) == want; };
  CHECK(same(dx[end], r.slope.high));
  CHECK(same(dx[end + 1], r.slope.low));
  CHECK(same(second[end], r.second.high));
  CHECK(same(second[end + 1], r.second.low));
  if (!r.derivative) return;
  double worst = 0;
  T at = 0;
  for (size_t i = 0; i < xs.size(); ++i) {
    if (!std::isfinite(xs[i])) continue;
    const Real want = r.derivative(xs[i]);
    // Where terms cancel what is good is good beside 1; a subnormal exp(-x^2), times 2 x, is as good as that.
    const bool beside_one = r.crosses_zero && xs[i] >= -2;
    const Real slack = beside_one ? std::numeric_limits<T>::epsilon() : 56 * std::numeric_limits<T>::denorm_min();
    if (std::fabs(static_cast<Real>(dx[i]) - want) <= slack) continue;
    if (const double off = ulps<T>(dx[i], want); off > worst) worst = off, at = xs[i];
  }
  INFO("its slope is " << worst << " ulp off at " << at);
  CHECK(worst <= 8);
}

}  // namespace

TEST_CASE("pointwise functions are right to the last places, from one end of the numbers to the other") {
  for (const tf::PointwiseRecord& p : tf::pointwise_records()) {
    if (!is_floating_function(p)) continue;
    INFO(p.function);
    REQUIRE(kReferences.contains(p.op));
    const Reference& r = kReferences.at(p.op);
    check_values<float>(p, r);
    check_values<double>(p, r);
  }
}

TEST_CASE("slopes of pointwise functions have their limits, and their tails") {
  for (const tf::PointwiseRecord& p : tf::pointwise_records()) {
    if (!is_floating_function(p)) continue;
    check_slopes<float>(p, kReferences.at(p.op));
    check_slopes<double>(p, kReferences.at(p.op));
  }
}

TEST_CASE("gelu's tail") {  // numbers by mpmath: x * erfc(-x / sqrt(2)) / 2, and its derivative
  const auto out = in_both_modes([] {
    const tf::Tensor x = tf::constant(std::vector<double>{-5, -5.5, -6});
    tf::GradientTape tape;
    tape.watch(x);
    const tf::Tensor y = tf::gelu(x);
    return std::vector{y, tape.gradient(y, x)};
  });
  const double value[] = {-1.43325785939596956e-6, -1.04442593562382457e-7, -5.91952587022618884e-9};
  const double slope[] = {-7.14694600179229463e-6, -5.7334723987399248e-7, -3.54687094539020148e-8};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(std::fabs(testing::doubles(out[0])[i] / value[i] - 1) < 1e-15);
    CHECK(std::fabs(testing::doubles(out[1])[i] / slope[i] - 1) < 1e-14);
  }
}

TEST_CASE("elu and leaky_relu at the ends") {
  const auto out = in_both_modes([] {
    const tf::Tensor x = tf::constant({-INFINITY, -80.f, -1e-8f, -0.f, 0.f, 1e-8f, INFINITY, NAN});
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor a = tf::elu(x, 2), b = tf::leaky_relu(x, 0.25);
    const tf::Tensor da = tape.gradient(a, x);
    return std::vector{a, b, da, tape.gradient(b, x), tape.gradient(da, x)};
  });
  const auto is = [&](size_t i, std::vector<double> want) {
    const auto got = testing::doubles(out[i]);
    for (size_t k = 0; k < want.size(); ++k) {
      INFO("result " << i << ", element " << k << ": " << got[k] << ", wanted " << want[k]);
      CHECK((got[k] == want[k] || std::fabs(got[k] - want[k]) <= 3e-7 * std::fabs(want[k]) ||
             (std::isnan(got[k]) && std::isnan(want[k]))));
    }
  };
  is(0, {-2, -2, -2e-8, 0, 0, 1e-8, kInf, kNan});
  is(1, {-kInf, -20, -2.5e-9, 0, 0, 1e-8, kInf, kNan});
  is(2, {0, 2 * std::exp(-80.), 2, 2, 2, 1, 1});
  is(3, {0.25, 0.25, 0.25, 0.25, 0.25, 1, 1});
  is(4, {0, 2 * std::exp(-80.), 2, 2, 2, 0, 0});
}
