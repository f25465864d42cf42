// Nests of tensors, as runs, callables, steps and control flow take and give them: one set of rules for all.
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

#include "both_modes.h"
#include "catch.h"
#include "errors.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

using Weights = std::map<std::string, Tensor>;
using Everything = std::tuple<Tensor, std::pair<Tensor, std::array<Tensor, 2>>, std::vector<Weights>>;

int value(const Tensor& t) { return t.item<int>(); }

// 1 to 6 times `scale` as leaves.
Everything everything(const Tensor& scale) {
  const auto leaf = [&](int n) { return scale * n; };
  return {leaf(1), {leaf(2), {leaf(3), leaf(4)}}, {{}, {{"b", leaf(6)}, {"a", leaf(5)}}}};
}

void check_everything(const Everything& nest, int scale) {
  const auto& [one, pair, maps] = nest;
  CHECK(value(one) == scale);
  CHECK(value(pair.first) == 2 * scale);
  CHECK(value(pair.second[0]) == 3 * scale);
  CHECK(value(pair.second[1]) == 4 * scale);
  REQUIRE(maps.size() == 2);
  CHECK(maps[0].empty());
  REQUIRE(maps[1].size() == 2);
  CHECK(value(maps[1].at("a")) == 5 * scale);
  CHECK(value(maps[1].at("b")) == 6 * scale);
}

}  // namespace

TEST_CASE("a nest goes through runs, callables, steps, cond and while_loop as it is") {
  const auto through_all = [](const Tensor& scale, const auto& evaluate) {
    const Everything nest = everything(scale);
    check_everything(evaluate(nest), 10);
    check_everything(evaluate(tf::cond(
                         scale > 0, [&] { return nest; }, [&] { return everything(-scale); })),
                     10);
    const auto doubled = tf::while_loop([](const Tensor& i, const Everything&) { return i < 3; },
                                        [](const Tensor& i, const Everything& now) {
                                          return std::tuple{i + 1, everything(std::get<0>(now) * 2)};
                                        },
                                        std::tuple{tf::constant(0), nest});
    check_everything(evaluate(std::get<1>(doubled)), 80);
  };
  SECTION("eager") {
    const tf::EagerMode eager;
    through_all(tf::constant(10), [](const Everything& nest) { return nest; });
  }
  SECTION("deferred") {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const Tensor scale = tf::placeholder(tf::int32, {});
    const tf::Session session(graph);
    through_all(scale, [&](const Everything& nest) { return session.run(nest, {{scale, 10}}); });
    through_all(scale, [&](const Everything& nest) { return session.make_callable(nest, {scale})(10); });
  }
  SECTION("steps") {
    for (const bool in_eager_mode : {false, true}) {
      const tf::Graph graph;
      const auto scope = graph.as_default();
      std::optional<tf::EagerMode> eager;
      if (in_eager_mode) eager.emplace();
      auto step = tf::step([](Tensor scale) { return everything(scale); });
      check_everything(step(10), 10);
      check_everything(step(7), 7);
    }
  }
}

TEST_CASE("maps in control flow: keys are matched, not places; literals and variables may be values") {
  // The values at the keys 0 to 63 of one map, 0 to 63 of the other, "a" and "b" of the last.
  const auto results = testing::in_both_modes([] {
    const Tensor p = tf::constant(0) > 1;
    // A hash map's order depends on how it was filled; 64 keys in opposite orders.
    std::unordered_map<int, Tensor> up, down;
    for (int i = 0; i < 64; ++i) up.emplace(i, tf::constant(i));
    down.reserve(1000);
    for (int i = 63; i >= 0; --i) down.emplace(i, tf::constant(-i));
    const auto chosen = tf::cond(
        p, [&] { return up; }, [&] { return down; });

    const auto looped = tf::while_loop([](const std::unordered_map<int, Tensor>& now) { return now.at(1) < 4; },
                                       [](const std::unordered_map<int, Tensor>& now) {
                                         std::unordered_map<int, Tensor> next;
                                         next.reserve(1000);
                                         for (int i = 63; i >= 0; --i) next.emplace(i, now.at(i) + i);
                                         return next;
                                       },
                                       up);
    const auto numbers = tf::cond(
        p,
        [] {
          return std::map<std::string, float>{{"a", 1.f}, {"b", 2.f}};
        },
        [] {
          return std::map<std::string, float>{{"b", 4.f}, {"a", 3.f}};
        });
    std::vector<Tensor> all;
    for (int i = 0; i < 64; ++i) all.push_back(chosen.at(i));
    for (int i = 0; i < 64; ++i) all.push_back(looped.at(i));
    all.insert(all.end(), {numbers.at("a"), numbers.at("b")});
    return all;
  });
  for (int i = 0; i < 64; ++i) CHECK(value(results[i]) == -i);
  for (int i = 0; i < 64; ++i) CHECK(value(results[64 + i]) == 4 * i);
  CHECK(results[128].item<float>() == 3.f);
  CHECK(results[129].item<float>() == 4.f);
}

TEST_CASE("hash maps come back from callables and steps with each tensor at its key") {
  const auto filled = [](const Tensor& x) {
    std::unordered_map<int, Tensor> map;
    map.reserve(1000);  // another order than that of a map that grew
    for (int i = 0; i < 64; ++i) map.emplace(i, x + i);
    return map;
  };
  const auto check = [](const std::unordered_map<int, Tensor>& map) {
    REQUIRE(map.size() == 64);
    for (const auto& [key, tensor] : map) CHECK(value(tensor) == 100 + key);
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::int32, {});
  const tf::Session session(graph);
  check(session.run(filled(x), {{x, 100}}));
  const auto call = session.make_callable(filled(x), {x});
  const auto copy = call;
  check(call(100));
  check(copy(100));
  auto step = tf::step(filled);
  check(step(100));
  const tf::EagerMode eager;
  auto eager_step = tf::step(filled);
  check(eager_step(100));
}

TEST_CASE("a map keeps how it orders its keys, a function given at run time too") {
  const tf::EagerMode eager;
  using Order = std::function<bool(int, int)>;
  const std::map<int, int, Order> falling({{1, 10}, {2, 20}, {3, 30}}, [](int a, int b) { return a > b; });
  const std::map<int, Tensor, Order> result = tf::cond(
      true, [&] { return falling; }, [&] { return falling; });
  std::vector<int> keys;
  for (const auto& [key, tensor] : result) {
    keys.push_back(key);
    CHECK(value(tensor) == 10 * key);
  }
  CHECK(keys == std::vector<int>{3, 2, 1});
}

TEST_CASE("branches and bodies whose nests differ in structure are errors that say where") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor p = tf::placeholder(tf::bool_, {}), x = tf::placeholder(tf::float32, {});
  const auto branches = [&](auto a, auto b) {
    tf::cond(
        p, [&] { return a; }, [&] { return b; });
  };
  CHECK_ERROR(branches(Weights{{"w", x}}, Weights{{"v", x}}), InvalidArgument,
              "The branches of cond must be nests of the same structure: only one has the key 'w'");
  CHECK_ERROR(branches(std::map<int, Tensor>{{3, x}}, std::map<int, Tensor>{{4, x}}), InvalidArgument, "has the key 3");
  CHECK_ERROR(branches(Weights{{"w", x}}, Weights{{"w", x}, {"v", x}}), InvalidArgument, "then returned 1, else 2");
  using Lists = std::vector<std::vector<Tensor>>;
  CHECK_ERROR(branches(Lists{{x, x}, {x}}, Lists{{x}, {x, x}}), InvalidArgument, "vectors of 2 and 1 elements");
  CHECK_ERROR(branches(std::tuple{x, Lists{{}, {x}}}, std::tuple{x, Lists{{x}}}), InvalidArgument,
              "vectors of 2 and 1 elements");
  CHECK_ERROR(tf::while_loop([](const Weights& now) { return now.at("w") < 3.f; },
                             [](const Weights& now) {
                               return Weights{{"v", now.at("w") + 1.f}};
                             },
                             Weights{{"w", x}}),
              InvalidArgument, "The body of while_loop and its state must be nests of the same structure");
  const tf::EagerMode eager;
  CHECK_ERROR(tf::while_loop([](const Weights& now) { return now.at("w") < 3.f; },
                             [](const Weights& now) {
                               return Weights{{"v", now.at("w") + 1.f}};
                             },
                             Weights{{"w", tf::constant(1.f)}}),
              InvalidArgument, "only one has the key 'w'");
}
