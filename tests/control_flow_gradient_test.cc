#include <twofold/twofold.h>

#include <cmath>

#include "both_modes.h"
#include "control_flow_gradients.h"
#include "errors.h"

namespace tf = twofold;
using testing::check_gradients;
using testing::doubles;
using testing::in_both_modes;
using testing::zero_if_none;
using tf::Tensor;

TEST_CASE("gradients of cond") {
  for (const double bound : {-100.0, 100.0}) {
    check_gradients([&](const Tensor& x, const tf::Variable& w) {
      const auto [a, b] = tf::cond(
          tf::sum(x) > bound,
          [&] {
            return std::tuple{tf::sigmoid(x * w) * x, x};
          },
          [&] {
            return std::tuple{tf::exp(x * 0.5) - w, w * x * x};
          });
      return tf::sum(a * a * x) + tf::sum(tf::tanh(b));
    });
  }
}

TEST_CASE("gradients of a branch that returns what it captured") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const Tensor y = tf::cond(
        tf::sum(x) > 0, [&] { return x; }, [&] { return w * x; });
    const auto [a, b] = tf::cond(
        tf::sum(x) > 0,
        [&] {
          return std::tuple{y, y};
        },
        [&] {
          return std::tuple{x, y};
        });
    return tf::sum(y * a * b) + tf::sum(x * w);
  });
}

TEST_CASE("gradients of nested conds") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const Tensor z = x * w;
    return tf::sum(tf::cond(
                       tf::sum(x) > 0,
                       [&] {
                         const Tensor u = z * z;
                         return tf::cond(
                                    tf::sum(w) > 0, [&] { return u * w + z; }, [&] { return tf::exp(u) * x; }) *
                                u;
                       },
                       [&] { return z; }) *
                   z);
  });
}

TEST_CASE("gradients of while_loop") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const Tensor scale = tf::tanh(x);
    const auto [i, s, t] = tf::while_loop([](Tensor i, Tensor, Tensor) { return i < 4; },
                                          [&](Tensor i, Tensor s, Tensor t) {
                                            return std::tuple{i + 1, tf::tanh(s) * w + t * scale, s};
                                          },
                                          std::tuple{0, x, x * w});
    return tf::sum(s * s * x) + tf::sum(t * scale);
  });
}

TEST_CASE("gradients of a loop without passes") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const Tensor y = tf::while_loop([](Tensor v) { return tf::sum(v) > 100; }, [&](Tensor v) { return v * w; }, x);
    return tf::sum(y * x * w);
  });
}

TEST_CASE("gradients of nested loops and conds") {
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const auto [i, s] = tf::while_loop([](Tensor i, Tensor) { return i < 3; },
                                       [&](Tensor i, Tensor s) {
                                         const auto [j, u] =
                                             tf::while_loop([&](Tensor j, Tensor) { return j < i + 1; },
                                                            [&](Tensor j, Tensor u) {
                                                              const Tensor v = tf::cond(
                                                                  tf::sum(u) > 0.6, [&] { return u * w * 0.5 + s; },
                                                                  [&] { return tf::tanh(u) * x + w; });
                                                              return std::tuple{j + 1, v * 0.7};
                                                            },
                                                            std::tuple{0, s});
                                         return std::tuple{i + 1, u + s * x};
                                       },
                                       std::tuple{0, x * 0.5});
    return tf::sum(s * s);
  });
}

TEST_CASE("gradients taken inside a loop") {
  // Descent along the gradient, itself differentiated by where it starts and by the weights.
  check_gradients([](const Tensor& x, const tf::Variable& w) {
    const auto [i, at] = tf::while_loop([](Tensor i, Tensor) { return i < 3; },
                                        [&](Tensor i, Tensor at) {
                                          tf::GradientTape tape;
                                          tape.watch(at);
                                          const Tensor cost = tf::cond(
                                              tf::sum(at) > 0, [&] { return tf::sum(tf::exp(at * w) + at * at * x); },
                                              [&] { return tf::sum(at); });
                                          return std::tuple{i + 1, at - tape.gradient(cost, at) * 0.05};
                                        },
                                        std::tuple{0, x});
    return tf::sum(at * at * w);
  });
}

TEST_CASE("what no branch taken depends on has the gradient zero") {
  const auto d = in_both_modes([] {
    const Tensor x = tf::constant(2.0, {.dtype = tf::float64}), y = tf::constant(std::vector{1.0, 2.0});
    tf::GradientTape tape;
    tape.watch(x);
    tape.watch(y);
    const Tensor z = tf::cond(
        x > 0, [&] { return x * x; }, [&] { return tf::sum(y); });
    const auto g = tape.gradient(z, {x, y});
    return std::vector<Tensor>{g[0], zero_if_none(g[1], y)};
  });
  CHECK(doubles(d[0]) == std::vector<double>{4});
  CHECK(doubles(d[1]) == std::vector<double>{0, 0});
}

TEST_CASE("a branch not taken adds nothing to a gradient, not even zero times infinity") {
  for (const bool taken : {false, true}) {
    const auto all = in_both_modes([&] {
      const Tensor x = tf::constant({0., 4.}), p = tf::constant(taken);
      tf::GradientTape tape({.persistent = true});
      tape.watch(x);
      const Tensor root = tf::sqrt(x);  // whose slope at 0 is infinite
      const Tensor y = tf::cond(
                           p, [&] { return root; }, [&] { return x * 3.; }) +
                       x * x;
      const Tensor dx = tape.gradient(y, x);
      const Tensor dxx = tape.gradient(tf::sum(dx), x);
      // What is left out as a dy is left out of what it is multiplied with, too.
      const Tensor left_out = zero_if_none(tape.gradient(y, root), x);
      return std::vector{dx, dxx, left_out};
    });
    CHECK(doubles(all[0])[1] == (taken ? 8.25 : 11));
    CHECK(doubles(all[1])[1] == (taken ? 2 - 1. / 32 : 2));
    CHECK(doubles(all[2])[1] == (taken ? 1 : 0));
    if (!taken) CHECK((doubles(all[0])[0] == 3 && doubles(all[1])[0] == 2));
  }
}

TEST_CASE("a gradient left out at run time is left out as a dy") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({0., 4.}), p = tf::constant(false);
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const Tensor root = tf::sqrt(x), y = tf::cond(
                                         p, [&] { return root; }, [&] { return x * 3.; });
    const Tensor dy = tape.gradient(y, root);
    return std::vector{zero_if_none(tf::gradients({root, x * x}, {x}, {dy, tf::ones_like(x)})[0], x)};
  });
  CHECK(doubles(all[0]) == std::vector<double>{0, 8});
}

TEST_CASE("gradients through shapes that change and variables that are assigned") {
  in_both_modes([] {
    const Tensor x = tf::constant(std::vector{0.5, -0.25});
    const tf::Variable w(std::vector{2.0, 3.0}), steps(0.0, {.trainable = false, .dtype = tf::float64});
    tf::GradientTape tape;
    tape.watch(x);
    const Tensor grown = tf::while_loop([](Tensor s) { return tf::sum(s * s) < 40; },
                                        [&](Tensor s) {
                                          steps.assign_add(1.0);
                                          return tf::concat({s * 1.5, x * w}, 0);
                                        },
                                        x);
    const auto g = tape.gradient(tf::sum(grown * grown), {x, w});
    return std::vector<Tensor>{grown, g[0], g[1], steps + 0.0};
  });
}

TEST_CASE("gradients with random numbers in bodies") {
  in_both_modes([] {
    const Tensor x = tf::constant({0.5f, -0.25f, 3.f});
    tf::GradientTape tape;
    tape.watch(x);
    const Tensor y = tf::while_loop([](Tensor s) { return tf::sum(s * s) < 500.f; },
                                    [&](Tensor s) {
                                      const Tensor noise = tf::random_normal({3});
                                      return s * (noise + x) + tf::random_uniform({3});
                                    },
                                    x);
    return std::vector<Tensor>{y, tape.gradient(tf::sum(y), x)};
  });
}

TEST_CASE("a gradient through a branch is one tensor, however often it is asked for") {
  for (const bool taken : {true, false}) {
    const auto all = in_both_modes([&] {
      const tf::Variable w(2.);
      const Tensor p = tf::constant(taken);
      tf::GradientTape tape({.persistent = true});
      const Tensor h = tf::cond(
          p, [&] { return w * w; }, [&] { return w - w; });
      const Tensor y = tf::cond(
          p, [&] { return h * h * h; }, [&] { return h + h; });
      const auto d = tape.gradient(y, {w, h, w});
      // By itself, and by what it was made of on the way back.
      return std::vector{d[0], d[1], tape.gradient(d[0], d[2]), tape.gradient(d[0], d[1])};
    });
    // y = w^6, dy/dh = 3 h^2, dy/dw = dy/dh * 2 w; or y = 2 h, dy/dw = dy/dh - dy/dh.
    CHECK(all[0].item<double>() == (taken ? 6 * 32 : 0));
    CHECK(all[1].item<double>() == (taken ? 3 * 16 : 2));
    CHECK(all[2].item<double>() == 1);
    CHECK(all[3].item<double>() == (taken ? 4 : 0));
  }
}

TEST_CASE("tf::gradients goes through control flow, and third derivatives exist") {
  const auto d = in_both_modes([] {
    const Tensor x = tf::constant(1.25, {.dtype = tf::float64});
    tf::GradientTape a({.persistent = true});
    a.watch(x);
    tf::GradientTape b({.persistent = true});
    b.watch(x);
    tf::GradientTape c;
    c.watch(x);
    const auto [i, y] =
        tf::while_loop([](Tensor i, Tensor) { return i < 5; },
                       [&](Tensor i, Tensor y) {
                         return std::tuple{i + 1, tf::cond(
                                                      i < 10, [&] { return y * x; }, [&] { return y; })};
                       },
                       std::tuple{0, 1.0 + 0 * x});
    const Tensor d1 = c.gradient(y, x), d2 = b.gradient(d1, x);
    return std::vector<Tensor>{y, d1, d2, a.gradient(d2, x)};
  });
  const double x = 1.25;
  CHECK(std::abs(d[0].item<double>() - std::pow(x, 5)) < 1e-12);
  CHECK(std::abs(d[1].item<double>() - 5 * std::pow(x, 4)) < 1e-12);
  CHECK(std::abs(d[2].item<double>() - 20 * std::pow(x, 3)) < 1e-11);
  CHECK(std::abs(d[3].item<double>() - 60 * std::pow(x, 2)) < 1e-11);
}
