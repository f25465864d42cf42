// tf::function: a C++ function of tensors as a graph.
#include <functional>
#include <map>
#include <thread>
#include <tuple>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace tf = twofold;
using namespace training;

TEST_CASE("A function is traced once for each signature", "[function]") {
  in_each_mode([](tf::Session& session) {
    int traced = 0;
    auto f = tf::function(session, [&](Tensor x) { return ++traced, x * 2.f + 1.f; });
    CHECK(number(f(3.f)) == 7);
    CHECK(number(f(4.f)) == 9);
    CHECK(traced == 1);
    CHECK(tf::to_string(f(tf::tensor({1.f, 2.f}))) == "[3. 5.]");
    CHECK(tf::to_string(f(tf::tensor({1.f, 2.f, 3.f}))) == "[3. 5. 7.]");
    CHECK(traced == 2);
    CHECK(f.traces().size() == 2);
  });
}

TEST_CASE("A function reads and writes variables where they are", "[function]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(2.f);
    session.run(tf::global_variables_initializer());
    auto f = tf::function(session, [&](Tensor x) {
      const Tensor y = w * x;
      w.assign_add(1.f);
      return y;
    });
    CHECK(number(f(3.f)) == 6);
    CHECK(number(f(3.f)) == 9);
    if (tf::executing_eagerly()) {
      CHECK(number(w) == 4);
      w.assign(10.f);
      CHECK(number(f(1.f)) == 10);
      CHECK(number(w) == 11);
    } else {
      CHECK(number(session.run(w)) == 4);
    }
  });
}

TEST_CASE("A function is called with symbols", "[function]") {
  FreshGraph fresh;
  tf::Session session;
  tf::Variable w(2.f);
  session.run(tf::global_variables_initializer());
  auto f = tf::function(session, [&](Tensor x) { return w * x * x; });
  const Tensor x = tf::placeholder(tf::float32, tf::Shape{});
  const Tensor y = f(x) + f(2.f * x);
  CHECK(number(session.run(y, {{x, 3.f}})) == 18 + 72);
  const auto dx = tf::gradients(y, {x});
  CHECK(number(session.run(dx[0], {{x, 3.f}})) == 2 * 2 * 3 + 2 * 2 * 6 * 2);
  const auto dw = tf::gradients(y, {w});
  CHECK(number(session.run(dw[0], {{x, 3.f}})) == 9 + 36);
  const auto ddx = tf::gradients(dx[0], {x});
  CHECK(number(session.run(ddx[0], {{x, 3.f}})) == 4 + 16);
}

TEST_CASE("A tape sees through the call of a function", "[function]") {
  tf::EagerMode eager;
  tf::Variable w(2.f);
  auto f = tf::function([&](Tensor x) { return w * x * x * x; });
  const Tensor x = tf::tensor(3.f);
  tf::GradientTape outer;
  outer.watch(x);
  tf::GradientTape tape({.persistent = true});
  tape.watch(x);
  const Tensor y = f(x);
  CHECK(number(y) == 54);
  const Tensor dx = tape.gradient(y, {x})[0];
  CHECK(number(dx) == 54);
  CHECK(number(tape.gradient(y, {w})[0]) == 27);
  CHECK(number(outer.gradient(dx, {x})[0]) == 36);
}

TEST_CASE("A tape that watches a constant of a function says so", "[function]") {
  tf::EagerMode eager;
  const Tensor w = tf::tensor(2.f), x = tf::tensor(3.f), scale = tf::tensor(4.f);
  auto f = tf::function([&](Tensor x) { return w * x * scale; });
  CHECK(number(f(x)) == 24);
  tf::GradientTape tape;
  tape.watch(x);
  CHECK(number(f(x)) == 24);  // neither w nor scale is watched
  tape.watch(w);
  CHECK_ERROR(f(x), FailedPrecondition, "f(x, w)");
  const Tensor later = w * 2.f;
  auto g = tf::function([&](Tensor x) { return later * x; });
  CHECK_ERROR(g(x), FailedPrecondition, "a constant of the graph");
}

TEST_CASE("A function takes and returns nests", "[function]") {
  in_each_mode([](tf::Session& session) {
    auto f = tf::function(session, [](const std::map<std::string, Tensor>& in, std::tuple<Tensor, Tensor> pair) {
      const auto& [a, b] = pair;
      return std::map<std::string, Tensor>{{"sum", in.at("x") + a}, {"product", in.at("y") * b}};
    });
    const auto out = f(std::map<std::string, Tensor>{{"x", tf::tensor(1.f)}, {"y", tf::tensor(2.f)}},
                       std::tuple{tf::tensor(3.f), tf::tensor(4.f)});
    CHECK(number(out.at("sum")) == 4);
    CHECK(number(out.at("product")) == 8);
    auto g = tf::function(session, [](Tensor a, Tensor b) { return a + b; });
    CHECK(tf::to_string(g({1.f, 2.f}, {3.f, 4.f})) == "[4. 6.]");
    auto none = tf::function(session, [] { return tf::constant(5.f) * 2.f; });
    CHECK(number(none()) == 10);
  });
}

TEST_CASE("Random ops in a function draw as eager code does", "[function]") {
  std::vector<std::vector<std::string>> drawn;
  in_each_mode([&](tf::Session& session) {
    drawn.emplace_back();
    tf::set_random_seed(7);
    auto f = tf::function(session, [](Tensor x) { return x + tf::random_normal({3}); });
    for (int i = 0; i < 3; ++i) drawn.back().push_back(tf::to_string(f(0.f)));
  });
  for (const auto& each : drawn) CHECK(each == drawn[0]);
  CHECK(drawn[0][0] != drawn[0][1]);
}

TEST_CASE("A function that is made in one mode is called in the other", "[function]") {
  tf::EagerMode eager;
  tf::Variable w(2.f);
  auto f = tf::function([&](Tensor x) { return w.assign_add(x) * 2.f; });
  CHECK(number(f(1.f)) == 6);
  tf::deferred([&] {
    FreshGraph fresh;
    CHECK(number(f(1.f)) == 8);
    const Tensor x = tf::placeholder(tf::float32, tf::Shape{});
    const Tensor y = f(x);
    for (const bool optimize : {true, false}) {
      const tf::Session session({.optimize = optimize});
      CHECK(number(session.run(y, {{x, 1.f}})) == (optimize ? 10 : 12));
    }
  });
  CHECK(number(w) == 6);
}

TEST_CASE("What a function captured, and why it was traced", "[function]") {
  in_each_mode([](tf::Session& session) {
    const Tensor table = tf::tensor({1.f, 2.f});
    tf::Variable w(3.f);
    session.run(tf::global_variables_initializer());
    auto f = tf::function(session, [&](Tensor x) { return table * w + x; }, {.name = "affine"});
    f(1.f), f(tf::tensor({1.f, 2.f})), f(2.f);
    const auto traces = f.traces();
    REQUIRE(traces.size() == 2);
    CHECK(traces[0].signature == "float32 ()");
    CHECK(traces[0].reason == "the first call");
    CHECK(traces[0].called_from.line() == __LINE__ - 5);
    REQUIRE(traces[0].constants.size() == 1);
    CHECK(traces[0].constants[0].value.same_as(table));
    CHECK(traces[0].constants[0].where.line() == __LINE__ - 9);
    CHECK(traces[0].variables == std::vector<std::string>{"Variable"});
    CHECK(traces[1].signature == "float32 (?,)");
    CHECK(traces[1].reason == "arguments of other dtypes or ranks");
  });
}

TEST_CASE("check finds what a trace would bake in", "[function]") {
  in_each_mode([](tf::Session& session) {
    int calls = 0;
    auto f = tf::function(session, [&](Tensor x) { return x + static_cast<float>(++calls); }, {.check = true});
    CHECK_ERROR(f(1.f), FailedPrecondition, "Two traces of a function differ: the constant");
    Tensor table = tf::tensor({1.f, 2.f});
    auto g = tf::function(session, [&](Tensor x) { return x + table; }, {.check = true});
    CHECK(tf::to_string(g(1.f)) == "[2. 3.]");
    CHECK(tf::to_string(g(2.f)) == "[3. 4.]");
    table = tf::tensor({5.f, 2.f});
    CHECK_ERROR(g(1.f), FailedPrecondition, "Two traces of a function differ");
  });
}

TEST_CASE("Nothing is read on the host while a function is traced", "[function]") {
  in_each_mode([](tf::Session& session) {
    auto f = tf::function(session, [](Tensor x) { return x * x.item<float>(); });
    CHECK_ERROR(f(1.f), FailedPrecondition, "function_test.cc");
    auto g = tf::function(session, [](Tensor x) { return x > 0.f ? x : -x; });
    CHECK_ERROR(g(1.f), FailedPrecondition, "function_test.cc");
    auto h = tf::function(session, [](Tensor x) { return x * static_cast<float>(x.dim(0)); });
    CHECK_ERROR(h({1.f, 2.f}), FailedPrecondition, "function_test.cc");
    auto self = std::function<Tensor(Tensor)>();
    auto r = tf::function(session, [&](Tensor x) { return self(x); });
    self = [&](Tensor x) { return r(x); };
    CHECK_ERROR(r(1.f), FailedPrecondition, "own body");
  });
}

TEST_CASE("Functions, steps, branches and loops call each other", "[function]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(2.f);
    twofold::train::SGD opt({w}, {.lr = 1});
    session.run(tf::global_variables_initializer());
    auto square = tf::function(session, [&](Tensor x) { return w * x * x; });
    auto twice = tf::function(session, [&](Tensor x) {
      return square(x) + tf::cond(
                             x > 0.f, [&] { return square(2.f * x); }, [&] { return square(x); });
    });
    auto fit = tf::step(session, [&](Tensor x) {
      const auto [n, y] = tf::while_loop([](Tensor n, Tensor) { return n < 2; },
                                         [&](Tensor n, Tensor y) {
                                           return std::tuple{n + 1, y + twice(x)};
                                         },
                                         std::tuple{tf::constant(0), tf::constant(0.f)});
      opt.minimize(y);
      return y;
    });
    CHECK(number(twice(3.f)) == 2 * (9 + 36));
    CHECK(number(fit(3.f)) == 2 * 2 * (9 + 36));
    CHECK(number(square(1.f)) == 2 - 90);
    CHECK(number(twice(-1.f)) == -88 * 2);
  });
}

TEST_CASE("A call that fails leaves variables as they were", "[function]") {
  in_each_mode([](tf::Session& session) {
    tf::Variable w(2.f);
    session.run(tf::global_variables_initializer());
    auto f = tf::function(session, [&](Tensor x) {
      w.assign_add(1.f);
      tf::assert_that(x > 0.f, "positive");
      return w * x;
    });
    CHECK_ERROR(f(-1.f), InvalidArgument, "assertion failed: [positive]");
    CHECK(number(f(1.f)) == 3);
  });
}

TEST_CASE("Eager functions from several threads lose no update", "[function]") {
  tf::EagerMode eager;
  tf::Variable w(0.f);
  auto f = tf::function([&](Tensor x) { return w.assign_add(x); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      tf::EagerMode here;
      for (int i = 0; i < 200; ++i) t % 2 ? void(f(1.f)) : void(w.assign_add(1.f));
    });
  for (auto& t : threads) t.join();
  CHECK(number(w) == 800);
}
