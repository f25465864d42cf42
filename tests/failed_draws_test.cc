// What a run or a step that fails has drawn is drawn again, in either mode, whichever ops share a sequence.
#include <functional>
#include <limits>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "training.h"

using namespace training;

namespace {

/// What `draws` gives in each of four calls that succeed; with `fails`, calls that fail lie between them.
std::vector<Tensor> four_calls(How how, bool fails, const std::function<Tensor()>& draws) {
  return in_mode(how, [&](tf::Session& session) {
    auto step = tf::step(session, [&](const Tensor& factor) {
      const Tensor drawn = draws();
      return tf::check_numerics(drawn * factor, "a call that is to fail");
    });
    std::vector<Tensor> drawn;
    for (int i = 0; i < 4; ++i) {
      drawn.push_back(step(1.f));
      for (int k = 0; fails && k < i; ++k) CHECK_THROWS_AS(step(std::numeric_limits<float>::quiet_NaN()), tf::Error);
    }
    return drawn;
  });
}

Tensor seeded() { return tf::random_uniform({4}, {.seed = 1}); }
Tensor unseeded() { return tf::random_uniform({4}); }

/// The sum of what `draw` gives in three iterations.
Tensor in_loop(const std::function<Tensor()>& draw) {
  const auto [n, sum] = tf::while_loop([](const Tensor& i, const Tensor&) { return i < 3; },
                                       [&](const Tensor& i, const Tensor& s) {
                                         const Tensor first = draw(), second = draw();
                                         return std::tuple{i + 1, s + first * 2.f + second};
                                       },
                                       std::tuple{tf::constant(0), tf::zeros({4})});
  return sum;
}

Tensor in_branch(const std::function<Tensor()>& draw) {
  return tf::cond(
      tf::sum(tf::zeros({4})) < 1.f, [&] { return draw() * 5.f + draw(); }, [&] { return tf::zeros({4}); });
}

}  // namespace

TEST_CASE("Calls that fail change nothing of what the others draw, in any mode", "[random_state]") {
  const std::pair<const char*, std::function<Tensor()>> programs[] = {
      {"two ops of one seed", [] { return seeded() + seeded() * 2.f; }},
      {"five ops of one seed", [] { return seeded() + seeded() * 2.f + seeded() * 3.f + seeded() * 4.f + seeded(); }},
      {"two ops without", [] { return unseeded() + unseeded() * 2.f; }},
      {"one seed in a loop", [] { return in_loop(seeded); }},
      {"none in a loop", [] { return in_loop(unseeded); }},
      {"one seed outside, in a loop and in a branch",
       [] {
         const Tensor before = seeded();
         const Tensor inside = in_loop(seeded) + in_branch(seeded);
         return before + inside * 3.f + seeded() * 7.f;
       }},
      {"a loop in a branch", [] { return seeded() + in_branch([] { return in_loop(seeded); }) + seeded(); }},
  };
  for (const auto& [name, draws] : programs) {
    INFO(name);
    const std::vector<Tensor> wanted = four_calls(How::eager, false, draws);
    CHECK_FALSE(same_bits({wanted[0]}, {wanted[1]}));
    for (const How how : {How::eager, How::deferred, How::optimized}) {
      INFO("mode " << static_cast<int>(how));
      CHECK(same_bits(four_calls(how, false, draws), wanted));
      CHECK(same_bits(four_calls(how, true, draws), wanted));
    }
  }
}

TEST_CASE("A run that fails gives back more draws than are noted one by one", "[random_state]") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor factor = tf::placeholder(tf::float32, {});
  std::vector<Tensor> all;
  for (int i = 0; i < 100; ++i) all.push_back(tf::random_uniform({}, {.seed = i % 7}));
  const Tensor checked = tf::check_numerics(tf::stack(all) * factor, "a run that is to fail");
  const tf::Session untroubled, failing;
  for (int i = 0; i < 3; ++i) {
    const std::vector<float> wanted = floats(untroubled.run(checked, {{factor, 1.f}}));
    CHECK(floats(failing.run(checked, {{factor, 1.f}})) == wanted);
    CHECK_THROWS_AS(failing.run(checked, {{factor, std::numeric_limits<float>::infinity()}}), tf::Error);
  }
}
