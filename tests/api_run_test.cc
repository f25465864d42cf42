// The API around a run: variables, fetches, feeds, callables.
#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Shape;

// ---- The program on the design's first page ----

namespace {
std::string article() {
  auto a = tf::Variable(1), b = tf::Variable(2);
  auto c = a + b;
  return printed(c);
}
}  // namespace

TEST_CASE("The first program prints a symbol deferred and a number eager") {
  FreshGraph fresh;
  CHECK(article() == "Tensor(\"add:0\", shape=(), dtype=int32)");
  tf::EagerMode eager;
  CHECK(article() == "3");
}

TEST_CASE("The first program's session prints 5") {
  FreshGraph fresh;
  auto a = tf::Variable(1.f), b = tf::Variable(2.f);
  auto x = tf::placeholder(tf::float32);
  auto y = a * x + b;
  tf::Session session;
  session.run(tf::global_variables_initializer());
  CHECK(printed(session.run(y, {{x, 3.f}})) == "5");
}

// ---- Variable ----

TEST_CASE("A Variable has options and a name") {
  FreshGraph fresh;
  const tf::Variable plain(1.f), named({1, 2}, {.name = "w", .trainable = false, .dtype = tf::float64});
  CHECK((plain.name() == "Variable:0" && plain.trainable() && plain.dtype() == tf::float32));
  CHECK((named.name() == "w:0" && !named.trainable() && named.dtype() == tf::float64 && named.shape() == Shape{2}));
  CHECK(tf::Variable(2.f).name() == "Variable_1:0");
  CHECK(tf::global_variables().size() == 3);
  CHECK(tf::trainable_variables().size() == 2);
}

TEST_CASE("{.dtype} makes a Variable's literal so and casts other values where nothing is cut off, in both modes") {
  const auto program = [] {
    CHECK(tf::Variable(1, {.dtype = tf::float64}).dtype() == tf::float64);
    CHECK(tf::Variable(tf::zeros({2}), {.dtype = tf::float64}).dtype() == tf::float64);
    CHECK(tf::Variable(std::vector<double>{0.1}, {.dtype = tf::float32}).dtype() == tf::float32);
    CHECK(tf::Variable(tf::constant({1, 2}), {.dtype = tf::int64}).dtype() == tf::int64);
    CHECK(tf::Variable(tf::constant(true), {.dtype = tf::float32}).dtype() == tf::float32);
    CHECK_ERROR(tf::Variable(2.5, {.dtype = tf::int32}), InvalidArgument, "The literal 2.5 does not fit dtype int32");
    CHECK_ERROR(tf::Variable(std::vector<float>{2.5f}, {.dtype = tf::int32}), InvalidArgument,
                "An initial value of dtype float32 cannot become int32 without loss");
    CHECK_ERROR(tf::Variable(tf::zeros({2}), {.dtype = tf::int64}), InvalidArgument, "Try: tf::cast(value, tf::int64)");
    CHECK_ERROR(tf::Variable(tf::constant(1), {.dtype = tf::bool_}), InvalidArgument,
                "Try: tf::cast(value, tf::bool_)");
  };
  tf::eagerly(program);
  FreshGraph fresh;
  program();
}

TEST_CASE("Copies of a Variable alias, in both modes") {
  {
    tf::EagerMode eager;
    const tf::Variable v(1.f), copy = v;
    copy.assign(5.f);
    CHECK(v.item<float>() == 5);
  }
  FreshGraph fresh;
  tf::Variable v(1.f), other(2.f);
  const tf::Variable copy = v;
  const tf::Tensor assigned = copy.assign(5.f);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  session.run(assigned);
  CHECK(session.run(v).item<float>() == 5);
  v = other;  // the handle now means the other variable; nothing is assigned
  CHECK(v.name() == other.name());
  CHECK(session.run(copy).item<float>() == 5);
}

TEST_CASE("assign, assign_add and assign_sub return the new value, in both modes") {
  const auto program = [] {
    const tf::Variable v({1.f, 2.f});
    const tf::Tensor a = v.assign({3.f, 4.f}), b = v.assign_add(v), c = v.assign_sub({1.f, 1.f});
    return std::tuple{v, a, b, c};
  };
  {
    tf::EagerMode eager;
    const auto [v, a, b, c] = program();
    CHECK(printed(a) == "[3. 4.]");
    CHECK(printed(b) == "[6. 8.]");
    CHECK(printed(c) == "[5. 7.]");
    CHECK(printed(v.read()) == "[5. 7.]");
  }
  FreshGraph fresh;
  const auto [v, a, b, c] = program();
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto got = session.run({v, a, b, c});
  CHECK(printed(got[0]) == "[5. 7.]");
  CHECK(printed(got[1]) == "[3. 4.]");
  CHECK(printed(got[2]) == "[6. 8.]");
  CHECK(printed(got[3]) == "[5. 7.]");
  CHECK(printed(session.run(tf::assign(v, {0.f, 0.f}))) == "[0. 0.]");
  CHECK(printed(session.run(tf::assign_add(v, 1.f))) == "[1. 1.]");
  CHECK(printed(session.run(tf::assign_sub(v, 2.f))) == "[-1. -1.]");
}

TEST_CASE("A Variable reads as a Tensor wherever one is wanted") {
  const auto use = [](const tf::Tensor& t) { return t + 1.f; };
  tf::EagerMode eager;
  const tf::Variable v({1.f, 2.f}), m({{1.f, 2.f}, {3.f, 4.f}});
  CHECK(printed(use(v)) == "[2. 3.]");
  CHECK(printed(v * v) == "[1. 4.]");
  CHECK(printed(tf::matmul(m, m)) == "[[ 7. 10.]\n [15. 22.]]");
  CHECK(printed(-v) == "[-1. -2.]");
  CHECK(printed(tf::sum(v)) == "3");
  CHECK(v[1].item<float>() == 2);
  const tf::Tensor t = v;
  CHECK(printed(t) == "[1. 2.]");
}

TEST_CASE("A Variable's initial value may come from a variable or an op") {
  FreshGraph fresh;
  const tf::Variable a({1.f, 2.f}, {.name = "a"});
  const tf::Variable b(a.initial_value() * 10.f, {.name = "b"});
  tf::Session session;
  session.run(a.initializer());
  session.run(b.initializer());
  CHECK(printed(session.run(b)) == "[10. 20.]");
}

// ---- Fetches ----

namespace {
struct Nested {
  FreshGraph fresh;
  tf::Tensor a = tf::constant(1, {.name = "a"}), b = tf::constant(2, {.name = "b"}), c = tf::constant(3, {.name = "c"});
  tf::Session session;
};
int number(const tf::Tensor& t) { return t.item<int32_t>(); }
}  // namespace

TEST_CASE_METHOD(Nested, "run(y) gives a Tensor, run({a, b}) an array") {
  const tf::Tensor one = session.run(a);
  CHECK(number(one) == 1);
  const std::array<tf::Tensor, 3> three = session.run({a, b, a});
  CHECK((number(three[0]) == 1 && number(three[1]) == 2 && number(three[2]) == 1));
}

TEST_CASE_METHOD(Nested, "Any nesting gives the same nesting") {
  const std::vector<tf::Tensor> list = session.run(std::vector{a, b});
  CHECK((list.size() == 2 && number(list[1]) == 2));
  const auto [x, pair] = session.run(std::tuple{a, std::pair{b, c}});
  CHECK((number(x) == 1 && number(pair.first) == 2 && number(pair.second) == 3));
  const std::map<std::string, tf::Tensor> map = session.run(std::map<std::string, tf::Tensor>{{"one", a}, {"two", b}});
  CHECK((map.size() == 2 && number(map.at("one")) == 1 && number(map.at("two")) == 2));
  const auto hashed = session.run(std::unordered_map<int, std::vector<tf::Tensor>>{{7, {a, c}}, {8, {}}});
  CHECK((number(hashed.at(7)[1]) == 3 && hashed.at(8).empty()));
  const std::array<std::array<tf::Tensor, 2>, 2> square = session.run(std::array{std::array{a, b}, std::array{b, c}});
  CHECK((number(square[0][1]) == 2 && number(square[1][1]) == 3));
  const auto deep = session.run(std::vector{std::tuple{a, std::vector<std::string>{"b:0", "c:0"}}});
  CHECK(number(std::get<1>(deep[0])[1]) == 3);
}

TEST_CASE_METHOD(Nested, "An Operation gives nothing, in a nest an undefined Tensor") {
  const tf::Operation train = tf::group({a, b});
  session.run(train);
  auto [_, loss] = session.run({train, c});
  CHECK((!_.defined() && number(loss) == 3));
  CHECK(!session.run(std::vector{train})[0].defined());
  const std::array<tf::Tensor, 1> one = session.run({train});
  CHECK(!one[0].defined());
}

TEST_CASE_METHOD(Nested, "Names work as fetches and keys") {
  const tf::Tensor sum = a + b;
  CHECK(number(session.run("add:0")) == 3);
  CHECK(number(session.run(std::string("add:0"), {{"a:0", 10}})) == 12);
  CHECK(!session.run({"add", "c:0"})[0].defined());
  const tf::Variable w(5.f, {.name = "w"});
  session.run("w/Assign");
  CHECK(session.run("w:0").item<float>() == 5);
}

TEST_CASE("Fetched values are snapshots") {
  FreshGraph fresh;
  const tf::Variable v(std::vector<float>(1000, 1.f));
  const tf::Tensor next = v.assign_add(1.f);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const tf::Tensor first = session.run(v), second = session.run(next), third = session.run(next);
  CHECK((first[999].item<float>() == 1 && second[999].item<float>() == 2 && third[999].item<float>() == 3));
}

TEST_CASE("A fetched Variable is read after the run's writes") {
  FreshGraph fresh;
  const tf::Variable v(1.f);
  const tf::Tensor before = v.read(), write = v.assign(7.f);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto got = session.run({v, before, write});
  CHECK((got[0].item<float>() == 7 && got[1].item<float>() == 1 && got[2].item<float>() == 7));
}

TEST_CASE("A callable is a run prepared once") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), y = tf::placeholder(tf::float32, {2});
  const tf::Variable v(10.f);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  auto call = session.make_callable(x * 2.f + v, {x});
  CHECK(call(3.f).item<float>() == 16);
  CHECK(call(tf::tensor({1.f, 2.f})).shape() == Shape{2});
  CHECK(call(std::vector<float>{1, 2, 3}).shape() == Shape{3});
  CHECK(session.make_callable(x + y, {x, y})(1.f, std::vector<float>{1, 2}).shape() == Shape{2});
  CHECK(session.make_callable(v + 1.f)().item<float>() == 11);
  CHECK(session.make_callable(v + x, {v, x})(1.f, 2.f).item<float>() == 3);
  const auto all = session.make_callable({x + 1.f, tf::Fetch(v)}, {x})(5.f);
  CHECK((all[0].item<float>() == 6 && all[1].item<float>() == 10));
  CHECK_ERROR(call(), InvalidArgument, "A callable of 1 feeds was given 0 values");
  CHECK_ERROR(session.make_callable(x, {x, x}), InvalidArgument, "is fed twice");
}

TEST_CASE("A callable is made of anything that can be fetched") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, {}, {.name = "x"}), y = x * 2.f;
  const tf::Variable v(10.f, {.name = "v"});
  const tf::Operation add = tf::group({v.assign_add(x)});
  tf::Session session;
  session.run(tf::global_variables_initializer());
  CHECK(session.make_callable("mul:0", {"x:0"})(3.f).item<float>() == 6);
  CHECK(!session.make_callable(add, {x})(1.f).defined());
  CHECK(session.make_callable(v)().item<float>() == 11);  // the variable, not a read of it: no node was added
  CHECK(session.make_callable({v, y}, {x})(4.f)[1].item<float>() == 8);
  CHECK_ERROR(session.make_callable(y, {add}), InvalidArgument, "An Operation cannot be fed");
  CHECK_ERROR(session.make_callable(y, {tf::Operation()}), InvalidArgument, "An Operation cannot be fed");
  CHECK_ERROR(session.make_callable(y, {"nobody:0"}), NotFound, "nobody");
}

TEST_CASE("A callable gives what a run of its fetches gives") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), y = x * 2.f, z = x + 1.f;
  const tf::Variable v(10.f);
  const tf::Operation add = tf::group({v.assign_add(x)});
  const tf::Session session;
  session.run(tf::global_variables_initializer());

  const tf::Callable<std::array<tf::Tensor, 3>> listed = session.make_callable({add, y, v}, {x});
  const auto [none, twice, kept] = listed(3.f);
  CHECK((!none.defined() && twice.item<float>() == 6 && kept.item<float>() == 13));
  CHECK(listed(4.f)[2].item<float>() == 17);
  CHECK(session.make_callable({y}, {x})(3.f).size() == 1);

  const std::map<std::string, std::vector<tf::Tensor>> nest{{"b", {y, z, y}}, {"a", {}}, {"c", {z}}};
  const auto nested = session.make_callable(std::tuple(nest, std::pair(v, z)), {x});
  const auto [map, pair] = nested(5.f);
  CHECK((map.size() == 3 && map.at("a").empty() && map.at("b").size() == 3 && map.at("c").size() == 1));
  CHECK((map.at("b")[0].item<float>() == 10 && map.at("b")[1].item<float>() == 6));
  CHECK((map.at("b")[2].item<float>() == 10 && map.at("c")[0].item<float>() == 6));
  CHECK((pair.first.item<float>() == 17 && pair.second.item<float>() == 6));
  CHECK(std::get<0>(nested(0.f)).at("c")[0].item<float>() == 1);  // once more, by the same nest

  const std::vector<tf::Tensor> some = session.make_callable(std::vector<tf::Fetch>{y, "add:0"}, {x})(1.f);
  CHECK((some.size() == 2 && some[0].item<float>() == 2 && some[1].item<float>() == 2));
  CHECK(session.make_callable(std::vector<tf::Tensor>(), {x})(1.f).empty());
  CHECK_ERROR(listed(1.f, 2.f), InvalidArgument, "A callable of 1 feeds was given 2 values");
}

TEST_CASE("A callable outlives its session's handle") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32);
  const auto call = tf::Session().make_callable(x * x, {x});
  CHECK(call(3.f).item<float>() == 9);
}

// ---- Sessions ----

TEST_CASE("A session's options are checked where it is made") {
  FreshGraph fresh;
  const std::string file = __FILE__;
  CHECK_ERROR(
      tf::Session({.disabled_passes = {"fuze"}}), InvalidArgument,
      "There is no pass 'fuze' to disable; there are inline, fold, cse, dce, batch_norm, fuse, late_updates, memory, capture");
  CHECK_ERROR(tf::Session({.disabled_passes = {"fuze"}}), InvalidArgument, file);
  CHECK_ERROR(tf::Session(fresh.graph, {.max_plans = 0}), InvalidArgument, "max_plans is 0");
  CHECK_ERROR(tf::Session(fresh.graph, {.gpu_memory_limit = -1}), InvalidArgument, "gpu_memory_limit is -1 bytes");
  CHECK_ERROR(tf::set_math_mode(static_cast<tf::MathMode>(77)), InvalidArgument, "There is no math mode 77");
  CHECK_ERROR(tf::set_allocator_cache_limit(-1), InvalidArgument, "The limit is -1 bytes");
  tf::Session session(
      {.disabled_passes = {"fold", "cse", "dce", "batch_norm", "fuse", "late_updates", "memory", "capture"},
       .max_plans = 1});
  CHECK(session.run(tf::constant(1) + 1).item<int32_t>() == 2);
}

TEST_CASE("The plan that was used longest ago goes first") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), y = x * 2.f;
  const tf::Session session({.max_plans = 2});
  tf::Ledger ledger;
  const auto misses = [&](size_t n) {
    const auto recording = ledger.record();
    const auto before = ledger.plan_misses();
    session.run(y, {{x, std::vector<float>(n)}});
    return ledger.plan_misses() - before;
  };
  CHECK((misses(1) == 1 && misses(2) == 1 && misses(1) == 0));
  CHECK(misses(3) == 1);  // the plan for 2 goes, not the older one for 1
  CHECK((misses(1) == 0 && misses(2) == 1));
  CHECK(session.num_plans() == 2);
}

// ---- Feeds ----

TEST_CASE("A feed's key is a Tensor, a Variable or a name, its value a concrete Tensor or a literal") {
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32, tf::unknown_shape, {.name = "x"});
  const tf::Variable v(1.f);
  const tf::Tensor y = x + v;
  tf::Session session;
  CHECK(session.run(y, {{x, 1.f}, {v, 2.f}}).item<float>() == 3);
  CHECK(session.run(y, {{"x:0", tf::tensor(5.f)}, {v, 2}}).item<float>() == 7);
  CHECK(printed(session.run(y, {{x, {1.f, 2.f}}, {v, 1.f}})) == "[2. 3.]");
  CHECK(printed(session.run(y, {{x, {{1, 2}, {3, 4}}}, {v, 1.f}})) == "[[2. 3.]\n [4. 5.]]");
  CHECK(printed(session.run(y, {{x, std::vector<std::vector<float>>{{1}, {2}}}, {v, 0.f}})) == "[[1.]\n [2.]]");
  const float c[] = {1, 2};
  CHECK(printed(session.run(y, {{x, c}, {v, 0.f}})) == "[1. 2.]");
  const std::vector<tf::Feed> feeds = {{x, 1.f}, {v, 2.f}};
  CHECK(session.run(y, feeds).item<float>() == 3);
}

TEST_CASE("Floating values round to the key's dtype, integers become floating and back only when exact") {
  FreshGraph fresh;
  const tf::Tensor f = tf::placeholder(tf::float32), d = tf::placeholder(tf::float64), i = tf::placeholder(tf::int32),
                   u = tf::placeholder(tf::uint8), l = tf::placeholder(tf::int64), b = tf::placeholder(tf::bool_);
  tf::Session session;
  CHECK(session.run(f + 0.f, {{f, std::vector<double>{0.1}}})[0].item<float>() == 0.1f);
  CHECK(session.run(d + 0., {{d, std::vector<float>{0.1f}}})[0].item<double>() == static_cast<double>(0.1f));
  CHECK(session.run(f + 0.f, {{f, 3}}).item<float>() == 3);
  CHECK(session.run(f + 0.f, {{f, tf::tensor(16777216)}}).item<float>() == 16777216.f);
  CHECK(session.run(i + 0, {{i, 3.f}}).item<int32_t>() == 3);
  CHECK(session.run(i + 0, {{i, tf::tensor(int64_t{7}, {.dtype = tf::int64})}}).item<int32_t>() == 7);
  CHECK(session.run(l + 0, {{l, -3.0}}).item<int64_t>() == -3);
  CHECK_ERROR(session.run(f + 0.f, {{f, tf::tensor(16777217)}}), InvalidArgument,
              "Cannot feed the int32 value 16777217 for Tensor 'Placeholder:0', which has dtype float32");
  CHECK_ERROR(session.run(i + 0, {{i, 0.5}}), InvalidArgument, "Cannot feed the float32 value 0.5");
  CHECK_ERROR(session.run(i + 0, {{i, tf::tensor(int64_t{1} << 40)}}), InvalidArgument,
              "Cannot feed the int64 value 1099511627776");
  CHECK_ERROR(session.run(i + 0, {{i, 1e30}}), InvalidArgument, "Cannot feed");
  CHECK_ERROR(session.run(u + 0, {{u, 300}}), InvalidArgument, "300");
  CHECK_ERROR(session.run(u + 0, {{u, tf::tensor(-1)}}), InvalidArgument, "Cannot feed the int32 value -1");
  CHECK_ERROR(session.run(b, {{b, 1}}), InvalidArgument, "bool");
}

TEST_CASE("Feeding a Variable overrides its reads in that run") {
  FreshGraph fresh;
  const tf::Variable v({1.f, 2.f});
  const tf::Tensor y = v * 2.f;
  tf::Session session;
  CHECK(printed(session.run(y, {{v, {10.f, 20.f}}})) == "[20. 40.]");  // no value needed
  session.run(tf::global_variables_initializer());
  CHECK(printed(session.run(y, {{v, {10.f, 20.f}}})) == "[20. 40.]");
  CHECK(printed(session.run(v, {{v, {10.f, 20.f}}})) == "[10. 20.]");
  CHECK(printed(session.run({y, v}, {{y, {5.f, 5.f}}, {v, {10, 20}}})[1]) == "[10. 20.]");
  CHECK(printed(session.make_callable({tf::Fetch(v)}, {y, v})({5.f, 5.f}, {7.f, 8.f})[0]) == "[7. 8.]");
  CHECK(printed(session.run(y)) == "[2. 4.]");
  CHECK(printed(session.run(v)) == "[1. 2.]");
}

TEST_CASE("User memory is aliased only during the call") {
  FreshGraph fresh;
  std::vector<float> memory(4096, 1.f);
  const tf::Tensor x = tf::placeholder(tf::float32);
  const tf::Variable kept(tf::zeros({4096}));
  const tf::Tensor store = kept.assign(x), view = tf::reshape(x, {64, 64}), part = x[7];
  tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto got = session.run({x, store, view, part}, {{x, memory}});
  const tf::Tensor called = session.make_callable(tf::identity(x), {x})(memory);
  std::fill(memory.begin(), memory.end(), 9.f);
  CHECK(got[0][0].item<float>() == 1);
  CHECK(got[1][4095].item<float>() == 1);
  CHECK(got[2][63][63].item<float>() == 1);
  CHECK(got[3].item<float>() == 1);
  CHECK(called[4095].item<float>() == 1);
  CHECK(session.run(kept)[4095].item<float>() == 1);
}
