// Random numbers that go on where another program stopped, in either mode.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace tf = twofold;
namespace nn = twofold::nn;
using namespace training;

namespace {

using State = std::map<std::string, Tensor>;

/// Draws in a net, in a branch and in a loop.
struct Program {
  explicit Program(tf::Session& s) : session(s) { session.run(tf::global_variables_initializer()); }

  std::vector<Tensor> draw(int steps) {
    std::vector<Tensor> drawn;
    for (int i = 0; i < steps; ++i) drawn.push_back(step(std::vector<float>{1, 2, 3, 4}));
    return drawn;
  }

  tf::Session& session;
  nn::Dropout dropout{0.25};
  tf::Variable start{tf::random_normal({4})};
  tf::Step<std::function<Tensor(Tensor)>> step =
      tf::step(session, std::function<Tensor(Tensor)>([this](const Tensor& x) {
                 const Tensor branch = tf::cond(
                     tf::sum(x) > 0.f, [&] { return tf::random_uniform({4}); }, [&] { return tf::zeros({4}); });
                 const auto [i, sum] = tf::while_loop(
                     [](const Tensor& n, const Tensor&) { return n < 3; },
                     [](const Tensor& n, const Tensor& s) { return std::tuple{n + 1, s + tf::random_normal({4})}; },
                     std::tuple{tf::constant(0), x});
                 return dropout(x) + branch + sum + start;
               }));
};

std::vector<int64_t> numbers(const Tensor& t) {
  const auto data = t.data<int64_t>();
  return {data.begin(), data.end()};
}

}  // namespace

TEST_CASE("A program's random numbers go on in another, whatever the modes", "[random_state]") {
  struct Ran {
    State state;
    std::vector<Tensor> before, after;
  };
  std::vector<Ran> all;
  for (const How how : kWays)
    all.push_back(in_mode(how, [&](tf::Session& session) {
      Program program(session);
      Ran ran;
      ran.before = program.draw(3);
      ran.state = tf::read_random_state(session);
      ran.after = program.draw(2);
      return ran;
    }));
  CHECK_FALSE(same_bits(all[0].before, all[0].after));
  for (const Ran& ran : all) {
    CHECK(same_bits(ran.after, all[0].after));
    // The start, dropout and branch once a step, the loop's body thrice.
    CHECK(ran.state.at("executions").shape() == tf::Shape{4, 2});
    for (const char* part : {"seed", "ordinals", "executions"})
      CHECK(numbers(ran.state.at(part)) == numbers(all[0].state.at(part)));
  }
  int64_t executions = 0;
  const std::vector<int64_t> rows = numbers(all[0].state.at("executions"));
  for (size_t i = 1; i < rows.size(); i += 2) executions += rows[i];
  CHECK(executions == 1 + 3 * (1 + 1 + 3));

  for (const Ran& ran : all)
    for (const How how : kWays) {
      const auto after = in_mode(how, [&](tf::Session& session) {
        Program program(session);
        tf::load_random_state(session, ran.state);
        return program.draw(2);
      });
      CHECK(same_bits(after, ran.after));
    }
}

TEST_CASE("A state that is loaded replaces the one there was", "[random_state]") {
  for (const How how : kWays)
    in_mode(how, [&](tf::Session& session) {
      Program program(session);
      const State fresh = tf::read_random_state(session);
      const auto first = program.draw(2);
      CHECK_FALSE(same_bits(program.draw(2), first));
      tf::load_random_state(session, fresh);
      CHECK(same_bits(program.draw(2), first));
      return 0;
    });
}

TEST_CASE("Eager, ops of a plain loop go on too", "[random_state]") {
  tf::EagerMode eager;
  const tf::Session unused;
  tf::set_random_seed(3);
  for (int i = 0; i < 5; ++i) tf::random_normal({2});
  const State state = tf::read_random_state(unused);
  const Tensor next = tf::random_normal({2}), seeded = tf::random_normal({2}, {.seed = 1});
  tf::set_random_seed(3);
  tf::load_random_state(unused, state);
  const Tensor again = tf::random_normal({2}), seeded_again = tf::random_normal({2}, {.seed = 1});
  CHECK(same_bits({next, seeded}, {again, seeded_again}));
}

TEST_CASE("A state that is read, loaded and read again keeps what has not drawn since", "[random_state]") {
  // A program that makes a step, sets the seed, makes another ...: the first draws on, the last starts anew.
  using Step = tf::Step<std::function<Tensor()>>;
  using Steps = std::vector<std::unique_ptr<Step>>;
  const auto make = [](tf::Session& session, Steps& steps) {
    tf::set_random_seed(1);
    steps.emplace_back(new Step(tf::step(session, std::function<Tensor()>([] { return tf::random_uniform({4}); }))));
  };
  State first;
  std::vector<Tensor> draws;
  in_mode(How::eager, [&](tf::Session& session) {
    Steps steps;
    make(session, steps);
    for (int i = 0; i < 3; ++i) draws.push_back((*steps[0])());
    first = tf::read_random_state(session);
    draws.push_back((*steps[0])());
    return 0;
  });
  for (const How how : kWays) {
    INFO("mode " << static_cast<int>(how));
    State state = first;
    for (int seeds = 1; seeds < 5; ++seeds) {
      State next;
      for (const bool goes_on : {false, true})
        for (const How there : kWays) {
          INFO(seeds << " seeds, " << (goes_on ? "goes on" : "in mode " + std::to_string(static_cast<int>(there))));
          in_mode(goes_on ? how : there, [&](tf::Session& session) {
            Steps steps;
            tf::Variable unused(0.f);  // a graph that a session can be asked about
            for (int i = 0; i < seeds; ++i) make(session, steps);
            tf::load_random_state(session, state);
            if (goes_on) make(session, steps), next = tf::read_random_state(session);
            CHECK(same_bits({(*steps[0])()}, {draws[3]}));
            for (size_t i = 1; i < steps.size(); ++i) CHECK(same_bits({(*steps[i])()}, {draws[0]}));
            return 0;
          });
        }
      state = next;
    }
  }
}

TEST_CASE("Each of very many seeds starts a sequence", "[random_state]") {
  FreshGraph fresh;
  tf::set_random_seed(1);
  const Tensor first = tf::random_uniform({});
  Tensor last;
  for (int i = 0; i < 1 << 16; ++i) {
    tf::set_random_seed(1);
    last = tf::random_uniform({});
  }
  tf::Session session;
  const Tensor start = session.run(first);
  CHECK_FALSE(same_bits({session.run(first)}, {start}));
  CHECK(same_bits({session.run(last)}, {start}));
}

TEST_CASE("Random states that cannot be loaded", "[random_state]") {
  FreshGraph fresh;
  tf::set_random_seed(7);
  const Tensor x = tf::random_normal({2});
  tf::Session session;
  const Tensor first = session.run(x);
  const State good = tf::read_random_state(session);
  const auto with = [&](const char* part, const Tensor& value) {
    State changed = good;
    changed[part] = value;
    return changed;
  };
  const auto table = [](const std::vector<int64_t>& rows) {
    return tf::tensor(rows, {static_cast<int64_t>(rows.size()) / 2, 2});
  };
  State missing = good;
  missing.erase("ordinals");
  CHECK_ERROR(tf::load_random_state(session, missing), NotFound, "The random state has no 'ordinals'");
  CHECK_ERROR(tf::load_random_state(session, with("extra", tf::tensor(1))), InvalidArgument, "has no part 'extra'");
  CHECK_ERROR(tf::load_random_state(session, with("seed", tf::tensor(7))), InvalidArgument,
              "'seed' must be an int64 value of shape (), not int32 of shape ()");
  CHECK_ERROR(tf::load_random_state(session, with("seed", Tensor())), InvalidArgument, "not None");
  CHECK_ERROR(tf::load_random_state(session, with("executions", x)), InvalidArgument, "of shape (n, 2)");
  CHECK_ERROR(tf::load_random_state(session, with("executions", tf::tensor(1, {.dtype = tf::int64}))), InvalidArgument,
              "(n, 2)");
  CHECK_ERROR(tf::load_random_state(session, with("executions", table({5, -1}))), InvalidArgument, "the count -1");
  CHECK_ERROR(tf::load_random_state(session, with("ordinals", table({5, 1, 5, 1}))), InvalidArgument, "5 twice");
  CHECK_ERROR(tf::load_random_state(session, with("seed", tf::tensor(8, {.dtype = tf::int64}))), FailedPrecondition,
              "The random state is of seed 8, but the seed here is 7");
  CHECK_ERROR(tf::load_random_state(session, missing), NotFound, "random_state_test.cc:");
  // None of them did anything.
  CHECK(numbers(tf::read_random_state(session).at("executions")) == numbers(good.at("executions")));
  session.close();
  CHECK_ERROR(tf::read_random_state(session), FailedPrecondition, "Attempted to use a closed Session.");
  CHECK_ERROR(tf::load_random_state(session, good), FailedPrecondition, "Attempted to use a closed Session.");
}
