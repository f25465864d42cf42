// Steps that fail and leave all as it was; checks and draws whose results nobody uses.
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace tf = twofold;
namespace train = twofold::train;
using namespace training;

namespace {
const float kInf = std::numeric_limits<float>::infinity();
}  // namespace

TEST_CASE("A step whose check fails leaves variables, optimiser and draws as they were", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(1.f), seen(0.f, {.trainable = false});
    train::Adam opt({w}, {.lr = 0.5});
    session.run(tf::global_variables_initializer());
    auto step = tf::step(session, [&](Tensor x) {
      seen.assign_add(1);
      const Tensor noise = tf::random_uniform({});
      opt.minimize(w * x);
      tf::assert_that(x > 0.f, "x is positive");
      return noise;
    });
    const auto all = [&] {
      std::vector<float> values{number(step.evaluate(w)), number(step.evaluate(seen))};
      for (const auto& [name, v] : opt.state())
        values.push_back(static_cast<float>(v.dtype() == tf::int64 ? step.evaluate(v).template item<int64_t>()
                                                                   : number(step.evaluate(v))));
      return values;
    };
    step(1.f);
    // One step of Adam along the slope 1: m = 0.1, v = 0.001, w = 1 - 0.5; the state is m, step, v.
    const std::vector<float> after_one = all();
    REQUIRE(after_one.size() == 5);
    CHECK_THAT(after_one[0], Catch::Matchers::WithinAbs(0.5, 1e-6));
    CHECK(after_one[1] == 1);
    CHECK_THAT(after_one[2], Catch::Matchers::WithinAbs(0.1, 1e-7));
    CHECK(after_one[3] == 1);
    CHECK_THAT(after_one[4], Catch::Matchers::WithinAbs(0.001, 1e-9));
    const auto drawn = tf::read_random_state(session).at("executions");
    for (int i = 0; i < 3; ++i) {
      CHECK_ERROR(step(-1.f), InvalidArgument, "x is positive");
      CHECK(all() == after_one);
      CHECK(elements<int64_t>(tf::read_random_state(session).at("executions")) == elements<int64_t>(drawn));
    }
    step(1.f);
    CHECK(all()[1] == 2);
    CHECK(all()[3] == 2);
  });
}

TEST_CASE("An eager step that returns what has no value leaves variables and draws as they were", "[step]") {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const tf::Variable of_graph(1.f), none;
  const Tensor symbol = tf::placeholder(tf::float32, {});
  const tf::EagerMode eager;
  const tf::Variable w(1.f);
  train::SGD opt({w}, {.lr = 0.5});
  const auto refuses = [&](const tf::Fetch& returned, const char* words) {
    auto step = tf::step([&](Tensor x) {
      opt.minimize(w * x);
      w.assign_add(x);
      return std::vector<tf::Fetch>{w, returned};
    });
    CHECK_ERROR(step(1.f), FailedPrecondition, words);
    CHECK(w.read().item<float>() == 1);
  };
  refuses(of_graph, "belongs to a graph; eager code cannot read it");
  refuses(none, "This Variable is none yet");
  refuses(symbol, "has no value in eager mode");
  refuses("w:0", "is a name in a graph");
  auto step = tf::step([&](Tensor x) {
    opt.minimize(w * x);
    return std::vector<tf::Fetch>{w, x};
  });
  CHECK(step(1.f)[0].item<float>() == 0.5f);  // what is returned is as the update has left it
}

TEST_CASE("A step that fails draws the same numbers again", "[step]") {
  const auto drawn_times = [](const Tensor& x) {
    const Tensor plain = tf::random_normal({2});
    const auto [i, looped] = tf::while_loop([](const Tensor& n, const Tensor&) { return n < 2; },
                                            [](const Tensor& n, const Tensor& s) {
                                              return std::tuple{n + 1, s + tf::random_normal({2})};
                                            },
                                            std::tuple{tf::constant(0), plain});
    return looped * x;
  };
  std::vector<std::vector<Tensor>> all;
  for (const How how : kWays)
    all.push_back(in_mode(how, [&](tf::Session& session) {
      auto step = tf::step(session, [&](Tensor x) { return tf::check_numerics(drawn_times(x), "looped"); });
      std::vector<Tensor> drawn{step(1.f)};
      for (int i = 0; i < 2; ++i) CHECK_ERROR(step(std::nanf("")), InvalidArgument, "NaN");
      drawn.push_back(step(1.f));
      return drawn;
    }));
  const auto undisturbed = in_mode(How::eager, [&](tf::Session& session) {
    auto step = tf::step(session, drawn_times);
    return std::vector<Tensor>{step(1.f), step(1.f)};
  });
  for (const auto& drawn : all) CHECK(same_bits(drawn, undisturbed));
}

TEST_CASE("An exception in the body of an eager step undoes what was done before it", "[step]") {
  tf::EagerMode eager;
  tf::Variable w({1.f, 2.f}), count(0);
  train::SGD opt({w}, {.lr = 0.5, .momentum = 0.9});
  bool fails = true, reads = false;
  auto step = tf::step([&](Tensor x) {
    count.assign_add(1);
    opt.minimize(tf::sum(w * x));
    if (reads) CHECK(elements<float>(w.read()) == std::vector<float>{0.5f, 1.5f});
    tf::random_normal({});
    if (fails) throw std::runtime_error("the data ended");
  });
  const auto state = [&] {
    std::vector<float> all = elements<float>(w.read());
    const auto momentum = elements<float>(opt.state().at("momentum.0").read());
    all.insert(all.end(), momentum.begin(), momentum.end());
    all.push_back(static_cast<float>(count.read().item<int32_t>()));
    return all;
  };
  const std::vector<float> start{1, 2, 0, 0, 0};
  CHECK(state() == start);
  CHECK_THROWS_AS(step(1.f), std::runtime_error);
  CHECK(state() == start);
  CHECK(elements<float>(w.initial_value()) == std::vector<float>{1, 2});  // it is the first value again
  reads = true;  // what waits is done when it is read, and undone all the same
  CHECK_THROWS_AS(step(1.f), std::runtime_error);
  CHECK(state() == start);
  fails = false;
  step(1.f);
  CHECK(state() == std::vector<float>{0.5f, 1.5f, 1, 1, 1});
}

// ------------------------------------------------------------------------------------------------------ dropped checks

TEST_CASE("What checks in a step runs whether or not its result is used", "[step]") {
  in_each_mode([](tf::Session& session) {
    auto numerics = tf::step(session, [](Tensor x) {
      tf::check_numerics(x, "x");
      return x + 1;
    });
    CHECK(number(numerics(1.f)) == 2);
    CHECK_ERROR(numerics(kInf), InvalidArgument, "x : Tensor had Inf values");
    auto gathers = tf::step(session, [](Tensor i) {
      tf::gather(tf::constant({1.f, 2.f}), i);
      return i;
    });
    CHECK(gathers(1).item<int32_t>() == 1);
    CHECK_ERROR(gathers(2), OutOfRange, "2");
    auto branches = tf::step(session, [](Tensor x) {
      tf::cond(
          x > 0.f,
          [&] {
            tf::check_numerics(x, "in a branch");
            return x;
          },
          [&] { return -x; });
      return x;
    });
    CHECK(number(branches(2.f)) == 2);
    CHECK(number(branches(-kInf)) == -kInf);  // the other branch
    CHECK_ERROR(branches(kInf), InvalidArgument, "in a branch : Tensor had Inf values");
    auto loops = tf::step(session, [](Tensor x) {
      const auto [n, y] = tf::while_loop([](const Tensor& i, const Tensor&) { return i < 3; },
                                         [](const Tensor& i, const Tensor& v) {
                                           tf::check_numerics(v, "in a loop");
                                           return std::tuple{i + 1, v * 1e20f};
                                         },
                                         std::tuple{tf::constant(0), x});
      return y;
    });
    CHECK_ERROR(loops(1.f), InvalidArgument, "");
  });
}

TEST_CASE("A run of a session leaves out checks that it does not need", "[step]") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32);
  tf::check_numerics(x, "x");
  CHECK(number(tf::Session().run(x + 1, {{x, kInf}})) == kInf);
}

TEST_CASE("A draw that nobody uses counts in a step", "[step]") {
  std::vector<std::vector<int64_t>> counted;
  for (const How how : kWays)
    counted.push_back(in_mode(how, [](tf::Session& session) {
      auto step = tf::step(session, [](Tensor x) {
        tf::random_normal({2});
        return x;
      });
      for (int i = 0; i < 3; ++i) step(1.f);
      return elements<int64_t>(tf::read_random_state(session).at("executions"));
    }));
  REQUIRE(counted[0].size() == 2);
  CHECK(counted[0][1] == 3);
  CHECK(counted[1] == counted[0]);
  CHECK(counted[2] == counted[0]);
}
