// Traces in use: called with symbols, saved, differentiated, trained, from several threads.
#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

#include "at_line.h"
#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "io/scratch.h"
#include "training.h"

namespace tf = twofold;
using namespace training;

TEST_CASE("A tape sees through a trace", "[trace]") {
  in_each_mode([](tf::Session& session) {
    if (!tf::executing_eagerly()) return;  // with values a tape is eager code's
    auto f = tf::trace(
        session, [](Tensor x) { return x > 0.f ? x * x * x : x * x; }, 2.f);
    const auto slopes = [&](float at) {
      const Tensor x = tf::tensor(at);
      tf::GradientTape outer;
      outer.watch(x);
      tf::GradientTape inner;
      inner.watch(x);
      const Tensor dy = inner.gradient(f(x), x);
      return std::pair(number(dy), number(outer.gradient(dy, x)));
    };
    CHECK(slopes(2.f) == std::pair(12.f, 12.f));  // 3 x^2, 6 x
    CHECK(slopes(-2.f) == std::pair(-4.f, 2.f));  // 2 x, 2
    CHECK(slopes(3.f) == std::pair(27.f, 18.f));
  });
}

TEST_CASE("A trace with symbols, and in a file, fails where its guard does", "[trace]") {
  const Scratch scratch;
  const std::string path = scratch / "program.safetensors";
  int line = 0;
  const auto body = [&](Tensor x) {
    line = __LINE__ + 1;
    if (tf::sum(x) > 0) return x * 2.f;
    return -x;
  };
  {
    FreshGraph fresh;
    tf::Session session;
    auto f = tf::trace(body, tf::tensor({1.f, 2.f}));
    const Tensor x = tf::placeholder(tf::float32, {-1});
    const Tensor y = f(x);
    CHECK(floats(session.run(y, {{x, {3.f}}})) == std::vector<float>{6});
    CHECK_ERROR(session.run(y, {{x, {-3.f}}}), FailedPrecondition, at_line(line) + " was True");
    CHECK_ERROR(f(tf::placeholder(tf::float64, {-1})), FailedPrecondition, "no trace");
    tf::save(path, {{"f", f}});
  }
  in_each_mode([&](tf::Session&) {
    auto f = tf::load(path).function("f");
    CHECK(floats(f(tf::tensor({5.f}))) == std::vector<float>{10});
    CHECK_ERROR(f(tf::tensor({-5.f})), FailedPrecondition, at_line(line) + " was True");
  });
  {
    tf::EagerMode eager;
    auto f = tf::trace(body, tf::tensor({1.f, 2.f}));
    f(tf::tensor({-1.f}));
    tf::save(path, {{"f", f}});
  }
  in_each_mode([&](tf::Session&) {
    const tf::SavedProgram program = tf::load(path);
    CHECK(program.signatures().size() == 2);
    auto f = program.function("f");
    CHECK(floats(f(tf::tensor({5.f}))) == std::vector<float>{10});
    CHECK(floats(f(tf::tensor({-5.f}))) == std::vector<float>{5});
    tf::save(path, program);
    CHECK(floats(tf::load(path).function("f")(tf::tensor({-5.f}))) == std::vector<float>{5});
  });
}

TEST_CASE("Traces and functions call each other", "[trace]") {
  in_each_mode([](tf::Session& session) {
    auto clipped = tf::trace(
        session, [](Tensor x) { return x > 10.f ? tf::constant(10.f) : x; }, 1.f);
    auto twice = tf::function(session, [](Tensor x) { return x + x; });
    auto f = tf::trace(
        session, [&](Tensor x) { return clipped(twice(x)) + 1.f; }, 2.f);
    CHECK(number(f(2.f)) == 5);
    CHECK(number(f(6.f)) == 11);
    CHECK(f.traces().size() == 2);  // the guard is the outer trace's
    CHECK(clipped.traces().size() == 1);
    auto plain = tf::function(session, [&](Tensor x) { return clipped(x) * 2.f; });
    CHECK(number(plain(3.f)) == 6);
    CHECK_ERROR(plain(30.f), FailedPrecondition, "was False");
  });
}

TEST_CASE("Training with an early stop is one trace for each branch", "[trace]") {
  const auto trained = [](tf::Session& session) {
    tf::Variable w(4.f);
    tf::train::SGD opt({w}, {.lr = 0.1f});
    tf::Variable stopped(0.f, {.trainable = false});
    session.run(tf::global_variables_initializer());
    auto train = tf::trace(
        session,
        [&](Tensor x) {
          const Tensor loss = tf::square(w * x - 1.f);
          if (loss > 0.01f)
            opt.minimize(loss);
          else
            stopped.assign_add(1.f);
          return loss;
        },
        1.f);
    std::vector<Tensor> losses;
    for (int i = 0; i < 20; ++i) losses.push_back(train(1.f));
    losses.push_back(tf::executing_eagerly() ? stopped.read() : session.run(stopped));
    return losses;
  };
  const std::vector<Tensor> losses = in_all_modes(trained);
  float w = 4.f;
  for (int i = 0; i < 20; ++i) {  // w - 0.1 * 2 (w - 1) = 1 + 0.8 (w - 1)
    CHECK(std::abs(number(losses[static_cast<size_t>(i)]) - (w - 1) * (w - 1)) < 1e-4f);
    if ((w - 1) * (w - 1) > 0.01f) w = 1 + 0.8f * (w - 1);
  }
  CHECK(number(losses[20]) == 4);  // 9 * 0.64^16 < 0.01
}

TEST_CASE("A trace is called by several threads", "[trace]") {
  tf::EagerMode eager;
  auto f = tf::trace([](Tensor x) { return x > 0.f ? x * 2.f : -x; }, 1.f);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      tf::EagerMode eager_here;
      for (int i = 1; i <= 50; ++i) {
        const auto x = static_cast<float>((i + t) % 2 ? i : -i);
        wrong += number(f(x)) != (x > 0 ? 2 * x : -x);
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(f.traces().size() <= 8);
}
