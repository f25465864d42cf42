// What random programs have found, as small as it became.
#include <algorithm>
#include <iostream>
#include <latch>
#include <list>
#include <optional>
#include <sstream>
#include <thread>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/twofold.h>

#include "catch.h"

namespace tf = twofold;

namespace {

float number(const tf::Tensor& t) { return t.item<float>(); }

/// What `f` writes to standard output.
template <class F>
std::string printed(F&& f) {
  std::ostringstream text;
  auto* outer = std::cout.rdbuf(text.rdbuf());
  f();
  std::cout.rdbuf(outer);
  return text.str();
}

}  // namespace

TEST_CASE("No gradient flows through a variable's state, in either mode") {
  const auto program = [](const tf::Tensor& x) {
    tf::Variable v(1.f);
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor assigned = v.assign(x), added = v.assign_add(x), y = v.read() * 2.f;
    return std::array{tape.gradient(y, x), tape.gradient(assigned, x), tape.gradient(added, x), tape.gradient(added, v),
                      tape.gradient(y, v)};
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto symbols = program(tf::constant(3.f));
  const auto values = tf::eagerly([&] { return program(tf::constant(3.f)); });
  for (size_t i = 0; i < 4; ++i) {
    CHECK_FALSE(symbols[i].defined());
    CHECK_FALSE(values[i].defined());
  }
  CHECK(number(values[4]) == 2);
  CHECK(symbols[4].defined());
}

TEST_CASE("with_effects and print give a tensor of its own, in either mode") {
  const auto program = [](const tf::Tensor& x) {
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor tied = tf::with_effects(x, {}), shown = tf::print(x), y = x * 2.f + tied * 3.f + shown * 5.f;
    return std::array{tape.gradient(y, x), tape.gradient(y, tied), tape.gradient(y, shown)};
  };
  std::array<tf::Tensor, 3> values, fetched;
  printed([&] { values = tf::eagerly([&] { return program(tf::constant(1.f)); }); });
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto symbols = program(tf::constant(1.f));
  printed([&] { fetched = tf::Session(graph).run(symbols); });
  const float expected[] = {10, 3, 5};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(number(values[i]) == expected[i]);
    CHECK(number(fetched[i]) == expected[i]);
  }
}

TEST_CASE("Printing a value is done at once in every mode") {
  CHECK(printed([] { tf::print(tf::tensor(3), "x = "); }) == "x = 3\n");
  CHECK(printed([] { tf::eagerly([] { return tf::print(tf::tensor(3), "x = "); }); }) == "x = 3\n");
}

TEST_CASE("A kernel's scratch memory is not an intermediate value's") {
  std::vector<double> elements(7 * 16 * 7);
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<double>(i % 13);
  const auto program = [&] {
    const tf::Tensor x = tf::constant(elements, {7, 16, 7}), ones = tf::ones({16}, tf::float64);
    return tf::batch_norm(tf::silu(x), ones, ones).y;
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Tensor deferred = tf::Session(graph, {.optimize = false}).run(program());
  const tf::Tensor eager = tf::eagerly(program);
  CHECK(std::ranges::equal(deferred.data<double>(), eager.data<double>()));
}

TEST_CASE("A gradient of unknown shape depends on what its like gives it in no other way than by its shape") {
  const auto program = [](const tf::Tensor& x) {
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor dy = tape.gradient(tf::reshape(x, {1, 2}), x);
    return std::pair(dy, tape.gradient(dy, dy));
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto [dy, none] = program(tf::placeholder(tf::float32, {-1, 2}));
  CHECK(dy.defined());
  CHECK_FALSE(none.defined());
  CHECK_FALSE(tf::eagerly([&] { return program(tf::constant({1.f, 2.f})).second; }).defined());
}

TEST_CASE("An empty list of a type keeps that type") {
  CHECK(tf::tensor(std::vector<bool>{}).dtype() == tf::bool_);
  CHECK(tf::tensor(std::list<int64_t>{}).dtype() == tf::int64);
}

TEST_CASE("Shapes known or not, the gradient of a matrix product is the same to the bit") {
  std::vector<float> a(3 * 4 * 2), b(2 * 5);
  for (size_t i = 0; i < a.size(); ++i) a[i] = 1 / (static_cast<float>(i) + 3);
  for (size_t i = 0; i < b.size(); ++i) b[i] = 1 / (static_cast<float>(i) - 7.3f);
  const auto program = [](const tf::Tensor& x, const tf::Tensor& y) {
    return std::array{
        tf::gradients(tf::sum(tf::square(tf::matmul(x, y))), {y})[0],
        tf::gradients(tf::sum(tf::square(tf::matmul(x, tf::transpose(y), {.transpose_b = true}))), {y})[0]};
  };
  const tf::Tensor av = tf::tensor(a, {3, 4, 2}), bv = tf::tensor(b, {2, 5});
  const tf::Graph known_graph;
  std::array<tf::Tensor, 2> known;
  {
    const auto scope = known_graph.as_default();
    known =
        tf::Session(known_graph, {.optimize = false}).run(program(tf::constant(a, {3, 4, 2}), tf::constant(b, {2, 5})));
  }
  const tf::Shape shapes[][2] = {{{3, -1, -1}, {-1, -1}},
                                 {{-1, 4, 2}, {2, 5}},
                                 {tf::unknown_shape, tf::unknown_shape},
                                 {{3, 4, 2}, tf::unknown_shape},
                                 {tf::unknown_shape, {2, 5}}};
  for (const auto& shape : shapes) {
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const tf::Tensor x = tf::placeholder(tf::float32, shape[0]), y = tf::placeholder(tf::float32, shape[1]);
    const auto unknown = tf::Session(graph, {.optimize = false}).run(program(x, y), {{x, av}, {y, bv}});
    for (size_t i = 0; i < 2; ++i) CHECK(std::ranges::equal(known[i].data<float>(), unknown[i].data<float>()));
  }
}

TEST_CASE("A tensor like another is one of its own, whether their shapes are known or not") {
  const auto program = [](const tf::Tensor& x) {
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor all[] = {tf::reshape_like(x, x), tf::broadcast_like(x, x), tf::sum_to_like(x, x)};
    std::vector<tf::Tensor> found;
    for (const tf::Tensor& y : all) {
      CHECK_FALSE(y.same_as(x));
      found.push_back(tape.gradient(x * 2.f, y));
      found.push_back(tape.gradient(y * 2.f, y));
      const tf::Tensor dx = tf::gradients({y}, {x}, {x})[0];
      found.push_back(tape.gradient(x, dx));
      found.push_back(tape.gradient(dx, dx));
    }
    return found;
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto unknown = program(tf::placeholder(tf::float32, {-1})), known = program(tf::constant({1.f, 2.f})),
             values = tf::eagerly([&] {
               return program(tf::constant({1.f, 2.f}));
             });
  for (size_t i = 0; i < values.size(); ++i) {
    const bool by_itself = i % 2 == 1;
    CHECK(values[i].defined() == by_itself);
    CHECK(known[i].defined() == by_itself);
    CHECK(unknown[i].defined() == by_itself);
  }
}

TEST_CASE("Results of control flow are watched, whichever branch was taken") {
  const auto program = [](const tf::Tensor& x, const tf::Tensor& yes) {
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    const tf::Tensor y = tf::cond(
                         yes, [] { return tf::constant(5.f); }, [&] { return x * 2.f; }),
                     z = y * 3.f;
    return std::array{tape.gradient(y, y), tape.gradient(z, y)};
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto fetched = tf::Session(graph).run(program(tf::constant(1.f), tf::constant(true)));
  const auto values = tf::eagerly([&] { return program(tf::constant(1.f), tf::constant(true)); });
  for (const auto& found : {fetched, values}) {
    CHECK(number(found[0]) == 1);
    CHECK(number(found[1]) == 3);
  }
}

TEST_CASE("A value assigned to a variable goes to that variable's graph") {
  const tf::Graph graph, other;
  std::optional<tf::Variable> v;
  {
    const auto scope = graph.as_default();
    v.emplace(1.f);
  }
  const auto scope = other.as_default();
  const tf::Tensor three = v->assign(3.f), five = v->assign_add(tf::tensor(2.f));
  tf::Session session(graph);
  CHECK(number(session.run(three)) == 3);
  CHECK(number(session.run(five)) == 5);
}

TEST_CASE("Threads that update one eager variable lose nothing") {
  const tf::EagerMode eager;
  const tf::Variable v(0);
  constexpr int kThreads = 4, kUpdates = 20000;
  std::latch start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const tf::EagerMode here;
      start.arrive_and_wait();
      for (int i = 0; i < kUpdates; ++i) v.assign_add(1);
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(v.item<int32_t>() == kThreads * kUpdates);
}

TEST_CASE("A batch of unknown rank may be a vector, which stays one") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Tensor x = tf::placeholder(tf::float32), like = tf::constant({{1.f}});
  const tf::Tensor y = tf::apply(*tf::find_op("FlattenBatch"), {&x, &like}, std::source_location::current());
  CHECK_FALSE(y.shape().has_rank());
  CHECK(tf::Session(graph).run(y, {{x, {1.f, 2.f}}}).shape() == tf::Shape{2});
}

TEST_CASE("No dependency flows through integers, in either mode") {
  const auto program = [] {
    tf::Variable w(1);
    tf::GradientTape tape({.persistent = true});
    const tf::Tensor start = tf::constant(3);
    const auto [n, s] = tf::while_loop([](tf::Tensor i, tf::Tensor) { return i < 0; },
                                       [&](tf::Tensor i, tf::Tensor) {
                                         return std::tuple{i + 1, w.read() + 0};
                                       },
                                       std::tuple{tf::constant(0), start});
    const tf::Tensor from_start = tf::cast(start, tf::float32), from_loop = tf::cast(s, tf::float32),
                     from_variable = tf::cast(w, tf::float32);
    return std::array{tape.gradient(from_start, from_start), tape.gradient(from_loop, from_loop),
                      tape.gradient(from_variable, from_variable)};
  };
  const tf::Graph graph;
  const auto scope = graph.as_default();
  for (const tf::Tensor& t : program()) CHECK_FALSE(t.defined());
  for (const tf::Tensor& t : tf::eagerly(program)) CHECK_FALSE(t.defined());
}

TEST_CASE("What has its shape only when it runs is taken to a device") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::Tensor x = tf::placeholder(tf::float32, tf::unknown_shape);
  const auto [n, grown] = tf::while_loop([](const tf::Tensor& i, const tf::Tensor&) { return i < 2; },
                                         [](const tf::Tensor& i, const tf::Tensor& s) {
                                           return std::tuple{i + 1, tf::concat({s, s}, 0)};
                                         },
                                         std::tuple{tf::constant(0), x});
  const tf::Tensor y = grown.to("/cpu:0") + 1.f;
  for (const bool optimize : {false, true}) {
    const tf::Tensor got = tf::Session({.optimize = optimize}).run(y, {{x, {1.f, 2.f}}});
    CHECK(got.num_elements() == 8);
    CHECK(number(got[7]) == 3);
  }
}
