// Several threads on one GPU.
#include <atomic>
#include <cmath>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <twofold/twofold.h>

#include "both_modes.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

constexpr int kThreads = 4;

/// f(0) ... f(3) at once; what they throw is a failure.
void at_once(const std::function<void(int)>& f) {
  std::mutex mutex;
  std::vector<std::string> errors;  // guarded by mutex
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      try {
        f(t);
      } catch (const std::exception& e) {
        std::lock_guard lock(mutex);
        errors.emplace_back(e.what());
      }
    });
  for (auto& t : threads) t.join();
  for (const std::string& e : errors) CHECK(e == "");
}

/// 30 steps of a small net from the seed on: its losses.
std::vector<float> train(int seed, bool optimize) {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  tf::set_random_seed(seed);
  const Tensor x = tf::placeholder(tf::float32, {32, 20});
  const tf::Variable w(tf::random_normal({20, 16})), v(tf::random_normal({16, 1}));
  tf::train::Adam opt({w, v}, {.lr = 0.01});
  const Tensor loss = tf::mean(tf::square(tf::matmul(tf::tanh(tf::matmul(x, w)), v) - 1.f));
  const tf::Operation step = opt.minimize(loss);
  const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
  session.run(tf::global_variables_initializer());
  std::vector<float> data(32 * 20);
  for (size_t i = 0; i < data.size(); ++i) data[i] = std::sin(0.37f * static_cast<float>(i) + static_cast<float>(seed));
  std::vector<float> losses;
  for (int i = 0; i < 30; ++i)
    losses.push_back(session.run({step, loss}, {{x, tf::tensor(data, {32, 20})}})[1].item<float>());
  return losses;
}

}  // namespace

TEST_CASE("gpu: sessions of several threads on one GPU") {
  if (testing::lacks_gpu()) return;
  for (const bool optimize : {false, true}) {
    std::vector<std::vector<float>> alone(kThreads), together(kThreads);
    for (int t = 0; t < kThreads; ++t) alone[static_cast<size_t>(t)] = train(t, optimize);
    at_once([&](int t) { together[static_cast<size_t>(t)] = train(t, optimize); });
    CHECK(together == alone);
    CHECK(alone[0][29] < alone[0][0]);
  }
}

TEST_CASE("gpu: one session run by several threads") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  constexpr int kRuns = 50;
  const Tensor x = tf::placeholder(tf::float32, {1000}), y = tf::sum(x * 2.f);
  const tf::Variable count(0);
  const Tensor counted = tf::with_effects(y, {count.assign_add(1)});
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    std::atomic<int> wrong{0};
    at_once([&](int t) {
      const tf::DeferredMode deferred;
      const Tensor fed = tf::tensor(std::vector<float>(1000, static_cast<float>(t)));
      for (int i = 0; i < kRuns; ++i) {
        wrong += session.run(y, {{x, fed}}).item<float>() != 2000.f * static_cast<float>(t);
        wrong += session.run(counted, {{x, fed}}).item<float>() != 2000.f * static_cast<float>(t);
      }
    });
    CHECK(wrong == 0);
    CHECK(session.run(count).item<int>() == kThreads * kRuns);
  }
}

TEST_CASE("gpu: eager ops of several threads") {
  if (testing::lacks_gpu()) return;
  std::vector<Tensor> results(kThreads);
  at_once([&](int t) {
    const tf::EagerMode eager;
    const auto guard = tf::device("/gpu:0");
    Tensor a = tf::tensor(std::vector<float>(4096, 1.f + static_cast<float>(t)), {64, 64});
    for (int i = 0; i < 100; ++i) a = tf::tanh(tf::matmul(a, a) * 0.01f) + 0.5f;
    results[static_cast<size_t>(t)] = a;
  });
  const tf::EagerMode eager;
  const auto guard = tf::device("/gpu:0");
  for (int t = 0; t < kThreads; ++t) {
    Tensor a = tf::tensor(std::vector<float>(4096, 1.f + static_cast<float>(t)), {64, 64});
    for (int i = 0; i < 100; ++i) a = tf::tanh(tf::matmul(a, a) * 0.01f) + 0.5f;
    CHECK(testing::same_bits(results[static_cast<size_t>(t)], a));
  }
}

TEST_CASE("gpu: a variable that several threads update eagerly loses no update") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const auto guard = tf::device("/gpu:0");
  const tf::Variable v(0);
  at_once([&](int) {
    const tf::EagerMode mode;
    for (int i = 0; i < 100; ++i) v.assign_add(1);
  });
  CHECK(v.item<int>() == 100 * kThreads);
}
