// Norms, variances and what is divided by them, at magnitudes whose squares the dtype does not hold.
#include <twofold/twofold.h>

#include <cmath>

#include "both_modes.h"
#include "errors.h"

namespace tf = twofold;
namespace train = twofold::train;
using testing::doubles;
using testing::in_both_modes;
using tf::Shape;
using tf::Tensor;
using List = std::vector<double>;

namespace {

/// Within `relative` of the right values, element by element.
void check_close(const Tensor& t, const List& right, double relative) {
  const List came = doubles(t);
  REQUIRE(came.size() == right.size());
  for (size_t i = 0; i < right.size(); ++i) {
    INFO("element " << i << " is " << came[i] << ", not " << right[i]);
    CHECK((came[i] == right[i] || std::abs(came[i] - right[i]) <= relative * std::abs(right[i])));
  }
}

struct Magnitude {
  tf::DType dtype;
  double size, precision;
};
// Squares overflow, fit, underflow: of float32 from 1.8e19 and to 1e-23, of float64 from 1.3e154 and to 1e-162.
const Magnitude kMagnitudes[] = {
    {tf::float32, 1e20, 3e-7},   {tf::float32, 5e37, 3e-7},    {tf::float32, 1, 3e-7},
    {tf::float32, 1e-30, 3e-7},  {tf::float64, 1e20, 1e-15},   {tf::float64, 1e160, 1e-15},
    {tf::float64, 1e300, 1e-15}, {tf::float64, 1e-170, 1e-15}, {tf::float64, 1e-300, 1e-15}};

Tensor numbers(const List& v, double size, tf::DType dtype) {
  List scaled;
  for (double e : v) scaled.push_back(e * size);
  return tf::cast(tf::constant(scaled), dtype);
}

}  // namespace

TEST_CASE("a norm, its first and its second gradient, whatever the magnitude") {
  for (const auto& [dtype, size, precision] : kMagnitudes) {
    INFO(name_of(dtype) << " " << size);
    const auto all = in_both_modes([&] {
      const Tensor x = numbers({3, -4}, size, dtype);
      tf::GradientTape outer({.persistent = true});
      outer.watch(x);
      tf::GradientTape inner;
      inner.watch(x);
      const Tensor y = tf::norm(x), slope = inner.gradient(y, x);
      return std::vector{y, slope, outer.gradient(slope[0], x)};
    });
    check_close(all[0], {5 * size}, precision);
    check_close(all[1], {0.6, -0.8}, precision);
    // d(x0 / r) / dx = (x1^2, -x0 x1) / r^3, which is beyond the dtype for the least numbers
    if (size > 1e-37) check_close(all[2], {16. / 125 / size, 12. / 125 / size}, 1e-5);
  }
}

TEST_CASE("a norm over rows and columns of mixed magnitudes") {
  const auto all = in_both_modes([] {
    // Long enough for blocks, the loop over packets, and the joining of tasks; a large number in one place.
    List v(70000, 1e-170);
    v[40000] = 3e200, v[69999] = 4e200;
    const Tensor x = tf::constant(v);
    const Tensor rows =
        tf::constant({{3e200, 3e-200, 3., 0., INFINITY, NAN}, {4e200, 4e-200, 4., 0., 1., 1.}}, {.dtype = tf::float64});
    return std::vector{tf::norm(x),
                       tf::norm(tf::reshape(x, {70, 1000}), 0, {.keepdims = true})[0][1],
                       tf::norm(rows, 0),
                       tf::norm(tf::transpose(rows), 1),
                       tf::norm(tf::full({4096}, 1e-170, {.dtype = tf::float64})),
                       tf::norm(tf::constant({-2e-30f, 3e30f}), tf::Axes{0}),
                       tf::norm(tf::constant(-7.f)),
                       tf::norm(tf::constant({{-7.f}, {2.f}}), 1),
                       tf::norm(tf::zeros({0, 2}), 0),
                       tf::norm(tf::constant({1e-45f, 0.f, 0.f}))};
  });
  check_close(all[0], {5e200}, 1e-15);
  check_close(all[1], {1e-170 * std::sqrt(70.)}, 1e-15);
  for (const Tensor& t : {all[2], all[3]}) {
    const List y = doubles(t);
    check_close(t[0], {5e200}, 1e-15);
    check_close(t[1], {5e-200}, 1e-15);
    CHECK((y[2] == 5 && y[3] == 0 && y[4] == INFINITY && std::isnan(y[5])));
  }
  check_close(all[4], {64e-170}, 1e-13);
  check_close(all[5], {3e30}, 1e-7);
  CHECK(doubles(all[6]) == List{7});
  CHECK(doubles(all[7]) == List{7, 2});
  CHECK(doubles(all[8]) == List{0, 0});
  CHECK(all[9].item<float>() == 1e-45f);
}

TEST_CASE("the gradient of a norm of 0 is 0, of both orders") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{0.f, 0.f}, {3.f, 4.f}});
    tf::GradientTape outer;
    outer.watch(x);
    tf::GradientTape inner;
    inner.watch(x);
    const Tensor slope = inner.gradient(tf::sum(tf::norm(x, 1)), x);
    return std::vector{slope, outer.gradient(tf::sum(tf::square(slope)), x)};
  });
  check_close(all[0], {0, 0, 0.6, 0.8}, 1e-7);
  for (double v : doubles(all[1])) CHECK(std::abs(v) < 1e-7);  // the length of x / norm is 1 wherever x is not 0
}

TEST_CASE("layer_norm is the same whatever the magnitude") {
  // (x - 2.5) / sqrt(1.25) of 1, 2, 3, 4
  const double outer = 1.5 / std::sqrt(1.25), inner = 0.5 / std::sqrt(1.25);
  for (const auto& [dtype, size, precision] : kMagnitudes) {
    INFO(name_of(dtype) << " " << size);
    const auto all = in_both_modes([&] {
      const Tensor x = numbers({1, 2, 3, 4}, size, dtype);
      tf::GradientTape tape({.persistent = true});
      tape.watch(x);
      const Tensor y = tf::layer_norm(x, 1, 0, -1, {.epsilon = 0}), with = tf::layer_norm(x, 1, 0);
      return std::vector{y, with, tape.gradient(y[0], x)};
    });
    check_close(all[0], {-outer, -inner, inner, outer}, 4 * precision);
    const double d = std::sqrt(1.25 * size * size + 1e-5), e = std::isinf(d) ? std::sqrt(1.25) * size : d;
    check_close(all[1], {-1.5 * size / e, -0.5 * size / e, 0.5 * size / e, 1.5 * size / e}, 4 * precision);
    // (e0 - 1/4 - y y0 / 4) / deviation
    const double s = 1 / (std::sqrt(1.25) * size);
    if (s < 1e38)
      check_close(all[2],
                  {(0.75 - outer * outer / 4) * s, (-0.25 - outer * inner / 4) * s, (-0.25 + outer * inner / 4) * s,
                   (-0.25 + outer * outer / 4) * s},
                  30 * precision);
  }
}

TEST_CASE("a variance that the dtype holds is right, though its squares are beyond") {
  const auto all = in_both_modes([] {
    List spike(100, 0), wide(100, 0);
    spike[7] = 3e19, wide[7] = 3e154;
    const Tensor x = tf::cast(tf::constant(spike), tf::float32);
    tf::GradientTape tape;
    tape.watch(x);
    const Tensor y = tf::variance(x);
    return std::vector{y,
                       tf::variance(x, {}, {.correction = 1}),
                       tf::variance(tf::constant(wide)),
                       tf::variance(numbers({1, 2, 3, 4}, 1e20, tf::float32)),
                       tf::variance(numbers({1, 2, 3, 4}, 1e-30, tf::float32)),
                       tf::variance(numbers({1, 2, 3, 4}, 1e-30, tf::float64)),
                       tape.gradient(y, x)};
  });
  // One s beside 99 zeros: s^2 (1 / 100 - 1 / 10000), and 100 / 99 of that; its slope 2 (s - mean) / 100
  check_close(all[0], {9e38 * 0.0099}, 1e-6);
  check_close(all[1], {9e38 * 0.01}, 1e-6);
  check_close(all[2], {9e308 * 0.0099}, 1e-14);
  CHECK(doubles(all[3]) == List{INFINITY});  // 1.25e40 is beyond float32
  CHECK(doubles(all[4]) == List{0});         // and so is 1.25e-60
  check_close(all[5], {1.25e-60}, 1e-15);
  check_close(all[6][7], {2 * 3e19 * 0.99 / 100}, 1e-6);
  check_close(all[6][8], {-2 * 3e17 / 100}, 1e-6);
}

TEST_CASE("clip_by_global_norm keeps the direction, whatever the magnitude", "[train]") {
  for (const auto& [dtype, size, precision] : kMagnitudes) {
    INFO(name_of(dtype) << " " << size);
    const double most = size < 1e-20 ? 1 : size / 10;
    const auto all = in_both_modes([&] {
      const Tensor a = numbers({3}, size, dtype), b = numbers({4}, size, dtype);
      const auto [one, norm] = train::clip_by_global_norm({numbers({3, 4}, size, dtype)}, 1);
      const auto [two, both] = train::clip_by_global_norm({a, Tensor(), b}, most);
      return std::vector{norm, both, one[0], two[0], two[2]};
    });
    const double norm = 5 * size, factor = std::min(1., 1 / (norm + 1e-6)), less = std::min(1., most / (norm + 1e-6));
    check_close(all[0], {norm}, precision);
    check_close(all[1], {norm}, precision);
    // A factor that float32 holds; that of 1e300 is a float64.
    check_close(all[2], {3 * size * factor, 4 * size * factor}, 1e-6);
    check_close(all[3], {3 * size * less}, 1e-6);
    check_close(all[4], {4 * size * less}, 1e-6);
  }
}

TEST_CASE("clip_by_global_norm of zeros, infinities and NaN, and its gradient at 0", "[train]") {
  const auto all = in_both_modes([] {
    const Tensor zero = tf::constant({0.f, 0.f});
    tf::GradientTape tape({.persistent = true});
    tape.watch(zero);
    const auto [none, norm] = train::clip_by_global_norm({zero}, 1);
    const auto [infinite, far] = train::clip_by_global_norm({tf::constant({INFINITY, 2.f})}, 1);
    const auto [unknown, nan] = train::clip_by_global_norm({tf::constant({NAN, 2.f})}, 1);
    const auto same = tf::constant({3.f});
    const auto twice = train::clip_by_global_norm({same, same}, 1).second;
    const auto wide = train::clip_by_global_norm({tf::full({4}, 3e38f)}, 1e38);
    return std::vector{none[0],
                       norm,
                       tape.gradient(norm, zero),
                       tape.gradient(tf::sum(none[0]), zero),
                       infinite[0],
                       far,
                       unknown[0],
                       twice,
                       wide.first[0],
                       wide.second};
  });
  CHECK(doubles(all[0]) == List{0, 0});
  CHECK(doubles(all[1]) == List{0});
  CHECK(doubles(all[2]) == List{0, 0});
  CHECK(doubles(all[3]) == List{1, 1});
  CHECK((std::isnan(doubles(all[4])[0]) && doubles(all[4])[1] == 0));
  CHECK(doubles(all[5]) == List{INFINITY});
  CHECK((std::isnan(doubles(all[6])[0]) && std::isnan(doubles(all[6])[1])));
  check_close(all[7], {std::sqrt(18.)}, 1e-15);
  check_close(all[8], {5e37, 5e37, 5e37, 5e37}, 1e-6);
  check_close(all[9], {6e38}, 1e-7);  // beyond float32, which the norm is not
}

TEST_CASE("norm refuses whole numbers and axes that are not there") {
  CHECK_ERROR(tf::norm(tf::tensor({1, 2})), InvalidArgument, "tf::norm(tf::cast(x, tf::float32))");
  CHECK_ERROR(tf::variance(tf::tensor({1, 2})), InvalidArgument, "floating");
  CHECK_ERROR(tf::norm(tf::tensor({1.f}), 1), InvalidArgument, "Axis 1 is out of range");
  CHECK_ERROR(tf::norm(tf::tensor({1.f}), {0, -1}), InvalidArgument, "duplicate");
}
