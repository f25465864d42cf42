// What is set around a step: seeds, schedules, modes of layers, guards, and the shapes that it is declared for.
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using namespace training;

TEST_CASE("A seed that is set again gives the same numbers again", "[step]") {
  std::vector<std::vector<Tensor>> all;
  for (const How how : kWays)
    all.push_back(in_mode(how, [](tf::Session& session) {
      const auto variable = [] {
        tf::set_random_seed(1);
        return tf::Variable(tf::random_normal({4}));
      };
      const tf::Variable a = variable(), b = variable();
      tf::set_random_seed(2);
      const tf::Variable c(tf::random_normal({4}));
      session.run(tf::global_variables_initializer());
      const auto values = tf::read_state(session, {{"a", a}, {"b", b}, {"c", c}});
      CHECK(same_bits({values.at("a")}, {values.at("b")}));
      CHECK_FALSE(same_bits({values.at("a")}, {values.at("c")}));
      return std::vector<Tensor>{values.at("a"), values.at("b"), values.at("c")};
    }));
  CHECK(same_bits(all[1], all[0]));
  CHECK(same_bits(all[2], all[0]));
}

TEST_CASE("A step goes on in its sequence when a seed is set again, and one made then starts it", "[step]") {
  std::vector<std::vector<Tensor>> all;
  std::vector<std::vector<int64_t>> counts;
  for (const How how : kWays)
    all.push_back(in_mode(how, [&](tf::Session& session) {
      const auto draw = [](Tensor x) { return x + tf::random_normal({3}); };
      tf::set_random_seed(5);
      auto older = tf::step(session, draw);
      std::vector<Tensor> drawn{older(0.f), older(0.f)};
      tf::set_random_seed(5);
      auto newer = tf::step(session, draw);
      drawn.push_back(newer(0.f));
      drawn.push_back(older(0.f));
      drawn.push_back(newer(0.f));
      CHECK(same_bits({drawn[2], drawn[4]}, {drawn[0], drawn[1]}));
      CHECK_FALSE(same_bits({drawn[3]}, {drawn[0]}));
      const auto state = tf::read_random_state(session);
      counts.push_back(elements<int64_t>(state.at("executions")));
      const Tensor next = older(0.f), newest = newer(0.f);
      tf::load_random_state(session, state);
      CHECK(same_bits({older(0.f), newer(0.f)}, {next, newest}));
      return drawn;
    }));
  CHECK(same_bits(all[1], all[0]));
  CHECK(same_bits(all[2], all[0]));
  CHECK(counts[1] == counts[0]);
  CHECK(counts[2] == counts[0]);
}

TEST_CASE("A seed is not set in a body", "[step]") {
  in_each_mode([](tf::Session& session) {
    auto step = tf::step(session, [](Tensor x) {
      tf::set_random_seed(1);
      return x;
    });
    CHECK_ERROR(step(1.f), FailedPrecondition, "The seed was set in the body");
  });
}

TEST_CASE("A schedule that is set after the first step is obeyed", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(0.f);
    train::SGD opt({w}, {.lr = 1});
    session.run(tf::global_variables_initializer());
    auto step = tf::step(session, [&] { opt.minimize(-w); });
    step();
    CHECK(number(step.evaluate(w)) == 1);
    opt.set_schedule([](const Tensor&) { return tf::constant(0.5); });
    session.run(opt.initializer());
    step();
    CHECK(number(step.evaluate(w)) == 1.5f);
    opt.set_schedule([](const Tensor& n) { return 0.25 * (n + 1); });  // one step was counted
    step();
    CHECK(number(step.evaluate(w)) == 2);
    opt.set_schedule({});
    step();
    CHECK(number(step.evaluate(w)) == 3);
    auto sets = tf::step(session, [&] { opt.set_schedule({}); });
    CHECK_ERROR(sets(), FailedPrecondition, "A schedule cannot be set in the body of a step");
  });
}

TEST_CASE("Builds of a step that no call can use again are given up, others kept", "[step]") {
  for (const How how : {How::deferred, How::optimized})
    in_mode(how, [&](tf::Session& session) {
      constexpr int64_t kRows = 256;  // a frame holds more than one such square
      tf::Variable w(tf::ones({kRows, kRows}));
      nn::Dropout dropout(0.5);
      train::SGD opt({w}, {.lr = 1});
      opt.set_schedule([](const Tensor&) { return tf::constant(0.f); });
      session.run(tf::global_variables_initializer());
      int built = 0;
      auto step = tf::step(session, [&](Tensor x) {
        ++built;
        opt.minimize(tf::sum(tf::matmul(w, tf::tanh(tf::matmul(w, dropout(x))))));
      });
      const Tensor x = tf::tensor(std::vector<float>(kRows * kRows, 1e-4f), {kRows, kRows});
      const auto use = [&] {
        dropout.eval(), step(x);
        dropout.train(), step(x);
      };
      use(), use();
      CHECK(built == 2);
      const int64_t plans = session.num_plans();
      const auto in_use = tf::allocator_stats().in_use;
      for (int i = 0; i < 8; ++i) {
        opt.set_schedule([](const Tensor&) { return tf::constant(0.f); });
        use(), use();
      }
      CHECK(built == 2 + 8 * 2);
      CHECK(session.num_plans() == plans);
      CHECK(tf::allocator_stats().in_use < in_use + kRows * kRows * 4);
      return 0;
    });
}

TEST_CASE("A step obeys the device that it is called under", "[step]") {
  in_each_mode([](tf::Session& session) {
    auto step = tf::step(session, [](Tensor x) { return x + 1; });
    CHECK(number(step(1.f)) == 2);
    const auto on = tf::device("/cpu:0");
    CHECK(number(step(2.f)) == 3);
  });
}

TEST_CASE("A step first called under control dependencies is not bound to them", "[step]") {
  FreshGraph fresh;
  tf::Variable a(0.f), b(0.f);
  const Tensor other = b.assign_add(5.f), fed = tf::placeholder(tf::float32, {});
  auto step = tf::step([&] {
    const auto after = tf::control_dependencies({b.assign_add(1.f)});  // the body's own hold
    return a.assign_add(b);
  });
  {
    const auto after = tf::control_dependencies({other, fed});
    CHECK(number(step()) == 1);
  }
  CHECK(number(step()) == 3);
  CHECK(number(step.evaluate(b)) == 2);
}

TEST_CASE("Shapes that are declared for a step", "[step]") {
  in_each_mode([](tf::Session& session) {
    int64_t width = 0;
    const auto ones = [](int64_t n, int64_t m) {
      return tf::tensor(std::vector<float>(static_cast<size_t>(n * m), 1), {n, m});
    };
    auto step = tf::step(session,
                         [&](Tensor x, Tensor y) {
                           width = x.dim(1);
                           return tf::sum(x) + y;
                         },
                         {.shapes = {{-1, 3}}});
    CHECK(number(step(ones(2, 3), 1.f)) == 7);
    CHECK(width == 3);
    CHECK(number(step(ones(4, 3), 1.f)) == 13);
    CHECK_ERROR(step(ones(2, 2), 1.f), InvalidArgument, "Argument 0 of a step is of shape (2, 2), but (?, 3)");
    auto none = tf::step(session, [] { return tf::constant(1.f); }, {.shapes = {{}}});
    CHECK_ERROR(none(), InvalidArgument, "A step of 1 shapes was called with 0 arguments");
  });
}

TEST_CASE("Steps move: into a vector, and back", "[step]") {
  in_each_mode([](tf::Session& session) {
    auto add = [](Tensor x) { return x + 1.f; };
    std::vector<tf::Step<decltype(add)>> steps;
    for (int i = 0; i < 3; ++i) steps.push_back(tf::step(session, add));
    for (auto& step : steps) CHECK(number(step(1.f)) == 2);
    auto taken = std::move(steps[1]);
    CHECK(number(taken(5.f)) == 6);
    CHECK_ERROR(steps[1](1.f), FailedPrecondition, "The step was moved to another one");
    CHECK_ERROR(steps[1].evaluate(tf::constant(1.f)), FailedPrecondition, "The step was moved to another one");
  });
}
