// The default graph reset while guards that speak of it are alive.
#include <latch>
#include <optional>
#include <string>
#include <thread>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

constexpr const char* kNested = "Do not use tf.reset_default_graph() to clear nested graphs.";

// Nodes and scopes enough for their numbers to be none of an empty graph's.
void grow() {
  for (int i = 0; i < 200; ++i) {
    const auto scope = tf::name_scope("grown");
    tf::constant(1.f);
  }
}

}  // namespace

TEST_CASE("The default graph is not reset within a guard that speaks of it, and is after") {
  tf::reset_default_graph();
  grow();
  const std::string line = std::string(__FILE__) + ":" + std::to_string(__LINE__ + 3);
  {
    const auto scope = tf::name_scope("outer");
    CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, line);
    const auto inner = tf::name_scope("inner");
    CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, kNested);
    CHECK(tf::constant(1.f).name() == "outer/inner/Const:0");
  }
  {
    const tf::Operation op = tf::no_op();
    const auto after = tf::control_dependencies({op});
    CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, kNested);
    const auto cleared = tf::control_dependencies({});
    CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, kNested);
  }
  {
    const FreshGraph fresh;
    CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, kNested);
    const auto scope = tf::name_scope("outer");
    CHECK_ERROR((tf::reset_default_graph(), 0), FailedPrecondition, kNested);
  }
  CHECK_ERROR(tf::NameScope("no name!"), InvalidArgument, "is not a valid scope name");
  CHECK_ERROR(tf::ControlDependencies(std::vector<tf::Fetch>{"nobody"}), NotFound, "nobody");
  tf::reset_default_graph();
  CHECK(tf::get_default_graph().num_operations() == 0);
  CHECK(tf::constant(1.f).name() == "Const:0");
  const auto on = tf::device("/cpu:0");  // speaks of no graph
  tf::reset_default_graph();
  CHECK(tf::constant(1.f).device() == "/cpu:0");
  tf::EagerMode eager;  // what is eager has none
  const auto scope = tf::name_scope("eager");
  tf::reset_default_graph();
}

TEST_CASE("In a branch, a loop or a step the default graph is not reset") {
  tf::reset_default_graph();
  const Tensor p = tf::placeholder(tf::bool_, {});
  const auto resets = [] { return tf::reset_default_graph(), tf::constant(1.f); };
  CHECK_ERROR(tf::cond(p, resets, [] { return 2.f; }), FailedPrecondition, kNested);
  auto step = tf::step([&](Tensor x) { return tf::reset_default_graph(), x; });
  CHECK_ERROR(step(1.f), FailedPrecondition, kNested);
  tf::reset_default_graph();
}

TEST_CASE("Another thread's guards go on in the graph that they were made in") {
  tf::reset_default_graph();
  grow();
  std::latch made(1), reset(1);
  std::string scoped, tied;
  float value = 0;
  std::thread other([&] {
    const Tensor first = tf::constant(2.f);
    const auto scope = tf::name_scope("mine");
    const auto after = tf::control_dependencies({first});
    made.count_down();
    reset.wait();
    const Tensor y = first * 3.f;
    scoped = y.name();
    value = tf::Session().run(y).item<float>();
  });
  made.wait();
  tf::reset_default_graph();
  const Tensor here = tf::constant(1.f);
  reset.count_down();
  other.join();
  CHECK(scoped == "mine/mul:0");
  CHECK(value == 6);
  CHECK(here.name() == "Const:0");
  CHECK(tf::get_default_graph().num_operations() == 1);
  tf::reset_default_graph();
}

TEST_CASE("A tape made before the default graph was reset sees all of the new one") {
  for (int round = 0; round < 8; ++round) {  // graphs are made where others were
    tf::reset_default_graph();
    grow();
    std::optional<tf::GradientTape> tape;
    tape.emplace();
    tf::reset_default_graph();
    const Tensor x = tf::placeholder(tf::float32, {});
    tape->watch(x);
    const Tensor dx = tape->gradient(x * x, x);
    REQUIRE(dx.defined());
    CHECK(tf::Session().run(dx, {{x, 3.f}}).item<float>() == 6);
  }
  tf::reset_default_graph();
}
