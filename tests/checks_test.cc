// check_numerics and assert_that: failing where values are wrong, in both modes.
#include <twofold/twofold.h>

#include <cmath>
#include <limits>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using testing::doubles;
using tf::Tensor;
using List = std::vector<double>;

namespace {
constexpr float kInf = std::numeric_limits<float>::infinity();
}

TEST_CASE("check_numerics hands on what is finite and says what is not") {
  const Tensor good = tf::tensor({1.f, -2.f}), nan = tf::tensor({1.f, NAN}), inf = tf::tensor({-kInf, 1.f});
  const Tensor both = tf::tensor({kInf, NAN});
  {
    const tf::EagerMode eager;
    CHECK(doubles(tf::check_numerics(good, "loss")) == List{1, -2});
    CHECK_ERROR(tf::check_numerics(nan, "loss"), InvalidArgument, "loss : Tensor had NaN values");
    CHECK_ERROR(tf::check_numerics(inf, "loss"), InvalidArgument, "loss : Tensor had Inf values");
    CHECK_ERROR(tf::check_numerics(both, "loss"), InvalidArgument, "loss : Tensor had Inf and NaN values");
    CHECK_ERROR(tf::check_numerics(tf::cast(nan, tf::float64), "loss"), InvalidArgument, "checks_test.cc");
    CHECK_ERROR(tf::check_numerics(tf::tensor({1}), "loss"), InvalidArgument, "Expected a floating-point tensor");
  }
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {2}), y = tf::check_numerics(x, "loss") * 2.f;
  const Tensor vague = tf::placeholder(tf::float32), z = tf::check_numerics(vague, "vague");
  const Tensor of_constant = tf::check_numerics(tf::constant({NAN}), "constant");
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    CHECK(doubles(session.run(y, {{x, good}})) == List{2, -4});
    CHECK_ERROR(session.run(y, {{x, nan}}), InvalidArgument, "loss : Tensor had NaN values");
    CHECK_ERROR(session.run(y, {{x, nan}}), InvalidArgument, "[op CheckNumerics, node 'CheckNumerics'");
    CHECK_ERROR(session.run(z, {{vague, inf}}), InvalidArgument, "vague : Tensor had Inf values");
    CHECK_ERROR(session.run(of_constant), InvalidArgument, "constant : Tensor had NaN values");
  }
}

TEST_CASE("A gradient through check_numerics is checked too") {
  const tf::EagerMode eager;
  const Tensor x = tf::tensor({4.f, 0.f});
  tf::GradientTape tape({.persistent = true});
  tape.watch(x);
  const Tensor y = tf::sqrt(tf::check_numerics(x, "x"));
  CHECK_ERROR(tape.gradient(y, x), InvalidArgument,
              "Not a number (NaN) or infinity (Inf) values detected in gradient. x : Tensor had Inf values");
  const Tensor four = tf::tensor(4.f);
  tape.watch(four);
  CHECK(tape.gradient(tf::sqrt(tf::check_numerics(four, "x")), four).item<float>() == 0.25f);
}

TEST_CASE("A failing check in a branch that is not taken does not fail, nor one that nobody needs") {
  FreshGraph fresh;
  const Tensor p = tf::placeholder(tf::bool_, {}), x = tf::placeholder(tf::float32, {});
  const Tensor y = tf::cond(p, [&] { return tf::check_numerics(tf::constant(NAN), "branch"); }, [&] { return x; });
  const tf::Operation assertion = tf::assert_that(p, "never run");
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    CHECK(session.run(y, {{p, false}, {x, 3.f}}).item<float>() == 3);
    CHECK_ERROR(session.run(y, {{p, true}, {x, 3.f}}), InvalidArgument, "branch : Tensor had NaN values");
  }
}

TEST_CASE("assert_that fails at once on values") {
  const Tensor x = tf::tensor({1, -2});
  for (const bool eager : {false, true}) {
    const auto program = [&] {
      CHECK_FALSE(tf::assert_that(tf::all(x > -3)).defined());
      CHECK_ERROR(tf::assert_that(tf::all(x > 0), "x must be positive", {x, 5}), InvalidArgument,
                  "assertion failed: [x must be positive] [ 1 -2] [5]");
      CHECK_ERROR(tf::assert_that(tf::all(x > 0)), InvalidArgument, "assertion failed:");
      CHECK_ERROR(tf::assert_that(x > 0), InvalidArgument, "must be a bool scalar, not bool of shape (2,)");
      CHECK_ERROR(tf::assert_that(x), InvalidArgument, "must be a bool scalar, not int32");
    };
    eager ? tf::eagerly(program) : program();
  }
}

TEST_CASE("assert_that in a graph fails the runs that it is part of, and leaves variables as they were") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {-1});
  const tf::Variable v(1.f);
  const Tensor sum = tf::sum(x);
  const tf::Operation positive = tf::assert_that(sum > 0.f, "sum must be positive", {x}),
                      again = tf::assert_that(sum > 0.f, "sum must be positive", {x});
  CHECK(positive.name() == "Assert");
  CHECK(again.name() == "Assert_1");
  Tensor guarded, assigned;
  {
    const auto after = tf::control_dependencies({positive});
    guarded = tf::identity(sum);
    assigned = v.assign_add(1.f);
  }
  const Tensor tied = tf::with_effects(sum, {again});
  const Tensor good = tf::tensor({1.f, 2.f}), bad = tf::tensor({1.f, -2.f});
  for (const bool optimize : {false, true}) {
    tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    CHECK(session.run(sum, {{x, bad}}).item<float>() == -1);
    CHECK(session.run(guarded, {{x, good}}).item<float>() == 3);
    CHECK(session.run(tied, {{x, good}}).item<float>() == 3);
    session.run(positive, {{x, good}});
    CHECK_ERROR(session.run(guarded, {{x, bad}}), InvalidArgument,
                "assertion failed: [sum must be positive] [ 1. -2.]");
    CHECK_ERROR(session.run(guarded, {{x, bad}}), InvalidArgument, "[op Assert, node 'Assert'");
    CHECK_ERROR(session.run(guarded, {{x, bad}}), InvalidArgument, "checks_test.cc");
    CHECK_ERROR(session.run(tied, {{x, bad}}), InvalidArgument, "node 'Assert_1'");
    CHECK_ERROR(session.run(positive, {{x, bad}}), InvalidArgument, "assertion failed");
    CHECK_ERROR(session.run(assigned, {{x, bad}}), InvalidArgument, "assertion failed");
    CHECK(session.run(v).item<float>() == 1);
  }
  CHECK_ERROR(tf::assert_that(x), InvalidArgument, "The condition must be bool, not float32");
  CHECK_ERROR(tf::assert_that(x > 0.f), InvalidArgument, "The condition must be a scalar, not of shape (?,)");
}

TEST_CASE("Assertions in branches, loops and steps run as eager ones do") {
  const auto program = [](float limit) {
    const Tensor p = tf::constant(true);
    return tf::cond(
        p,
        [&] {
          const Tensor x = tf::constant(2.f);
          tf::assert_that(x < limit, "in a branch", {x});
          return x;
        },
        [] { return tf::constant(0.f); });
  };
  CHECK_ERROR(tf::eagerly([&] { return program(1); }), InvalidArgument, "assertion failed: [in a branch] [2]");
  FreshGraph fresh;
  const Tensor fine = program(3), fails = program(1);
  const tf::Session session;
  CHECK(session.run(fine).item<float>() == 2);
  CHECK_ERROR(session.run(fails), InvalidArgument, "assertion failed: [in a branch] [2]");
  auto step = tf::step([](Tensor x) {
    tf::assert_that(tf::sum(x) > 0.f, "in a step");
    return x * 2.f;
  });
  CHECK(doubles(step(tf::tensor({1.f}))) == List{2});
  CHECK_ERROR(step(tf::tensor({-1.f})), InvalidArgument, "assertion failed: [in a step]");
}

TEST_CASE("A number that names no dtype is an error") {
  const tf::EagerMode eager;
  CHECK_ERROR(tf::cast(tf::tensor(1.f), static_cast<tf::DType>(77)), InvalidArgument, "77 is the number of no dtype");
}
