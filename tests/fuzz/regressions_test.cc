// What random programs have found, as small as it became.
#include <list>
#include <sstream>

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
