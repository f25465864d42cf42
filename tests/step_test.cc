// Steps that fail, that call steps, whose settings change, and what their bodies leave behind.
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
#include "warnings.h"

namespace tf = twofold;
namespace nn = twofold::nn;
namespace train = twofold::train;
using namespace training;

namespace {

constexpr How kWays[] = {How::eager, How::deferred, How::optimized};
const float kInf = std::numeric_limits<float>::infinity();

/// Runs `program` in every mode, on a session for steps that are made with it.
template <class Program>
void in_each_mode(Program program) {
  for (const How how : kWays) {
    INFO("mode " << static_cast<int>(how));
    in_mode(how, [&](tf::Session& session) {
      program(session);
      return 0;
    });
  }
}

float number(const Tensor& t) { return t.item<float>(); }

}  // namespace

// ------------------------------------------------------------------------------------------------------- failing steps

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

TEST_CASE("A step that fails draws the same numbers again", "[step]") {
  std::vector<std::vector<Tensor>> all;
  for (const How how : kWays)
    all.push_back(in_mode(how, [](tf::Session& session) {
      auto step = tf::step(session, [](Tensor x) {
        const Tensor plain = tf::random_normal({2});
        const auto [i, looped] = tf::while_loop(
            [](const Tensor& n, const Tensor&) { return n < 2; },
            [](const Tensor& n, const Tensor& s) { return std::tuple{n + 1, s + tf::random_normal({2})}; },
            std::tuple{tf::constant(0), plain});
        return tf::check_numerics(looped * x, "looped");
      });
      std::vector<Tensor> drawn{step(1.f)};
      for (int i = 0; i < 2; ++i) CHECK_ERROR(step(std::nanf("")), InvalidArgument, "NaN");
      drawn.push_back(step(1.f));
      return drawn;
    }));
  const auto undisturbed = in_mode(How::eager, [](tf::Session& session) {
    auto step = tf::step(session, [](Tensor x) {
      const Tensor plain = tf::random_normal({2});
      const auto [i, looped] = tf::while_loop(
          [](const Tensor& n, const Tensor&) { return n < 2; },
          [](const Tensor& n, const Tensor& s) { return std::tuple{n + 1, s + tf::random_normal({2})}; },
          std::tuple{tf::constant(0), plain});
      return looped * x;
    });
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

TEST_CASE("What a program holds of a variable is not written over", "[step]") {
  tf::EagerMode eager;
  tf::Variable w({1.f, 2.f});
  train::SGD opt({w}, {.lr = 1});
  auto step = tf::step([&] {
    const Tensor before = w.read();
    opt.minimize(tf::sum(w));
    return std::array{before, w.read()};
  });
  std::vector<Tensor> held;
  const Tensor first = w.read();
  for (int i = 0; i < 3; ++i) {
    const auto [before, after] = step();
    held.push_back(before), held.push_back(after), held.push_back(w.read()), held.push_back(w[0]);
  }
  CHECK(elements<float>(first) == std::vector<float>{1, 2});
  for (int i = 0; i < 3; ++i) {
    const auto f = static_cast<float>(i);
    CHECK(elements<float>(held[4 * i]) == std::vector<float>{1 - f, 2 - f});
    for (const int k : {1, 2}) CHECK(elements<float>(held[4 * i + k]) == std::vector<float>{-f, 1 - f});
    CHECK(number(held[4 * i + 3]) == -f);
  }
}

TEST_CASE("An optimiser's updates in an eager step write over the old values", "[step]") {
  tf::EagerMode eager;
  tf::Variable w(tf::ones({1000}));
  train::Adam opt({w});
  auto step = tf::step([&] { opt.minimize(tf::sum(tf::square(w))); });
  step();
  const auto places = [&] {
    std::vector<const void*> all{w.read().data<float>().data()};
    for (const auto& [name, v] : opt.state())
      if (v.dtype() == tf::float32) all.push_back(v.read().data<float>().data());
    return all;
  };
  const auto before = places();
  for (int i = 0; i < 3; ++i) step();
  CHECK(places() == before);
}

TEST_CASE("Two optimisers of one variable, and one that steps twice, in a step", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(1.f);
    train::SGD a({w}, {.lr = 0.125}), b({w}, {.lr = 0.25});
    session.run(tf::global_variables_initializer());
    auto two = tf::step(session, [&] {
      const Tensor loss = w * w;  // of slope 2
      a.minimize(loss);
      b.minimize(loss);
      return w.read();
    });
    CHECK(number(two()) == 0.25f);  // 1 - 0.25 - 0.5
    auto twice = tf::step(session, [&] {
      a.minimize(w * w);  // 0.25 - 0.0625
      a.minimize(w * w);  // 0.1875 - 0.25 * 0.1875
      return w.read();
    });
    CHECK(number(twice()) == 0.140625f);
  });
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

// ------------------------------------------------------------------------------------------------------ steps in steps

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
                                         [&](const Tensor& i, const Tensor& v) { return std::tuple{i + 1, twice(v)}; },
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

// -------------------------------------------------------------------------------------------------- seeds and settings

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

// ------------------------------------------------------------------------------------------------- late initialisation

TEST_CASE("An optimiser made after training began", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(5.f);
    session.run(tf::global_variables_initializer());
    auto grow = tf::step(session, [&] { return w.assign_sub(0.0625f); });
    CHECK(number(grow()) == 4.9375f);
    train::SGD late({w}, {.lr = 0.0625, .momentum = 0.5});
    const tf::Variable velocity = late.state().at("momentum.0");
    CHECK(tf::is_variable_initialized(session, w));
    auto step = tf::step(session, [&] { late.minimize(w * 1.f); });
    if (tf::executing_eagerly()) {
      CHECK(tf::report_uninitialized_variables(session).empty());
      CHECK(tf::is_variable_initialized(session, velocity));
    } else {
      CHECK(tf::report_uninitialized_variables(session) == std::vector<std::string>{"SGD/momentum"});
      CHECK_FALSE(tf::is_variable_initialized(session, velocity));
      CHECK_ERROR(step(), FailedPrecondition, "Attempting to use uninitialized value SGD/momentum");
      CHECK_ERROR(step(), FailedPrecondition, "tf::variables_initializer({v})");
    }
    session.run(tf::variables_initializer(late.state()));
    CHECK(tf::report_uninitialized_variables(session).empty());
    step();
    CHECK(number(step.evaluate(w)) == 4.875f);
    CHECK(number(step.evaluate(velocity)) == 1);
    session.run(tf::variables_initializer({w}));  // eager there is nothing to do
    CHECK(number(step.evaluate(w)) == (tf::executing_eagerly() ? 4.875f : 5.f));
    CHECK(number(step.evaluate(velocity)) == 1);
  });
}

// --------------------------------------------------------------------------------------------------- what is left over

TEST_CASE("A captured tensor that is assigned in the body is warned of", "[step]") {
  for (const How how : {How::deferred, How::optimized})
    in_mode(how, [](tf::Session& session) {
      Tensor h = tf::tensor(0.f);
      int line = 0;
      auto step = tf::step(session, [&](Tensor x) {
        line = __LINE__ + 1;
        h = h + x;
        return h;
      });
      const Warnings warnings;
      CHECK(number(step(1.f)) == 1);
      CHECK(number(step(2.f)) == 2);  // where eager gives 3
      REQUIRE(warnings.lines().size() == 1);
      CHECK(warnings.lines()[0].find("step_test.cc:" + std::to_string(line)) != std::string::npos);
      // It is of no use elsewhere, and says so.
      CHECK_ERROR(session.run(h), InvalidArgument, "belongs to the body of a step (made at");
      CHECK_ERROR(h + 1, InvalidArgument, "belongs to the body of a step (made at");
      CHECK_ERROR(step(tf::tensor({1.f})), InvalidArgument, "is used outside of it");
      return 0;
    });
}

TEST_CASE("A captured argument is warned of, and what is returned is not", "[step]") {
  in_mode(How::deferred, [](tf::Session& session) {
    Tensor last;
    nn::Linear net(2, 1);
    train::Adam opt(net.parameters());
    session.run(tf::global_variables_initializer());
    auto clean = tf::step(session, [&](Tensor x) {
      tf::GradientTape tape;
      const Tensor y = net(x);
      const auto [i, sum] = tf::while_loop([](const Tensor& n, const Tensor&) { return n < 3; },
                                           [&](const Tensor& n, const Tensor& s) { return std::pair{n + 1, s + y}; },
                                           std::pair{tf::constant(0), y});
      opt.minimize(tf::sum(sum));
      return std::tuple{y, y, std::vector<Tensor>{sum, x}};
    });
    auto keeps = tf::step(session, [&](Tensor x) {
      last = x;
      return x + 1;
    });
    const Warnings warnings;
    clean(tf::tensor({{1.f, 2.f}}));
    CHECK(warnings.lines().empty());
    keeps(1.f);
    CHECK(warnings.lines().size() == 1);
    return 0;
  });
}

TEST_CASE("A captured value that another takes the place of is warned of", "[step]") {
  in_mode(How::deferred, [](tf::Session& session) {
    Tensor scale = tf::tensor({2.f, 3.f});
    auto step = tf::step(session, [&](Tensor x) { return x * scale + tf::tensor({1.f, 1.f}); });
    const Warnings warnings;
    CHECK(elements<float>(step(1.f)) == std::vector<float>{3, 4});
    step(1.f);
    CHECK(warnings.lines().empty());
    scale = tf::tensor({5.f, 5.f});
    CHECK(elements<float>(step(1.f)) == std::vector<float>{3, 4});  // where eager gives 6
    step(1.f);
    REQUIRE(warnings.lines().size() == 1);
    CHECK(warnings.lines()[0].find("step_test.cc:" + std::to_string(__LINE__ - 9)) != std::string::npos);
    return 0;
  });
}

// ------------------------------------------------------------------------------------------------- shapes of variables

TEST_CASE("A variable whose shape changes", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable rows(tf::tensor({{1.f, 2.f}}), {.shape = tf::Shape{-1, 2}}), any(0.f, {.shape = tf::unknown_shape});
    CHECK(rows.shape() == tf::Shape{-1, 2});
    CHECK_FALSE(any.shape().has_rank());
    session.run(tf::global_variables_initializer());
    auto append = tf::step(session, [&](Tensor x) { return rows.assign(tf::concat({rows, x}, 0)); });
    append(tf::tensor({{3.f, 4.f}}));
    append(tf::tensor({{5.f, 6.f}}));
    CHECK(elements<float>(append.evaluate(rows)) == std::vector<float>{1, 2, 3, 4, 5, 6});
    auto set = tf::step(session, [&](Tensor x) { return any.assign(x); });
    set(tf::tensor({1.f, 2.f, 3.f}));
    CHECK(append.evaluate(any).shape() == tf::Shape{3});
    auto slope = tf::step(session, [&] { return tf::gradients(tf::sum(rows * rows), {rows})[0]; });
    CHECK(elements<float>(slope()) == std::vector<float>{2, 4, 6, 8, 10, 12});
    CHECK_ERROR(rows.assign(tf::tensor({1.f, 2.f, 3.f})), InvalidArgument, "shape (3,)");
    CHECK_ERROR(tf::Variable(tf::tensor({1.f}), {.shape = tf::Shape{2}}), InvalidArgument,
                "An initial value of shape (1,) is not of the variable's shape (2,)");
  });
}

TEST_CASE("A variable from another's initial value", "[step]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable a(tf::random_normal({3}));
    tf::Variable b(a.initial_value()), c(a.initial_value() * 2.f);
    session.run(tf::global_variables_initializer());
    auto step = tf::step(session, [&] { return a.assign(tf::zeros({3})); });
    step();
    const auto now = tf::read_state(session, {{"a", a}, {"b", b}, {"c", c}});
    CHECK(elements<float>(now.at("a")) == std::vector<float>(3, 0));
    const auto first = elements<float>(now.at("b")), twice = elements<float>(now.at("c"));
    for (int i = 0; i < 3; ++i) CHECK(twice[i] == 2 * first[i]);
    CHECK(first[0] != 0);
    if (tf::executing_eagerly())
      CHECK_ERROR(a.initial_value(), FailedPrecondition, "has been assigned, and its initial value is not kept");
  });
}

// ----------------------------------------------------------------------------------------------------- declared shapes

TEST_CASE("Shapes that are declared for a step", "[step]") {
  in_each_mode([](tf::Session& session) {
    int64_t width = 0;
    const auto ones = [](int64_t n, int64_t m) {
      return tf::tensor(std::vector<float>(static_cast<size_t>(n * m), 1), {n, m});
    };
    auto step = tf::step(
        session,
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
