// What a run takes as feeds: lists, kept feeds, maps and pairs.
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

std::vector<float> batch(float first) { return {first, first + 1, first + 2}; }

// What was freed is soon somebody else's.
void reuse_memory() {
  std::vector<std::vector<float>> taken;
  for (int i = 0; i < 64; ++i) taken.emplace_back(3, -7.f);
}

struct Doubled : FreshGraph {
  Tensor x = tf::placeholder(tf::float32, tf::unknown_shape, {.name = "x"});
  Tensor z = tf::placeholder(tf::float32, tf::unknown_shape, {.name = "z"});
  Tensor y = x * 2.f, sum = x + z;
  tf::Session session;
};

}  // namespace

TEST_CASE("Feeds that are kept own what they were made from") {
  Doubled g;
  std::vector<tf::Feed> feeds;
  feeds.push_back({g.x, batch(1)});
  reuse_memory();
  CHECK(printed(g.session.run(g.y, feeds)) == "[2. 4. 6.]");
  std::vector<tf::Feed> emplaced;
  emplaced.emplace_back(g.x, batch(2));
  reuse_memory();
  CHECK(printed(g.session.run(g.y, emplaced)) == "[4. 6. 8.]");
  std::vector<tf::Feed> copies;
  {
    std::vector<float> values = batch(3);
    copies.push_back({g.x, values});
    values[0] = 100;
  }
  reuse_memory();
  CHECK(printed(g.session.run(g.y, copies)) == "[ 6.  8. 10.]");
  const tf::Feeds list = {{g.x, batch(4)}, {"z:0", 1.f}};
  const tf::Feeds number = {{g.x, 3.f}};
  const tf::Feeds nested = {{g.x, {{1.f, 2.f}, {3.f, 4.f}}}};
  const tf::Feeds rows = {{g.x, std::vector<std::vector<float>>{{1, 2}, {3, 4}}}};
  reuse_memory();
  CHECK(printed(g.session.run(g.sum, list)) == "[5. 6. 7.]");
  CHECK(g.session.run(g.y, number).item<float>() == 6);
  CHECK(printed(g.session.run(g.y, nested)) == "[[2. 4.]\n [6. 8.]]");
  CHECK(printed(g.session.run(g.y, rows)) == "[[2. 4.]\n [6. 8.]]");
  auto [y, sum] = g.session.run({g.y, g.sum}, list);
  CHECK(printed(y) == "[ 8. 10. 12.]");
  CHECK(printed(sum) == "[5. 6. 7.]");
}

TEST_CASE("A kept feed rounds and refuses as one in a list does") {
  Doubled g;
  const Tensor i = tf::placeholder(tf::int32, {}, {.name = "i"});
  const tf::Feeds doubles = {{g.x, std::vector<double>{0.1}}};
  CHECK(g.session.run(g.x + 0.f, doubles)[0].item<float>() == 0.1f);
  const tf::Feeds broken = {{i, std::vector<float>{0.5f}}};
  CHECK_ERROR(g.session.run(i + 0, broken), InvalidArgument, "Cannot feed value of shape (1,) for Tensor 'i:0'");
  const tf::Feeds half = {{i, 0.5f}};
  CHECK_ERROR(g.session.run(i + 0, half), InvalidArgument, "Cannot feed the float32 value 0.5 for Tensor 'i:0'");
}

TEST_CASE("Feeds are maps and pairs, by name or handle") {
  Doubled g;
  const tf::Variable v(5.f);
  const auto fed = [&](const auto& feeds) { return g.session.run(g.sum, feeds).template item<float>(); };
  CHECK(fed(std::map<std::string, Tensor>{{"x:0", tf::tensor(1.f)}, {"z:0", tf::tensor(2.f)}}) == 3);
  CHECK(fed(std::unordered_map<std::string, float>{{"x:0", 1.f}, {"z:0", 3.f}}) == 4);
  CHECK(fed(std::vector<std::pair<std::string, Tensor>>{{"x:0", tf::tensor(1.f)}, {"z:0", tf::tensor(4.f)}}) == 5);
  CHECK(fed(std::vector<std::pair<Tensor, float>>{{g.x, 1.f}, {g.z, 5.f}}) == 6);
  CHECK(fed(std::vector<std::pair<tf::Fetch, Tensor>>{{g.x, tf::tensor(1.f)}, {"z:0", tf::tensor(6.f)}}) == 7);
  CHECK(fed(std::array{std::pair(g.x, 1.f), std::pair(g.z, 7.f)}) == 8);
  CHECK(fed(std::map<Tensor, float>{{g.x, 1.f}, {g.z, 8.f}}) == 9);
  CHECK(fed(std::unordered_map<Tensor, Tensor>{{g.x, tf::tensor(1.f)}, {g.z, tf::tensor(9.f)}}) == 10);
  CHECK(g.session.run(v + 1.f, std::map<tf::Variable, float>{{v, 10.f}}).item<float>() == 11);
  const std::map<std::string, std::vector<float>> rows{{"x:0", {1, 2}}, {"z:0", {10, 20}}};
  CHECK(printed(g.session.run(g.sum, rows)) == "[11. 22.]");
  const auto [y, sum] = g.session.run(std::pair(g.y, g.sum), rows);
  CHECK(printed(y) == "[2. 4.]");
  CHECK(printed(sum) == "[11. 22.]");
  CHECK_ERROR(fed(std::vector<std::pair<std::string, float>>{{"x:0", 1.f}, {"x:0", 2.f}}), InvalidArgument,
              "'x:0' is fed twice in one run");
  CHECK_ERROR(fed(std::map<std::string, float>{{"who:0", 1.f}}), NotFound, "The name 'who:0' refers to a Tensor which");
  CHECK_ERROR(fed(std::map<std::string, float>()), InvalidArgument, "You must feed a value for placeholder tensor");
}

TEST_CASE("As keys of maps, handles are equal that are copies of one") {
  FreshGraph fresh;
  const Tensor a = tf::constant(1.f), b = tf::constant(1.f), copy = a, none;
  const std::unordered_map<Tensor, int> ids{{a, 1}, {b, 2}, {none, 3}};
  CHECK(ids.size() == 3);
  CHECK(ids.at(copy) == 1);
  CHECK(ids.at(Tensor()) == 3);
  const tf::Variable v(1.f), w(1.f), alias = v;
  const std::map<tf::Variable, int> variables{{v, 1}, {w, 2}};
  CHECK(variables.at(alias) == 1);
  tf::EagerMode eager;
  const Tensor x = tf::constant(1.f), y = tf::constant(1.f);
  const std::map<Tensor, int> values{{x, 1}, {y, 2}};
  CHECK(values.size() == 2);
  CHECK(values.at(Tensor(x)) == 1);
}

TEST_CASE("Steps and callables take lists in braces") {
  const auto program = [] {
    auto step = tf::step([](Tensor x, Tensor y) { return x * y; });
    CHECK(printed(step({1.f, 2.f}, tf::tensor(3.f))) == "[3. 6.]");
    CHECK(printed(step({{1.f}, {2.f}}, {{1.f, 10.f}})) == "[[ 1. 10.]\n [ 2. 20.]]");
    auto one = tf::step([](Tensor x) { return tf::sum(x); });
    CHECK(one({{1.f, 2.f}}).item<float>() == 3);
  };
  tf::eagerly(program);
  Doubled g;
  program();
  const auto call = g.session.make_callable(g.y, {g.x});
  CHECK(printed(call({1.f, 2.f})) == "[2. 4.]");
  CHECK(call(4.f).item<float>() == 8);
}

TEST_CASE("A fed placeholder may be what something runs after, or a step's effect") {
  const auto program = [](auto check) {
    auto step = tf::step([](Tensor x, Tensor y) { return tf::with_effects(x * 2.f, {y}); });
    check(step(1.f, 5.f).template item<float>() == 2);
    check(step(3.f, {1.f, 2.f}).template item<float>() == 6);
  };
  const auto check = [](bool right) { CHECK(right); };
  tf::eagerly([&] { program(check); });
  Doubled g;
  program(check);
  const Tensor unfed = tf::placeholder(tf::float32, {});
  g.session.run(tf::group({g.x}), {{g.x, 1.f}});
  CHECK(g.session.run(tf::with_effects(g.y, {g.x}), {{g.x, 2.f}}).item<float>() == 4);
  CHECK_ERROR(g.session.run(tf::group({unfed}), {{g.x, 1.f}}), InvalidArgument, "You must feed a value");
  const auto after = tf::control_dependencies({g.x});
  CHECK(g.session.run(tf::constant(7.f) * 1.f, {{g.x, 2.f}}).item<float>() == 7);
}
