// gradients and tape.gradient take one tensor or variable, or any range of them.
#include <array>
#include <list>
#include <span>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
namespace nn = twofold::nn;
using tf::Tensor;

namespace {

/// Calls `f(variable w = 3, tensor x = 2)` eager under a tape, and deferred; what `f` returns, a vector of tensors, has
/// these values.
template <class F>
void check_values(const std::vector<float>& right, F f) {
  const auto values = [&](const std::vector<Tensor>& found) {
    std::vector<float> all;
    for (const Tensor& t : found) all.push_back(t.item<float>());
    return all;
  };
  tf::eagerly([&] {
    const tf::Variable w(3.f);
    const Tensor x = tf::constant(2.f);
    tf::GradientTape tape({.persistent = true});
    tape.watch(x);
    CHECK(values(f(tape, w, x)) == right);
  });
  FreshGraph fresh;
  const tf::Variable w(3.f);
  const Tensor x = tf::constant(2.f);
  tf::GradientTape tape({.persistent = true});
  tape.watch(x);
  const std::vector<Tensor> found = f(tape, w, x);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  CHECK(values(session.run(found)) == right);
}

}  // namespace

TEST_CASE("One tensor or variable, as it is") {
  // y = w x x: dy/dw = x x = 4, dy/dx = 2 w x = 12.
  check_values({4, 12, 4, 12, 1}, [](tf::GradientTape& tape, const tf::Variable& w, const Tensor& x) {
    const Tensor y = w * x * x;
    return std::vector{tf::gradients(y, w)[0], tf::gradients(y, x)[0], tape.gradient(y, w), tape.gradient(y, x),
                       tape.gradient(w, w)};
  });
}

TEST_CASE("Any range of tensors or variables") {
  // y = w x x and z = w: d(y + z)/dw = x x + 1 = 5, d(y + z)/dx = 2 w x = 12; along 10 and 100: 10 x x + 100 = 140.
  check_values({5, 12, 5, 12, 5, 12, 4, 12, 4, 140, 5, 12},
               [](tf::GradientTape& tape, const tf::Variable& w, const Tensor& x) {
                 const Tensor y = w * x * x, z = w.read();
                 std::vector<Tensor> all;
                 const auto take = [&](const std::vector<Tensor>& found) {
                   REQUIRE(!found.empty());
                   all.insert(all.end(), found.begin(), found.end());
                 };
                 take(tf::gradients({y, z}, {w, x}));
                 const std::vector ys{y, z};
                 const std::array<tf::Differentiable, 2> xs{w, x};
                 take(tf::gradients(ys, xs));
                 take(tf::gradients(std::span<const Tensor>(ys), std::span(xs)));
                 take(tf::gradients(std::array{y}, std::list<tf::Differentiable>{w, x}));
                 take(tape.gradient(ys.front(), std::vector{w}));
                 take(tf::gradients(ys, std::vector{w}, std::array{y * 0.f + 10.f, z * 0.f + 100.f}));
                 take(tape.gradient(ys, {w, x}));
                 return all;
               });
}

TEST_CASE("A Variable among what is differentiated is read") {
  check_values({1, 2}, [](tf::GradientTape& tape, const tf::Variable& w, const Tensor& x) {
    return std::vector{tf::gradients(std::vector{w}, w)[0], tape.gradient({w, w * x * 0.5f}, w)};
  });
}

TEST_CASE("A net's parameters and the graph's trainable variables") {
  // sum(x weight^T + bias) of x (1, 2): by the weight x in each row, by the bias 1.
  const auto program = [](const auto& value_of) {
    const nn::Linear net(2, 3);
    tf::GradientTape tape({.persistent = true});
    const Tensor x = tf::constant({{5.f, 7.f}}), y = tf::sum(net(x));
    for (const auto& d : {tf::gradients(y, net.parameters()), tape.gradient(y, net.parameters())}) {
      REQUIRE(d.size() == 2);
      CHECK(printed(value_of(d[0])) == "[[5. 7.]\n [5. 7.]\n [5. 7.]]");
      CHECK(printed(value_of(d[1])) == "[1. 1. 1.]");
    }
    return y;
  };
  tf::eagerly([&] { program([](const Tensor& t) { return t; }); });
  FreshGraph fresh;
  tf::Session session;
  const Tensor y = program([&](const Tensor& t) { return session.run(t); });
  const auto d = tf::gradients(y, tf::trainable_variables());
  REQUIRE(d.size() == 2);
  CHECK(printed(session.run(d[1])) == "[1. 1. 1.]");
}

TEST_CASE("Nothing to differentiate by gives nothing, nothing to differentiate gives None") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {});
  CHECK(tf::gradients(x, {}).empty());
  CHECK(tf::gradients(x, std::vector<Tensor>()).empty());
  const auto none = tf::gradients(std::vector<Tensor>(), x);
  REQUIRE(none.size() == 1);
  CHECK(!none[0].defined());
}
