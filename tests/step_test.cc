// What steps do to variables, and what happens to tensors that their bodies capture.
#include <array>
#include <string>
#include <tuple>
#include <utility>
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

// ----------------------------------------------------------------------------------------------------------- variables

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

// ------------------------------------------------------------------------------------------------- what bodies capture

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
                                           [&](const Tensor& n, const Tensor& s) {
                                             return std::pair{n + 1, s + y};
                                           },
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
