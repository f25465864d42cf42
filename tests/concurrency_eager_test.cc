// Eager ops, steps and tapes on many threads, and failures that leave no trace. For ThreadSanitizer too, as is
// concurrency_test.cc.
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "fresh_graph.h"
#include "many_threads.h"

namespace tf = twofold;

namespace {
float number(const tf::Tensor& t) { return t.item<float>(); }
}  // namespace

TEST_CASE("Eager ops, tapes and modes in many threads") {
  FreshGraph fresh;
  const tf::Variable shared = tf::eagerly([] { return tf::Variable(tf::ones({20000})); });
  const tf::Tensor big = tf::tensor(std::vector<float>(20000, 2.f));
  check_at_once([&](int t) {
    if (t % 4 == 3) {
      const auto scope = fresh.graph.as_default();
      return tf::constant(1.f).is_symbolic();
    }
    const tf::EagerMode eager;
    bool right = true;
    for (int i = 0; i < 50; ++i) {
      const tf::Tensor v = tf::full({20000}, static_cast<float>(t));
      tf::GradientTape tape;
      tape.watch(v);
      const tf::Tensor y = tf::sum(v * big * shared);
      right &= number(y) == static_cast<float>(40000 * t);
      const tf::Tensor d = tape.gradient(y, v);
      right &= d[0].item<float>() == 2 && d[19999].item<float>() == 2;
    }
    return right;
  });
}

TEST_CASE("An eager step that fails undoes what it has assigned, and nothing of other threads'") {
  const tf::EagerMode eager;
  const tf::Variable a(0.f), b(0.f);
  const auto failing = [](const std::function<void()>& body) {
    auto step = tf::step([&] {
      body();
      throw std::runtime_error("the data ended");
    });
    CHECK_THROWS_AS(step(), std::runtime_error);
  };
  failing([&] {
    a.assign_add(1.f);
    b.assign_add(1.f);
    elsewhere([&] { a.assign_add(10.f); });
  });
  CHECK(number(a) == 11);  // the other's sum, of what it saw
  CHECK(number(b) == 0);
  a.assign(0.f);
  failing([&] {  // assigned before and after
    a.assign_add(1.f);
    elsewhere([&] { a.assign_add(10.f); });
    a.assign_add(100.f);
  });
  CHECK(number(a) == 11);
  a.assign(0.f);
  failing([&] {  // a step in the step fails by itself, then all
    a.assign_add(1.f);
    failing([&] { a.assign_add(10.f); });
    CHECK(number(a) == 1);
  });
  CHECK(number(a) == 0);
  failing([&] {  // the inner one succeeds
    a.assign_add(1.f);
    elsewhere([&] { a.assign_add(10.f); });
    auto inner = tf::step([&] { a.assign_add(100.f); });
    inner();
    a.assign_add(1000.f);
    CHECK(number(a) == 1111);
  });
  CHECK(number(a) == 11);
  auto kept = tf::step([&] { a.assign(5.f); });
  failing([&] { kept(), a.assign_add(1.f); });
  CHECK(number(a) == 11);
}

TEST_CASE("What an eager step that fails has drawn is not drawn again if others have drawn since") {
  const tf::EagerMode eager;
  std::function<void()> meanwhile;
  auto step = tf::step([&](const tf::Tensor& fails) {
    const tf::Tensor drawn = tf::random_uniform({}, {.dtype = tf::float64});
    if (const auto f = std::exchange(meanwhile, nullptr)) f();
    if (fails.item<bool>()) throw std::runtime_error("the data ended");
    return drawn;
  });
  std::multiset<double> drawn;
  const auto draw = [&] { drawn.insert(step(false).item<double>()); };
  draw();
  for (int i = 0; i < 3; ++i) {
    meanwhile = [&] { elsewhere(draw); };
    CHECK_THROWS_AS(step(true), std::runtime_error);
    draw();
    draw();
  }
  CHECK(drawn.size() == 10);
  CHECK(std::set<double>(drawn.begin(), drawn.end()).size() == 10);
}

TEST_CASE("Steps of several threads that train the same variables lose no update, in whatever order they name them") {
  const tf::EagerMode eager;
  const tf::Variable a(std::vector<float>(100, 0.f)), b(std::vector<float>(100, 0.f));
  check_at_once([&](int t) {
    const tf::EagerMode here;
    tf::train::SGD opt(t % 2 ? std::vector{a, b} : std::vector{b, a}, {.lr = 0.5});
    auto step = tf::step([&] { opt.minimize(tf::sum(a) + tf::sum(b)); });
    for (int i = 0; i < 50; ++i) {
      step();
      (void)number(tf::sum(a));  // holds the values now and then
    }
    return true;
  });
  const std::vector<float> all(100, -0.5f * 50 * kThreads);
  CHECK(elements<float>(a.read()) == all);
  CHECK(elements<float>(b.read()) == all);
}

TEST_CASE("Steps first called from eight threads at once do what their bodies do, and no more") {
  constexpr int kSteps = 16, kCalls = 3;
  FreshGraph fresh;
  using Step = tf::Step<std::function<tf::Tensor()>>;
  std::vector<tf::Variable> variables;
  for (int i = 0; i < kThreads * kSteps; ++i) variables.emplace_back(0.f);
  std::vector<std::unique_ptr<Step>> steps;
  for (const tf::Variable& v : variables)
    steps.emplace_back(new Step(tf::step(std::function<tf::Tensor()>([&v] {
      tf::Variable w = v;
      w.assign_add(1.f);                                          // an effect
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // others add theirs
      tf::assert_that(w.read() > 0.f, "a check that nobody reads");
      return w.assign_add(1.f);
    }))));
  check_at_once([&](int t) {
    bool right = true;
    for (int k = 0; k < kSteps; ++k)
      for (int call = 1; call <= kCalls; ++call)
        right &= number((*steps[static_cast<size_t>(t * kSteps + k)])()) == 2.f * static_cast<float>(call);
    return right;
  });
  for (size_t i = 0; i < steps.size(); ++i) CHECK(number(steps[i]->evaluate(variables[i])) == 2.f * kCalls);
}

TEST_CASE("What another thread adds to the graph while a step is built is none of the step's") {
  FreshGraph fresh;
  tf::Variable a(0.f), b(0.f);
  auto other = tf::step([&] { return b.assign_add(1.f); });
  const tf::Tensor fed = tf::placeholder(tf::float32, {});
  auto step = tf::step([&] {
    std::thread([&] {
      const auto scope = fresh.graph.as_default();
      b.assign_add(10.f);
      tf::assert_that(fed > 0.f, "a check that is not the step's");
      other();
    }).join();
    return a.assign_add(1.f);
  });
  for (int i = 1; i <= 3; ++i) CHECK(number(step()) == static_cast<float>(i));
  CHECK(number(step.evaluate(b)) == 1);
}

TEST_CASE("A step first called from eight threads at once is built once") {
  FreshGraph fresh;
  tf::Variable a(0.f);
  std::atomic<int> built{0};
  auto step = tf::step([&] {
    ++built;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for the others to arrive
    return a.assign_add(1.f);
  });
  check_at_once([&](int) { return number(step()) > 0; });
  CHECK(built == 1);
  CHECK(number(step.evaluate(a)) == kThreads);
}

TEST_CASE("A GradientTape may end on another thread, which is no place to use it") {
  const tf::EagerMode eager;
  const tf::Variable w(3.f);
  for (int round = 0; round < 50; ++round) {
    auto tape = std::make_unique<tf::GradientTape>();
    const tf::Tensor y = w * w;
    std::string error;
    std::thread([&] {
      const tf::EagerMode here;
      try {
        tape->gradient(y, w);
      } catch (const tf::Error& e) {
        error = e.what();
      }
      tape.reset();
    }).join();
    CHECK(error.find("A GradientTape is of the thread that made it") != std::string::npos);
    // The thread's list of tapes must not lead to it any more.
    tf::Tensor z = w * 2.f;
    tf::GradientTape next;
    z = w * w * z;
    CHECK(number(next.gradient(z, w)) == 36);  // 2 w * z, where z was 6
  }
  // One that outlives its thread.
  std::unique_ptr<tf::GradientTape> left;
  std::thread([&] {
    const tf::EagerMode here;
    left = std::make_unique<tf::GradientTape>();
    (void)(w * w);
  }).join();
  left.reset();
}

// A thread gets a number that one before it had: pthread_self, as a rule.
TEST_CASE("A GradientTape of a thread that has ended is of no other") {
  for (int round = 0; round < 20; ++round) {
    std::unique_ptr<tf::GradientTape> tape;
    tf::Tensor x, y;
    elsewhere([&] {
      tape = std::make_unique<tf::GradientTape>(tf::GradientTapeOptions{.persistent = true});
      x = tf::constant(2.f);
      tape->watch(x);
      y = x * x;
    });
    std::vector<std::string> errors;
    elsewhere([&] {
      const std::vector<std::function<void()>> uses{[&] { tape->gradient(y, x); }, [&] { tape->watch(y); }};
      for (const auto& use : uses) {
        try {
          use();
        } catch (const tf::Error& e) {
          errors.emplace_back(e.what());
        }
      }
      tape.reset();
    });
    REQUIRE(errors.size() == 2);
    for (const auto& e : errors) CHECK(e.find("A GradientTape is of the thread that made it") != std::string::npos);
  }
}
