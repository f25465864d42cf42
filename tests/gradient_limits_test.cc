// Gradients at the places where a rule might multiply 0 by infinity or take infinity from itself, and long float32
// sums.
#include <cmath>
#include <limits>

#include <twofold/twofold.h>

#include "both_modes.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Tensor;
using List = std::vector<double>;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

void check_list(const Tensor& got, const List& want, double tolerance = 2e-6) {
  const List list = doubles(got);
  INFO(got);
  REQUIRE(list.size() == want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    INFO("element " << i << ": " << list[i] << ", wanted " << want[i]);
    CHECK((list[i] == want[i] || std::fabs(list[i] - want[i]) <= tolerance * std::fabs(want[i]) ||
           (std::isnan(list[i]) && std::isnan(want[i]))));
  }
}

/// f(x) and its first derivatives, as many as there are in `want`, of float32 and float64.
void check_derivatives(const List& x, const std::function<Tensor(Tensor)>& f, const std::vector<List>& want) {
  for (const tf::DType dtype : {tf::float32, tf::float64}) {
    const auto out = in_both_modes([&] {
      const Tensor at = tf::cast(tf::constant(x), dtype);
      tf::GradientTape tape({.persistent = true});
      tape.watch(at);
      std::vector<Tensor> of{f(at)};
      while (of.size() < want.size()) {
        const Tensor next = tape.gradient(of.back(), at);
        of.push_back(next.defined() ? next : tf::zeros_like(at));
      }
      return of;
    });
    for (size_t i = 0; i < want.size(); ++i) {
      INFO("derivative " << i << " of " << name_of(dtype));
      check_list(out[i], want[i]);
    }
  }
}

}  // namespace

TEST_CASE("powers have their derivatives of every order at 0") {
  const auto power = [](double n) { return [n](const Tensor& x) { return tf::pow(x, n); }; };
  check_derivatives({0, 2}, power(0), {{1, 1}, {0, 0}, {0, 0}, {0, 0}});
  check_derivatives({0, 2}, power(1), {{0, 2}, {1, 1}, {0, 0}, {0, 0}});
  check_derivatives({0, 2}, power(2), {{0, 4}, {0, 4}, {2, 2}, {0, 0}});
  check_derivatives({0, 2, -2}, power(3), {{0, 8, -8}, {0, 12, 12}, {0, 12, -12}, {6, 6, 6}, {0, 0, 0}});
  check_derivatives({0, 2}, power(4), {{0, 16}, {0, 32}, {0, 48}, {0, 48}, {24, 24}, {0, 0}});
  check_derivatives({0, 1e-30}, power(1), {{0, 1e-30}, {1, 1}, {0, 0}, {0, 0}});
  check_derivatives({0}, power(0.5), {{0}, {kInf}});
  check_derivatives({0}, power(-1), {{kInf}, {-kInf}});
  check_derivatives({0}, power(2.5), {{0}, {0}, {0}, {kInf}});
  // The exponents are a tensor, as in x ** {1, 2, 3, 4}.
  check_derivatives({0, 0, 0, 0},
                    [](const Tensor& x) {
                      return tf::pow(x, tf::cast(tf::constant({1, 2, 3, 4}), x.dtype()));
                    },
                    {{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 6, 0}, {0, 0, 0, 24}});
  // By the exponent: a^b log(a)^n, and 0 where a <= 0.
  const double l = std::log(2);
  check_derivatives({0, 1, 3}, [](const Tensor& b) { return tf::pow(2., b); },
                    {{1, 2, 8}, {l, 2 * l, 8 * l}, {l * l, 2 * l * l, 8 * l * l}});
  check_derivatives({1, 2, 3}, [](const Tensor& b) { return tf::pow(0., b); }, {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}});
  check_derivatives({2, 3}, [](const Tensor& b) { return tf::pow(-2., b); }, {{4, -8}, {0, 0}, {0, 0}});
}

TEST_CASE("logsumexp of masked elements has no slope there") {
  const auto f = [](const Tensor& x) { return tf::logsumexp(x); };
  check_derivatives({-kInf, -kInf}, f, {{-kInf}, {0, 0}, {0, 0}});
  check_derivatives({-kInf, 1, 1}, f, {{1 + std::log(2)}, {0, 0.5, 0.5}});
  check_derivatives({kInf, 1}, f, {{kInf}});
  check_derivatives({1e30, -1e30}, f, {{1e30}, {1, 0}});
  // Rows of which one is masked: the others are as if alone. Weights, since the slopes of a row sum to 1.
  const double a = std::exp(1) / (1 + std::exp(1)), b = 1 - a;
  check_derivatives({-kInf, -kInf, 1, 0},
                    [](const Tensor& x) {
                      const Tensor rows = tf::exp(tf::logsumexp(tf::reshape(x, {2, 2}), {1}));
                      return rows;
                    },
                    {{0, std::exp(1) + 1}, {0, 0, std::exp(1), 1}, {0, 0, std::exp(1), 1}});
  check_derivatives({1, 0}, [](const Tensor& x) { return tf::logsumexp(x) * 3.; },
                    {{3 * std::log(std::exp(1) + 1)}, {3 * a, 3 * b}, {0, 0}});
  // No elements at all.
  const auto none = in_both_modes([] {
    const Tensor x = tf::zeros({2, 0});
    tf::GradientTape tape;
    tape.watch(x);
    const Tensor y = tf::logsumexp(x, {1});
    return std::vector{y, tape.gradient(y, x)};
  });
  check_list(none[0], {-kInf, -kInf});
}

TEST_CASE("softmax and log_softmax beside masked elements") {
  const double a = std::exp(1) / (1 + std::exp(1)), b = 1 - a;  // of 1 and 0
  const auto weighted = [](Tensor (*f)(tf::Operand, int64_t)) {
    return [f](const Tensor& x) {  // an element by itself, so that no -inf is multiplied
      return tf::slice(f(x, -1), {1}, {1});
    };
  };
  check_derivatives({-kInf, 1, 0}, weighted(tf::softmax), {{a}, {0, a * b, -a * b}});
  check_derivatives({-kInf, 1, 0}, weighted(tf::log_softmax), {{std::log(a)}, {0, b, -b}});
  // Each of the second derivatives of log p is -p (1 - p) by itself; their rows sum to 0.
  const auto out = in_both_modes([&] {
    const Tensor x = tf::constant(std::vector<double>{-kInf, 1, 0});
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const Tensor first = tape.gradient(weighted(tf::log_softmax)(x), x), last = tf::slice(first, {1}, {1});
    return std::vector{tape.gradient(last, x)};
  });
  check_list(out[0], {0, -a * b, a * b});
  // A row that is masked as a whole has no probabilities (as in PyTorch and TensorFlow), and no slopes.
  check_derivatives({-kInf, -kInf}, [](const Tensor& x) { return tf::softmax(x); }, {{kNan, kNan}, {kNan, kNan}});
}

TEST_CASE("slopes of reductions and roots at their corners") {
  check_derivatives({kInf, 1, kInf, -kInf}, [](const Tensor& x) { return tf::max(x); },
                    {{kInf}, {0.5, 0, 0.5, 0}, {0, 0, 0, 0}});
  check_derivatives({-kInf, -kInf}, [](const Tensor& x) { return tf::max(x); }, {{-kInf}, {0.5, 0.5}, {0, 0}});
  check_derivatives({kInf, kInf}, [](const Tensor& x) { return tf::min(x); }, {{kInf}, {0.5, 0.5}, {0, 0}});
  check_derivatives({0, 2, 3}, [](const Tensor& x) { return tf::prod(x); }, {{0}, {6, 0, 0}, {5, 3, 2}});
  check_derivatives({0, 0, 3}, [](const Tensor& x) { return tf::prod(x); }, {{0}, {0, 0, 0}, {3, 3, 0}});
  check_derivatives({0, -0., 4, kInf}, [](const Tensor& x) { return tf::sqrt(x); },
                    {{0, 0, 2, kInf}, {kInf, -kInf, 0.25, 0}, {-kInf, kInf, -1. / 32, 0}});
  check_derivatives({0, 4, kInf}, [](const Tensor& x) { return tf::rsqrt(x); },
                    {{kInf, 0.5, 0}, {-kInf, -1. / 16, 0}, {kInf, 3. / 128, 0}});
  check_derivatives({2, 2, 2}, [](const Tensor& x) { return tf::variance(x); }, {{0}, {0, 0, 0}});
  check_derivatives({2, 2, 2}, [](const Tensor& x) { return tf::layer_norm(x, 1., 0., {0}); },
                    {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}});
  check_derivatives({kInf, -kInf, 1}, [](const Tensor& x) { return 1. / x; }, {{0, 0, 1}, {0, 0, -1}, {0, 0, 2}});
  check_derivatives({-kInf, 0, kInf},
                    [](const Tensor& x) { return tf::where(x > 0, x, tf::exp(tf::where(x > 0, 0, x))); },
                    {{0, 1, kInf}, {0, 1, 1}, {0, 1, 0}});
}

namespace {
/// The sum of n times 0.1f, whose true value is n * 0.1f, is off by no more than a few units in the last place.
void check_near(const Tensor& got, double want) {
  for (const double v : doubles(got)) {
    INFO(v << ", wanted " << want);
    CHECK(std::fabs(v / want - 1) <= 8 * 0x1p-24);
  }
}
constexpr double kTenth = 0.1f;
}  // namespace

TEST_CASE("long float32 sums stay near the truth") {
  const int64_t n = 1 << 20;
  check_near(in_both_modes([] {
               return std::vector{tf::avg_pool2d(tf::full({1, 1, 1024, 1024}, .1f), 1024)};
             })[0],
             kTenth);
  check_near(in_both_modes([] {
               return std::vector{tf::avg_pool2d(tf::full({1, 257, 251, 130}, .1f), {257, 251},
                                                 {.data_format = tf::DataFormat::nhwc})};
             })[0],
             kTenth);
  const auto sums = in_both_modes([n] {
    const Tensor tenths = tf::full({n}, .1f), rows = tf::full({n / 16, 3}, .1f);
    const Tensor zeros = tf::zeros({n}, tf::int32), some = tf::zeros({n / 16}, tf::int64);
    const Tensor table = tf::ones({4, 3});
    tf::GradientTape tape;
    tape.watch(table);
    const Tensor taken = tf::gather(table, some) * .1f;
    return std::vector{tf::scatter_add(tf::zeros({1}), zeros, tenths),
                       tf::slice(tf::scatter_add(tf::zeros({5, 3}), some, rows), {0, 0}, {1, 3}),
                       tf::slice(tape.gradient(taken, table), {0, 0}, {1, 3}),
                       tf::sum(tenths),
                       tf::slice(tf::cumsum(tenths), {n - 1}, {1}),
                       tf::slice(tf::cumsum(tenths, 0, {.reverse = true}), {0}, {1})};
  });
  const double count = static_cast<double>(n);
  check_near(sums[0], kTenth * count);
  check_near(sums[1], kTenth * count / 16);
  check_near(sums[2], kTenth * count / 16);
  for (size_t i : {3, 4, 5}) check_near(sums[i], kTenth * count);
  // Gradients of biases, and of windows that lie over each other.
  const auto slopes = in_both_modes([] {
    const Tensor x = tf::ones({4, 2, 256, 256}), w = tf::ones({3, 2, 1, 1}), bias = tf::zeros({3}), b = tf::zeros({2});
    const Tensor image = tf::cast(tf::equal(tf::range(0, 100 * 100), 50 * 100 + 50), tf::float32);
    const Tensor picture = tf::reshape(image, {1, 1, 100, 100});
    tf::GradientTape tape({.persistent = true});
    for (const Tensor& t : {bias, b, picture}) tape.watch(t);
    const Tensor y = tf::conv2d(x, w, bias) * .1f, z = tf::bias_add(x, b, {.data_format = tf::DataFormat::nchw}) * .1f;
    const Tensor most = tf::max_pool2d(picture, 51, {.stride = 1}) * .1f,
                 mean = tf::avg_pool2d(picture, 50, {.stride = 1}) * 250.f;
    const auto middle = [&](const Tensor& t) {
      return tf::slice(tape.gradient(t, picture), {0, 0, 50, 50}, {1, 1, 1, 1});
    };
    return std::vector{tape.gradient(y, bias), tape.gradient(z, b), middle(most), middle(mean)};
  });
  check_near(slopes[0], kTenth * 4 * 256 * 256);
  check_near(slopes[1], kTenth * 4 * 256 * 256);
  check_near(slopes[2], kTenth * 50 * 50);  // all windows hold the only 1
  check_near(slopes[3], 50 * 50 * static_cast<double>(250.f / 2500.f));
}

TEST_CASE("scatter_add of rows with few and many updates") {  // every third update to row 1, the others apart
  const int64_t n = 3000;
  std::vector<int32_t> to;
  std::vector<float> what;
  std::vector<double> want(2 * 2500 * 2);
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t i = 0; i < n; ++i) {
      to.push_back(static_cast<int32_t>(i % 3 == 0 ? 1 + b : 2 + i / 3 * 2 + i % 3 - 1));
      for (int64_t k = 0; k < 2; ++k) {
        what.push_back(static_cast<float>(i % 7 + k + 1) * 0.25f);  // sums are exact
        want[static_cast<size_t>((b * 2500 + to.back()) * 2 + k)] += what.back();
      }
    }
  const auto out = in_both_modes([&] {
    const Tensor indices = tf::reshape(tf::constant(to), {2, n}), updates = tf::reshape(tf::constant(what), {2, n, 2});
    return std::vector{tf::scatter_add(tf::zeros({2, 2500, 2}), indices, updates, {.axis = 1, .batch_dims = 1})};
  });
  check_list(out[0], want, 0);
}
