// Graphs of a million nodes are built, planned, run and destroyed without recursion, on a stack of 256 KiB.
#include <pthread.h>

#include <functional>
#include <string>
#include <vector>

#include "catch.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Shape;

namespace {

#ifdef TWOFOLD_SANITIZED  // under which a frame is no smaller, so that these overflow such a stack as surely
constexpr int kMany = 100000;
#else
constexpr int kMany = 1000000;
#endif

/// Runs `f` on a thread whose stack one frame a node would overflow at once.
void on_small_stack(std::function<void()> f) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 256 * 1024) == 0);
  pthread_t thread;
  REQUIRE(pthread_create(
              &thread, &attributes,
              [](void* p) -> void* { return (*static_cast<std::function<void()>*>(p))(), nullptr; }, &f) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("A chain of a million nodes") {
  int64_t nodes = 0, calls = 0, plans = 0;
  float result = 0;
  std::string last;
  on_small_stack([&] {
    FreshGraph fresh;
    const tf::Tensor x = tf::placeholder(tf::float32, {});
    const tf::Tensor one = tf::constant(1.f);
    tf::Tensor y = x;
    for (int i = 0; i < kMany; ++i) y = y + one;
    nodes = fresh.graph.num_operations();
    last = y.name();
    const tf::Session session({.optimize = false});
    tf::Ledger ledger;
    {
      const auto recording = ledger.record();
      result = session.run(y, {{x, 5.f}}).item<float>();
    }
    calls = ledger.ops().at("Add").calls;
    plans = session.num_plans();
  });
  CHECK(nodes == kMany + 2);
  CHECK(last == "add_" + std::to_string(kMany - 1) + ":0");
  CHECK(calls == kMany);  // each node once
  CHECK(plans == 1);
  CHECK(result == kMany + 5);
}

TEST_CASE("A million nodes side by side, and a chain of control dependencies") {
  int64_t nodes = 0;
  int32_t result = 0;
  on_small_stack([&] {
    FreshGraph fresh;
    const tf::Variable v(0);
    const tf::Tensor one = tf::constant(1);
    std::vector<tf::Fetch> all;
    for (int i = 0; i < kMany / 2; ++i) all.emplace_back(-one);
    const tf::Operation wide = tf::group(all);
    tf::Tensor last = v.assign_add(1);
    for (int i = 0; i < 1000; ++i) {
      const auto after = tf::control_dependencies({last});
      last = v.assign_add(1);
    }
    nodes = fresh.graph.num_operations();
    const tf::Session session;
    session.run(v.initializer());
    session.run(wide);
    result = session.run(last).item<int32_t>();
  });
  CHECK(nodes > kMany / 2);
  CHECK(result == 1001);
}

TEST_CASE("The gradient of a long chain") {
  float gradient = 0, eager_gradient = 0;
  constexpr int kLength = 100000;
  on_small_stack([&] {
    FreshGraph fresh;
    const tf::Tensor x = tf::placeholder(tf::float32, {});
    tf::Tensor y = x;
    for (int i = 0; i < kLength; ++i) y = y + x;
    const tf::Tensor dx = tf::gradients(y, {x})[0];
    gradient = tf::Session().run(dx, {{x, 1.f}}).item<float>();
    const tf::EagerMode eager;
    const tf::Tensor value = tf::tensor(1.f);
    tf::GradientTape tape;
    tape.watch(value);
    tf::Tensor z = value;
    for (int i = 0; i < kLength; ++i) z = z + value;
    eager_gradient = tape.gradient(z, value).item<float>();
  });
  CHECK(gradient == kLength + 1);
  CHECK(eager_gradient == kLength + 1);
}

TEST_CASE("A view of a view, a million times") {
  const float* first = nullptr;
  const float* last = nullptr;
  on_small_stack([&] {
    tf::Tensor t = tf::tensor(std::vector<float>(64, 1.f));
    first = t.data<float>().data();
    for (int i = 0; i < kMany; ++i) t = tf::reshape(t, i % 2 ? Shape{64} : Shape{8, 8});
    last = t.data<float>().data();
  });
  CHECK(first == last);
}
