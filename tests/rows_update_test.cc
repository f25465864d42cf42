// SGD of tables of which a step reads rows, and updates that go over the old values.
#include <cmath>
#include <limits>
#include <thread>

#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

using namespace training;
namespace train = tf::train;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// `table` after `steps` steps down the gradient of `loss`, in each mode.
std::vector<float> trained(const Tensor& start, double lr, const std::function<Tensor(const tf::Variable&)>& loss,
                           int steps = 1) {
  return floats(in_all_modes([&](tf::Session& session) {
    const tf::Variable table(start);
    train::SGD opt({table}, {.lr = lr});
    auto step = tf::step(session, [&] {
      const Tensor l = loss(table);
      opt.minimize(l);
      return l;
    });
    session.run(tf::global_variables_initializer());
    for (int i = 0; i < steps; ++i) step();
    return std::vector{step.evaluate(table)};
  })[0]);
}

Tensor eager_tensor(const std::function<Tensor()>& f) { return tf::eagerly(f); }

}  // namespace

TEST_CASE("SGD changes the rows that were read, each once by its sum", "[train]") {
  const Tensor start =
      eager_tensor([] { return tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}, {-0.f, kInfinity}}); });
  const Tensor indices = eager_tensor([] { return tf::constant({2, 0, 2}); });
  // d/dp sum(p^2) = 2 p for each time a row is read: row 0 loses 0.5 * 2 p, row 2 twice that.
  const auto squares = [&](const tf::Variable& p) { return tf::sum(tf::square(tf::gather(p, indices))); };
  CHECK(trained(start, 0.25, squares) == std::vector<float>{0.5f, 1, 3, 4, 0, 0, 0, kInfinity});
  CHECK(std::signbit(trained(start, 0.25, squares)[6]));
  // From several places, of several dtypes and shapes.
  const Tensor more = eager_tensor([] { return tf::constant({{int64_t{1}, int64_t{2}}}); });
  const auto both = [&](const tf::Variable& p) { return squares(p) + 2.f * tf::sum(tf::embedding(p, more)); };
  CHECK(trained(start, 0.25, both) == std::vector<float>{0.5f, 1, 2.5f, 3.5f, -0.5f, -0.5f, 0, kInfinity});
  // Beside rows a whole: the gradient is dense, and the same.
  const auto and_all = [&](const tf::Variable& p) { return squares(p) + tf::sum(tf::minimum(p, 100.f)); };
  CHECK(trained(start, 0.25, and_all) ==
        std::vector<float>{0.25f, 0.75f, 2.75f, 3.75f, -0.25f, -0.25f, -0.25f, kInfinity});
  CHECK(trained(start, 0.25, squares, 3) == std::vector<float>{0.125f, 0.25f, 3, 4, 0, 0, 0, kInfinity});
}

TEST_CASE("A rate that is infinite or NaN reaches every row, as p - lr * 0 says", "[train]") {
  const Tensor start = eager_tensor([] { return tf::constant({{1.f}, {2.f}, {3.f}}); });
  const Tensor indices = eager_tensor([] { return tf::constant({1}); });
  for (const float rate : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    const auto all = in_all_modes([&](tf::Session& session) {
      const tf::Variable table(start);
      train::SGD opt({table}, {.lr = 1});
      opt.set_schedule([&](const Tensor& n) { return tf::cast(n, tf::float32) * 0.f + rate; });
      auto step = tf::step(session, [&] { opt.minimize(tf::sum(tf::gather(table, indices))); });
      session.run(tf::global_variables_initializer());
      step();
      return std::vector{tf::cast(tf::is_nan(step.evaluate(table)), tf::float32), step.evaluate(table)};
    });
    CHECK(floats(all[0]) == (std::isnan(rate) ? std::vector<float>{1, 1, 1} : std::vector<float>{1, 0, 1}));
    if (!std::isnan(rate)) CHECK(floats(all[1])[1] == -kInfinity);
  }
}

TEST_CASE("Rows that are read often are summed in float64", "[train]") {
  // 1000 times 0.1f, in order: float32 alone is off by 3e-6 of it.
  const Tensor start = eager_tensor([] { return tf::zeros({5, 300}); });
  const Tensor indices = eager_tensor([] { return tf::full({1000}, 3); });
  const auto table = trained(start, 1, [&](const tf::Variable& p) { return 0.1f * tf::sum(tf::gather(p, indices)); });
  const auto sum = static_cast<float>(1000 * static_cast<double>(0.1f));
  for (size_t i = 0; i < table.size(); ++i) CHECK(table[i] == (i / 300 == 3 ? -sum : 0.f));
}

TEST_CASE("Indices whose extents and rank a graph does not know train rows too", "[train]") {
  FreshGraph fresh;
  const Tensor indices = tf::placeholder(tf::int32, tf::unknown_shape);
  const tf::Variable table({{1.f, 1.f}, {2.f, 2.f}, {3.f, 3.f}});
  const tf::Operation step = train::SGD({table}, {.lr = 1}).minimize(tf::sum(tf::gather(table, indices)));
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    session.run(step, {{indices, 2}});
    session.run(step, {{indices, {0, 2, 2}}});
    session.run(step, {{indices, std::vector<int32_t>{}}});
    CHECK(floats(session.run(table)) == std::vector<float>{0, 0, 2, 2, 0, 0});
    // Of the loss only its gradient is asked for, so that nothing has read the rows.
    CHECK_ERROR(session.run(step, {{indices, {1, 3}}}), OutOfRange, "the index 3");
    CHECK_ERROR(session.run(step, {{indices, -1}}), OutOfRange, "the index -1");
    CHECK(floats(session.run(table)) == std::vector<float>{0, 0, 2, 2, 0, 0});
  }
}

TEST_CASE("Updates go over the old values, unless somebody holds these", "[train]") {
  using Make = std::function<std::unique_ptr<train::Optimizer>(std::vector<tf::Variable>)>;
  const Make kinds[] = {
      [](auto p) { return std::make_unique<train::SGD>(p, train::SGDOptions{.lr = 0.1}); },
      [](auto p) { return std::make_unique<train::SGD>(p, train::SGDOptions{.lr = 0.1, .momentum = 0.9}); },
      [](auto p) { return std::make_unique<train::Adam>(p, train::AdamOptions{.lr = 0.1}); },
  };
  for (const bool rows : {false, true})
    for (const Make& make : kinds) {
      INFO("optimiser " << &make - kinds << ", rows " << rows);
      FreshGraph fresh;
      const tf::Variable w(tf::ones({1000, 10})), other(tf::ones({1000, 10}));
      const Tensor read = rows ? tf::gather(w, {5, 7}) : w * 1.f;
      const auto opt = make({w, other});
      const tf::Operation step = opt->minimize(tf::sum(read) + tf::sum(other));
      const tf::Session session;
      session.run(tf::global_variables_initializer());
      session.run(step);
      const auto address = [&] { return session.run(w).data<float>().data(); };
      const float* before = address();
      session.run(step);
      CHECK(address() == before);
      // What is held stays what it was, be it fetched before the run, in it, or as a part.
      const Tensor held = session.run(w);
      const auto then = floats(held);
      session.run(step);
      CHECK(floats(held) == then);
      CHECK(floats(session.run(w)) != then);
      const auto [done, with_it] = session.run({step, w});
      const auto at_once = floats(with_it);
      const Tensor part = session.run(tf::slice(w, {5, 0}, {1, 10}));
      const auto of_part = floats(part);
      session.run(step);
      session.run(step);
      CHECK(floats(with_it) == at_once);
      CHECK(floats(part) == of_part);
    }
}

TEST_CASE("A copy of a variable that is trained in the same run is of the old value", "[train]") {
  FreshGraph fresh;
  const tf::Variable w({1.f, 2.f}), target({0.f, 0.f});
  const Tensor copy = target.assign(w.read()), flat = tf::reshape(copy, {2, 1});
  const tf::Operation step = train::SGD({w}, {.lr = 0.25}).minimize(tf::sum(tf::square(w)));
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    for (const auto& fetched : {session.run({copy, step}), session.run({flat, step})}) static_cast<void>(fetched);
    const auto [copied, reshaped, done] = session.run({copy, flat, step});
    CHECK(floats(copied) == std::vector<float>{0.25f, 0.5f});
    CHECK(floats(reshaped) == std::vector<float>{0.25f, 0.5f});
    session.run(step);
    CHECK(floats(session.run(target)) == std::vector<float>{0.25f, 0.5f});
    CHECK(floats(copied) == std::vector<float>{0.25f, 0.5f});
    CHECK(floats(session.run(w)) == std::vector<float>{0.0625f, 0.125f});
  }
}

TEST_CASE("A run that fails beside an update leaves the variable alone", "[train]") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {});
  const tf::Variable w({1.f, 2.f}), v({1.f, 2.f});
  const tf::Operation step = train::SGD({w, v}, {.lr = 0.5}).minimize(tf::sum(w * x) + tf::sum(v));
  const Tensor checked = tf::check_numerics(x, "x");
  const Tensor uninitialised = tf::Variable(3.f) + 1.f;
  const tf::Session session;
  session.run(tf::variables_initializer({w, v}));
  for (int i = 0; i < 3; ++i) {
    CHECK_ERROR(session.run({step, checked}, {{x, kInfinity}}), InvalidArgument, "Inf");
    CHECK_ERROR(session.run({step, uninitialised}, {{x, 1.f}}), FailedPrecondition, "uninitialized");
    CHECK_ERROR(session.run({checked, step}, {{x, -kInfinity}}), InvalidArgument, "Inf");
  }
  CHECK(floats(session.run(w)) == std::vector<float>{1, 2});
  session.run({step, checked}, {{x, 1.f}});
  CHECK(floats(session.run(w)) == std::vector<float>{0.5f, 1.5f});
  CHECK(floats(session.run(v)) == std::vector<float>{0.5f, 1.5f});
}

TEST_CASE("An update that reads what another one writes sees its old value", "[train]") {
  const auto all = in_all_modes([](tf::Session& session) {
    const tf::Variable a({1.f, 2.f}), b({10.f, 20.f}), c({0.f, 0.f});
    train::SGD opt({a, b, c}, {.lr = 1});
    // Each one's gradient is another's value: a' = a - b, b' = b - a, c' = c - a.
    auto step = tf::step(session, [&] { opt.apply_gradients({b, a, a}); });
    session.run(tf::global_variables_initializer());
    step(), step();
    return std::vector{step.evaluate(a), step.evaluate(b), step.evaluate(c)};
  });
  // (1, 10, 0) -> (-9, 9, -1) -> (-18, 18, 8), and (2, 20, 0) -> (-18, 18, -2) -> (-36, 36, 16).
  CHECK(floats(all[0]) == std::vector<float>{-18, -36});
  CHECK(floats(all[1]) == std::vector<float>{18, 36});
  CHECK(floats(all[2]) == std::vector<float>{8, 16});
}

TEST_CASE("What is read after an update, by a dependency on it, is the new value") {
  FreshGraph fresh;
  const tf::Variable w({1.f, 2.f});
  const tf::Operation step = train::SGD({w}, {.lr = 1}).minimize(tf::sum(w));
  const auto after = tf::control_dependencies({step});
  const Tensor doubled = w.read() * 2.f;
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    session.run(tf::global_variables_initializer());
    CHECK(floats(session.run(doubled)) == std::vector<float>{0, 2});
    CHECK(floats(session.run(doubled)) == std::vector<float>{-2, 0});
  }
}

TEST_CASE("Threads that read while others train see whole values only", "[train]") {
  FreshGraph fresh;
  const tf::Variable w(tf::zeros({300, 300}));
  const tf::Operation step = train::SGD({w}, {.lr = 1}).minimize(tf::sum(w));
  const Tensor read = tf::identity(w);
  const tf::Session session;
  session.run(tf::global_variables_initializer());
  std::vector<std::thread> threads;
  std::atomic<bool> torn = false;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) session.run(step);
    });
    threads.emplace_back([&] {
      std::vector<std::pair<Tensor, float>> kept;
      for (int i = 0; i < 100; ++i) {
        const Tensor now = session.run(read);
        kept.emplace_back(now, now.data<float>()[0]);
        if (kept.size() > 10) kept.erase(kept.begin());
        for (const auto& [value, first] : kept)
          for (const float f : value.data<float>()) torn = torn || f != first;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(!torn);
  CHECK(floats(session.run(w))[12345] == -200);
}
