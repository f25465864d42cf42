// Steps that are called in the bodies of steps, branches and loops.
#include <array>
#include <functional>
#include <optional>
#include <utility>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace tf = twofold;
namespace train = twofold::train;
using namespace training;

TEST_CASE("A step called in another step's body", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(2.f);
    train::SGD opt({w}, {.lr = 1});
    session.run(tf::global_variables_initializer());
    auto net = tf::step(session, [&](Tensor x) { return w * x + 1; });
    auto fit = tf::step(session, [&](Tensor x) {
      const Tensor y = net(x);
      opt.minimize(y);
      return std::pair{y, net(5.f)};
    });
    CHECK(number(net(3.f)) == 7);
    const auto [y, after] = fit(3.f);
    CHECK(number(y) == 7);
    CHECK(number(after) == (2 - 3) * 5 + 1);  // the slope is 3
    CHECK(number(net(3.f)) == -2);
  });
}

TEST_CASE("A step called in a branch and in a loop", "[step]") {
  in_each_mode([](tf::Session& session) {
    auto twice = tf::step(session, [](Tensor x) { return x * 2.f; });
    const auto program = [&](Tensor x) {
      const Tensor y = tf::cond(
          x > 0.f, [&] { return twice(x); }, [&] { return twice(3.f); });
      const auto [n, z] = tf::while_loop([](const Tensor& i, const Tensor&) { return i < 3; },
                                         [&](const Tensor& i, const Tensor& v) {
                                           return std::tuple{i + 1, twice(v)};
                                         },
                                         std::tuple{tf::constant(0), y});
      return z;
    };
    auto step = tf::step(session, program);
    CHECK(number(step(1.f)) == 16);
    CHECK(number(step(-1.f)) == 48);
    if (tf::executing_eagerly()) return;
    const Tensor x = tf::placeholder(tf::float32, tf::Shape{}), z = program(x);
    CHECK(number(session.run(z, {{x, 1.f}})) == 16);
    CHECK(number(session.run(z, {{x, -1.f}})) == 48);
  });
}

TEST_CASE("Gradients reach through the call of a step, into it and out of it", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(3.f);
    session.run(tf::global_variables_initializer());
    auto slopes = tf::step(session, [&](Tensor h) {
      const auto by = tf::gradients(h * h, {w, h});
      return std::array{by[0], by[1]};
    });
    auto outer = tf::step(session, [&](Tensor x) { return slopes(w * x); });
    const auto [by_w, by_h] = outer(2.f);  // (2w)^2
    CHECK(number(by_w) == 24);
    CHECK(number(by_h) == 12);
  });
}

TEST_CASE("Steps in steps, and failures", "[step]") {
  tf::EagerMode eager;
  tf::Variable a(1.f), b(1.f);
  train::SGD opt({a}, {.lr = 1});
  auto inner = tf::step([&](Tensor x) {
    opt.minimize(a * x);
    b.assign_add(10);
    tf::assert_that(x > 0.f, "inner");
  });
  bool outer_fails = false;
  auto outer = tf::step([&](Tensor x) {
    b.assign_add(1);
    inner(1.f);
    CHECK_ERROR(inner(-x), InvalidArgument, "inner");
    CHECK(number(a) == 0);  // the first call's, not the second's
    CHECK(number(b) == 12);
    tf::assert_that(!outer_fails, "outer");
  });
  outer(5.f);
  CHECK(number(a) == 0);
  CHECK(number(b) == 12);
  a.assign(1.f), b.assign(1.f);
  outer_fails = true;
  CHECK_ERROR(outer(5.f), InvalidArgument, "outer");
  CHECK(number(a) == 1);
  CHECK(number(b) == 1);
}

TEST_CASE("A step in its own body", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Step<std::function<Tensor(Tensor)>>* self = nullptr;
    auto step = tf::step(session, std::function<Tensor(Tensor)>([&](const Tensor& x) { return (*self)(x); }));
    self = &step;
    CHECK_ERROR(step(1.f), FailedPrecondition, "A step was called in its own body");
  });
}

TEST_CASE("A step of another session in a step's body", "[step]") {
  FreshGraph fresh;
  tf::Session one, other;
  auto inner = tf::step(one, [](Tensor x) { return x; });
  auto outer = tf::step(other, [&](Tensor x) { return inner(x); });
  CHECK_ERROR(outer(1.f), FailedPrecondition, "a step of another session");
}

TEST_CASE("Gradients flow through a step that a branch or a loop calls", "[step]") {
  for (bool eager : {true, false}) {
    const FreshGraph fresh;
    std::optional<tf::EagerMode> mode;
    if (eager) mode.emplace();
    auto square = tf::step([](Tensor x) { return x * x; });
    auto slope = tf::step([&](Tensor x) {
      tf::GradientTape tape;
      tape.watch(x);
      const Tensor y = x * 3.f;
      const Tensor z = tf::cond(
          x > 0.f, [&] { return square(y); }, [&] { return y; });
      const auto [n, w] = tf::while_loop([](Tensor n, Tensor) { return n < 1; },
                                         [&](Tensor n, Tensor w) {
                                           return std::tuple{n + 1, w + square(y)};
                                         },
                                         std::tuple{tf::constant(0), z});
      return tape.gradient(w, x);
    });
    CHECK(slope(2.f).item<float>() == 72.f);    // d 18x^2
    CHECK(slope(-2.f).item<float>() == -33.f);  // d (3x + 9x^2)
  }
}
