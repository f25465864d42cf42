// What an observer may do while it is called, and in which order observing may end.
#include "catch.h"
#include "errors.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <twofold/lib/op/observed_thread.h>
#include <twofold/twofold.h>

namespace tf = twofold;
using tf::Tensor;

namespace {

class Calling : public tf::Observer {
 public:
  explicit Calling(std::function<void(const tf::Observation&)> f = nullptr) : f_(std::move(f)) {}
  void observe(const tf::Observation& op) override {
    seen.emplace_back(op.identity.op);
    executions.push_back(op.identity.execution);
    if (f_) f_(op);
  }
  std::vector<std::string> seen;
  std::vector<uint64_t> executions;

 private:
  std::function<void(const tf::Observation&)> f_;
};

// `program` in a mode, on a graph of its own, of the same seed.
void in_mode(bool eager, const std::function<void()>& program) {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const auto run = [&] {
    tf::set_random_seed(3);
    program();
  };
  eager ? tf::eagerly(run) : tf::deferred(run);
}

float number(const Tensor& t) { return t.item<float>(); }

}  // namespace

TEST_CASE("observer: it cannot run, set or close the session whose run it observes") {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const tf::Variable w(1.f);
  const Tensor x = tf::placeholder(tf::float32, {});
  const Tensor read = w * x, pure = x * x + 1.f, draw = tf::random_uniform({}) + x;
  const Tensor added = w.assign_add(x), five = w.assign(5.f);
  tf::Session session;
  session.run(tf::global_variables_initializer());
  auto call = session.make_callable(read, {x});
  auto step = tf::step(session, [&](Tensor y) { return y * w; });
  step(1.f);
  const char* const words = "the session whose run it observes";
  const std::map<std::string, std::function<void()>> uses = {
      {"reads", [&] { session.run(w); }},
      {"runs",
       [&] {
         session.run(read, {{x, 1.f}});
       }},
      {"assigns", [&] { session.run(five); }},
      {"draws",
       [&] {
         session.run(draw, {{x, 1.f}});
       }},
      {"calls", [&] { call(1.f); }},
      {"steps", [&] { tf::deferred([&] { step(1.f); }); }},
      {"evaluates", [&] { tf::deferred([&] { step.evaluate(w); }); }},
      {"sets",
       [&] {
         session.set({{w, tf::tensor(4.f)}});
       }},
      {"reads all",
       [&] { tf::deferred([&] {
               tf::read_state(session, std::map<std::string, tf::Variable>{{"w", w}});
             }); }},
      {"asks", [&] { tf::deferred([&] { tf::is_variable_initialized(session, w); }); }},
      {"closes", [&] { session.close(); }},
  };
  for (const Tensor& fetched : {read, added, pure, draw}) {
    for (const auto& [what, use] : uses) {
      INFO(what << " in " << fetched.name());
      int tried = 0;
      Calling observer([&](const tf::Observation&) {
        ++tried;
        CHECK_ERROR(use(), FailedPrecondition, words);
      });
      session.set({{w, tf::tensor(1.f)}});
      const tf::Observing observing(observer);
      session.run(fetched, {{x, 2.f}});
      CHECK(tried > 0);
    }
  }
  // What it throws ends the run, whose locks are not left behind.
  Calling observer([&](const tf::Observation&) { session.run(w); });
  session.set({{w, tf::tensor(1.f)}});
  {
    const tf::Observing observing(observer);
    CHECK_ERROR(session.run(added, {{x, 2.f}}), FailedPrecondition, words);
  }
  CHECK(number(session.run(w)) == 1.f);
  CHECK(number(session.run(added, {{x, 2.f}})) == 3.f);
}

TEST_CASE("observer: a graph without state, another session and eager code run in it") {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const tf::Variable w(1.f);
  const Tensor x = tf::placeholder(tf::float32, {});
  const Tensor read = w * x, pure = x * x + 1.f;
  const tf::Session session, other;
  session.run(tf::global_variables_initializer());
  other.run(tf::global_variables_initializer());
  auto call = session.make_callable(pure, {x});
  std::vector<float> values;
  Calling observer([&](const tf::Observation& op) {
    values.push_back(number(session.run(pure, {{x, 3.f}})));
    values.push_back(number(call(2.f)));
    values.push_back(number(other.run(read, {{x, 7.f}})));
    values.push_back(number(op.outputs[0] * 2.f));
    // Of the other session's runs it is told, and may not use either then.
    Calling both([&](const tf::Observation&) {
      CHECK_ERROR(session.run(read, {{x, 1.f}}), FailedPrecondition, "whose run it observes");
      CHECK_ERROR(other.run(read, {{x, 1.f}}), FailedPrecondition, "whose run it observes");
    });
    const tf::Observing observing(both);
    other.run(read, {{x, 1.f}});
    CHECK(both.seen.size() == 2);
  });
  const tf::Observing observing(observer);
  CHECK(number(session.run(pure, {{x, 2.f}})) == 5.f);
  CHECK(values == std::vector{10.f, 5.f, 7.f, 8.f, 10.f, 5.f, 7.f, 10.f});
  CHECK(observer.seen == std::vector<std::string>{"Mul", "Add"});
}

TEST_CASE("observer: a step with a session of its own cannot be used while it runs") {
  const tf::Graph graph;
  const auto current = graph.as_default();
  const tf::Variable w(1.f);
  auto step = tf::step([&](Tensor y) {
    w.assign_add(y);
    return w * y;
  });
  int tried = 0;
  Calling observer([&](const tf::Observation&) {
    ++tried;
    CHECK_ERROR(tf::deferred([&] { return step.evaluate(w); }), FailedPrecondition, "whose run it observes");
    CHECK_ERROR(tf::deferred([&] { return step(1.f); }), FailedPrecondition, "whose run it observes");
    CHECK_ERROR(step.evaluate(w), FailedPrecondition, "");
  });
  const tf::Observing observing(observer);
  CHECK(number(step(2.f)) == 6.f);
  CHECK(tried > 0);
}

TEST_CASE("observer: an eager variable may be used where its assignment is observed") {
  const tf::EagerMode eager;
  const tf::Variable w(1.f);
  bool once = true;
  Calling observer([&](const tf::Observation&) {
    if (std::exchange(once, false)) w.assign(w * 10.f);
  });
  const tf::Observing observing(observer);
  CHECK(number(w.assign_add(2.f)) == 3.f);
  CHECK(number(w.read()) == 30.f);
}

TEST_CASE("observer: each of several sees each op, and counts executions for itself") {
  for (bool eager : {true, false}) {
    in_mode(eager, [] {
      const tf::Session session;
      auto step = tf::step(session, [](Tensor x) { return tf::exp(x); });
      Calling outer, inner;
      {
        const tf::Observing first(outer);
        step(1.f);
        {
          const tf::Observing second(inner), again(inner);
          step(2.f);
        }
        step(3.f);
      }
      step(4.f);
      CHECK(outer.seen == std::vector<std::string>(3, "Exp"));
      CHECK(outer.executions == std::vector<uint64_t>{0, 1, 2});
      CHECK(inner.executions == std::vector<uint64_t>{0, 0});
    });
  }
}

TEST_CASE("observer: observing that begins in a body counts that as begun") {
  const tf::EagerMode eager;
  Calling observer;
  std::optional<tf::Observing> observing;
  auto step = tf::step([&](Tensor x) {
    if (!observing) observing.emplace(observer);
    return tf::exp(x);
  });
  step(1.f), step(1.f);
  CHECK(observer.executions == std::vector<uint64_t>{0, 1});
}

TEST_CASE("observer: observing ends in any order, and in observe") {
  for (bool eager : {true, false}) {
    in_mode(eager, [] {
      const Tensor x = tf::constant(2.f);
      const tf::Session session({.optimize = false});
      const auto run = [&](const Tensor& t) { return number(t.is_symbolic() ? session.run(t) : t); };
      const Tensor y = x * 3.f;
      Calling a, b;
      std::optional<tf::Observing> first(std::in_place, a), second(std::in_place, b);
      first.reset();
      CHECK(run(x + 1.f) == 3.f);
      second.reset();
      CHECK(run(x + 2.f) == 4.f);
      CHECK(std::ranges::count(a.seen, "Add") == 0);
      CHECK(std::ranges::count(b.seen, "Add") == 1);

      // By the observer itself, and by another one that is called first.
      std::optional<tf::Observing> self, other;
      Calling ending([&](const tf::Observation&) { self.reset(), other.reset(); });
      Calling never;
      self.emplace(ending), other.emplace(never);
      CHECK(run((x + 3.f) * 2.f) == 10.f);
      CHECK(ending.seen.size() == 1);
      CHECK(never.seen.empty());

      // While hidden, and hiding that ends before what has begun since.
      std::optional<tf::Observing> hidden(std::in_place, a);
      std::optional<tf::ObservedThread::Hidden> hiding(std::in_place);
      hidden.reset();
      second.emplace(b);
      hiding.reset();
      CHECK(run(x + 4.f) == 6.f);
      CHECK(std::ranges::count(b.seen, "Add") == 2);
      second.reset();
      CHECK(run(x + 5.f) == 7.f);
      CHECK(std::ranges::count(a.seen, "Add") == 0);

      // Begun in observe, and ended after that.
      Calling beginning([&](const tf::Observation&) {
        if (!second) second.emplace(b);
      });
      {
        const tf::Observing observing(beginning);
        run(x + 6.f);
      }
      run(x + 7.f);
      second.reset();
      CHECK(run(x + 8.f) == 10.f);
      CHECK(std::ranges::count(b.seen, "Add") == 2);
    });
  }
}

TEST_CASE("observer: what it computes leaves the program as it is, in both modes alike") {
  const auto results_of = [](bool eager, const std::function<void(const tf::Observation&)>& use) {
    std::vector<float> results;
    in_mode(eager, [&] {
      auto step = tf::step([](Tensor x) {
        const tf::NameScope scope("inside");
        tf::GradientTape tape;
        tape.watch(x);
        const Tensor drawn = tf::random_uniform({}), y = tf::exp(x) * drawn;
        return std::tuple{y + tf::random_uniform({}), tape.gradient(y, x)};
      });
      Calling observer(use);
      const tf::Observing observing(observer);
      for (int i = 0; i < 3; ++i) {
        const auto [y, slope] = step(0.5f);
        results.push_back(number(y)), results.push_back(number(slope));
      }
      results.push_back(number(tf::step([](Tensor x) { return x + tf::random_uniform({}); })(0.f)));
    });
    return results;
  };
  std::vector<float> made;
  std::vector<std::pair<const char*, std::function<void(const tf::Observation&)>>> uses = {
      {"draws", [&](const tf::Observation&) { made.push_back(number(tf::random_uniform({}))); }},
      {"draws by a seed", [&](const tf::Observation&) { made.push_back(number(tf::random_normal({}, {.seed = 7}))); }},
      {"makes a variable", [&](const tf::Observation&) { made.push_back(number(tf::Variable(2.f).assign_add(1.f))); }},
      {"differentiates",
       [&](const tf::Observation& op) {
         tf::GradientTape tape;
         tape.watch(op.outputs[0]);
         made.push_back(number(tape.gradient(op.outputs[0] * op.outputs[0], op.outputs[0])));
       }},
      {"steps",
       [&](const tf::Observation& op) {
         auto step = tf::step([](Tensor x) { return x * tf::random_uniform({}); });
         made.push_back(number(step(op.outputs[0])));
       }},
      {"builds",
       [&](const tf::Observation&) {
         const tf::Graph graph;
         const auto current = graph.as_default();
         const Tensor t = tf::deferred([] { return tf::random_uniform({}) * 2.f; });
         made.push_back(number(tf::Session(graph).run(t)));
       }},
      {"sets a seed",
       [&](const tf::Observation&) { CHECK_ERROR(tf::set_random_seed(9), FailedPrecondition, "set by an observer"); }},
  };
  const std::vector<float> plain = results_of(true, nullptr);
  CHECK(results_of(false, nullptr) == plain);
  for (const auto& [what, use] : uses) {
    INFO(what);
    CHECK(results_of(true, use) == plain);
    const std::vector<float> eager = std::exchange(made, {});
    CHECK(results_of(false, use) == plain);
    std::vector<float> deferred = std::exchange(made, {});
    if (std::string(what) == "draws") {
      // Each call draws the next number of one sequence.
      REQUIRE(eager.size() > 3);
      CHECK(eager[0] != eager[1]);
      const size_t least = std::min(eager.size(), deferred.size());
      CHECK(std::equal(eager.begin(), eager.begin() + static_cast<std::ptrdiff_t>(least), deferred.begin()));
    }
  }
}

TEST_CASE("observer: no tape or transaction of the program has what it does, and a tape may end in it") {
  const tf::EagerMode eager;
  const tf::Variable w(2.f), calls(0.f, {.trainable = false});
  Tensor kept;
  std::optional<tf::GradientTape> tape(std::in_place);
  Calling observer([&](const tf::Observation& op) {
    kept = w * op.outputs[0];
    calls.assign_add(1.f);
    tape.reset();
  });
  auto step = tf::step([&](Tensor x) {
    const Tensor y = w * x;
    tf::assert_that(y < 5.f, "too much");
    return y;
  });
  {
    const tf::Observing observing(observer);
    CHECK_ERROR(step(3.f), InvalidArgument, "too much");
  }
  CHECK(number(calls.read()) > 0.f);  // not the step's to undo
  tf::GradientTape now;
  const Tensor y = w * 3.f;
  CHECK(number(now.gradient(y, w)) == 3.f);
}

TEST_CASE("observer: what goes wrong in it is told as its own") {
  for (bool eager : {true, false}) {
    in_mode(eager, [] {
      Calling observer([](const tf::Observation&) { tf::reshape(tf::constant({1.f, 2.f}), {3}); });
      auto step = tf::step([](Tensor x) { return tf::exp(x); });
      const tf::Observing observing(observer);
      const uint32_t line = __LINE__ - 3;
      try {
        step(1.f);
        FAIL("nothing was thrown");
      } catch (const tf::Error& e) {
        CHECK(e.facts().where.line() == line);
        CHECK(e.facts().op == "Reshape");
      }
    });
  }
}
