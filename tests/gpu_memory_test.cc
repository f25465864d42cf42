// A GPU's memory: what is held, limits, running out of it, giving it back.
#include <cmath>
#include <memory>
#include <vector>

#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/twofold.h>

#include "errors.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

tf::AllocatorStats stats() { return tf::memory_stats("/gpu:0"); }

/// A float32 value of so many MiB on the GPU.
Tensor filled(int64_t mib, float value = 1) {
  return tf::eagerly([&] {
    const Tensor one = tf::tensor({value}).to("/gpu:0");
    return tf::broadcast_to(one, {mib * kMiB / 4});
  });
}

int64_t free_bytes() {
  tf::synchronize();
  size_t free = 0, total = 0;
  REQUIRE(tf::gpu_runtime()->memory(0, &free, &total) == 0);
  return static_cast<int64_t>(free);
}

}  // namespace

TEST_CASE("gpu: memory is counted while values hold it") {
  if (testing::lacks_gpu()) return;
  filled(1);  // what comes with the first use of a GPU
  const int64_t before = stats().in_use;
  tf::reset_peak_memory("/gpu:0");
  CHECK(stats().peak == before);
  {
    const Tensor t = filled(64), same = t, view = t[0];
    const int64_t held = stats().in_use - before;
    CHECK(held >= 64 * kMiB);
    CHECK(held <= 80 * kMiB);
  }
  CHECK(stats().in_use == before);
  CHECK(stats().cached >= 64 * kMiB);
  CHECK(stats().peak - before >= 64 * kMiB);
  tf::reset_peak_memory("/gpu:0");
  CHECK(stats().peak == before);
  const int64_t fresh = stats().fresh_count;
  for (int i = 0; i < 5; ++i) filled(64);
  CHECK(stats().fresh_count == fresh);  // what was freed is used again
  CHECK(tf::memory_stats("/cpu:0").in_use == tf::allocator_stats().in_use);
}

TEST_CASE("gpu: a session's limit is an error that says what was asked for, held and free; the session goes on") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, tf::unknown_shape), y = tf::sum(tf::sqrt(x) * 3.f);
  const tf::Variable count(0);
  const Tensor counted = tf::with_effects(y, {count.assign_add(1)});
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0", .gpu_memory_limit = 48 * kMiB});
    session.run(tf::global_variables_initializer());
    const Tensor small = filled(4, 4.f).to("/cpu:0"), large = filled(64, 4.f).to("/cpu:0");
    const auto is_right = [&](const tf::Session& s, const Tensor& fed) {
      const double wanted = 6.0 * static_cast<double>(fed.num_elements());
      return std::abs(s.run(counted, {{x, fed}}).item<float>() / wanted - 1) < 1e-5;
    };
    for (int run = 0; run < 3; ++run) CHECK(is_right(session, small));
    CHECK_ERROR(session.run(counted, {{x, large}}), ResourceExhausted, "Out of memory on /gpu:0: ");
    CHECK_ERROR(session.run(counted, {{x, large}}), ResourceExhausted, " bytes were asked for; ");
    CHECK_ERROR(session.run(counted, {{x, large}}), ResourceExhausted, " are held of its limit of 50331648; ");
    CHECK_ERROR(session.run(counted, {{x, large}}), ResourceExhausted, " are free");
    CHECK(session.run(count).item<int>() == 3);
    for (int run = 0; run < 3; ++run) CHECK(is_right(session, small));
    CHECK(session.run(count).item<int>() == 6);
    // Another session has a limit of its own.
    const tf::Session other({.device = "/gpu:0"});
    other.run(tf::global_variables_initializer());
    CHECK(is_right(other, large));
  }
}

TEST_CASE("gpu: what the GPU does not have is an error, after which it goes on") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Tensor one = tf::tensor({1.f}).to("/gpu:0");
  const int64_t before = stats().in_use;
  for (int i = 0; i < 2; ++i)
    CHECK_ERROR(tf::broadcast_to(one, {int64_t{1} << 44}), ResourceExhausted, "bytes were asked for");
  CHECK(stats().in_use == before);
  CHECK((one + one).item<float>() == 2);
  tf::synchronize();
}

TEST_CASE("gpu: closing a session gives its memory back to the device") {
  if (testing::lacks_gpu()) return;
  constexpr int64_t kSlack = 64 * kMiB;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32);
  const tf::Variable v(tf::zeros({128 * kMiB / 4}));
  const Tensor stepped = tf::sum(v.assign_add(tf::sqrt(v.read() + x)));
  const auto train = [&](tf::Session& session) {
    session.run(tf::global_variables_initializer());
    for (int run = 0; run < 3; ++run) session.run(stepped, {{x, 1.f}});
  };
  for (const bool close : {true, false})
    for (const bool optimize : {false, true}) {
      INFO(close << " " << optimize);
      int64_t free = 0, in_use = 0;
      for (int round = 0; round < 3; ++round) {  // in the first, libraries take what they keep
        auto session = std::make_unique<tf::Session>(tf::SessionOptions{.optimize = optimize, .device = "/gpu:0"});
        train(*session);
        CHECK(stats().in_use >= in_use + 128 * kMiB);
        if (close) session->close();
        if (!close) session.reset();
        if (round == 0) free = free_bytes(), in_use = stats().in_use;
        CHECK(free_bytes() >= free - kSlack);
        CHECK(stats().in_use == in_use);
      }
    }
}

TEST_CASE("gpu: what was fetched outlives its session") {
  if (testing::lacks_gpu()) return;
  Tensor kept;
  {
    FreshGraph fresh;
    const tf::Variable v({1.f, 2.f});
    tf::Session session({.device = "/gpu:0"});
    session.run(tf::global_variables_initializer());
    kept = session.run(v * 2.f);
    session.close();
    CHECK_ERROR(session.run(v), FailedPrecondition, "Attempted to use a closed Session.");
  }
  filled(1, 7.f);
  CHECK(elements<float>(kept) == std::vector<float>{2, 4});
}

namespace {

/// A matrix product and two pointwise ops, with a run of `rows` rows whose plan keeps 8 KiB a row or more.
struct Wide {
  Tensor x = tf::placeholder(tf::float32, {-1, 4});
  tf::Variable w{tf::ones({4, 1024})};
  Tensor y = tf::sum(tf::exp(tf::tanh(tf::matmul(tf::matmul(x, w), tf::ones({1024, 1024})))));
  bool run(const tf::Session& session, int64_t rows) const {
    const Tensor fed = tf::eagerly([&] { return tf::zeros({rows, 4}); });
    return session.run(y, {{x, fed}}).item<float>() == 1024.f * static_cast<float>(rows);
  }
};

}  // namespace

TEST_CASE("gpu: plans of ever new shapes hold no more than plan_memory, captured or not") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Wide net;
  for (const bool optimize : {false, true})
    for (const int runs : {1, 3}) {
      INFO(optimize << ", " << runs << " runs each");
      tf::Session bounded({.optimize = optimize, .device = "/gpu:0", .plan_memory = 128 * kMiB}),
          unbounded({.optimize = optimize, .device = "/gpu:0"});
      tf::Ledger ledger;
      for (const tf::Session* s : {&bounded, &unbounded}) s->run(tf::global_variables_initializer());
      const auto held_after = [&](const tf::Session& session) {
        const int64_t before = stats().in_use;
        for (int64_t i = 0; i < 16; ++i)
          for (int k = 0; k < runs; ++k) CHECK(net.run(session, 4096 + 16 * i));
        return stats().in_use - before;
      };
      {
        const auto recording = ledger.record();
        CHECK(held_after(bounded) <= 160 * kMiB);
      }
      CHECK(held_after(unbounded) >= 256 * kMiB);
      CHECK(bounded.num_plans() <= 10);
      CHECK(ledger.plans_given_up() >= 6);
      for (int64_t i = 0; i < 16; ++i) CHECK(net.run(bounded, 4096 + 16 * i));
      const int64_t before = stats().in_use;
      bounded.close(), unbounded.close();
      CHECK(stats().in_use < before - 256 * kMiB);
    }
}

TEST_CASE("gpu: before memory runs out, plans that nobody uses give up theirs") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Wide net;
  const tf::Session one({.device = "/gpu:0", .gpu_memory_limit = 300 * kMiB, .plan_memory = int64_t{1} << 40});
  one.run(tf::global_variables_initializer());
  for (int64_t i = 0; i < 16; ++i)
    for (int k = 0; k < 3; ++k) CHECK(net.run(one, 4096 + 16 * i));  // 32 MiB each, or more
  CHECK(one.num_plans() < 16);
  // The whole GPU's memory, of several sessions and eager values.
  const tf::Session other({.device = "/gpu:0", .plan_memory = int64_t{1} << 60});
  other.run(tf::global_variables_initializer());
  for (int64_t i = 0; i < 4; ++i)
    for (int k = 0; k < 2; ++k) CHECK(net.run(other, 4096 + 16 * i));
  const int64_t plans = one.num_plans() + other.num_plans();
  {
    std::vector<Tensor> all;
    while (free_bytes() > 3 * 1024 * kMiB) all.push_back(filled(1024));
    for (int i = 0; i < 1000 && one.num_plans() + other.num_plans() == plans; ++i) all.push_back(filled(64));
    CHECK(one.num_plans() + other.num_plans() < plans);
  }
  for (int64_t i = 0; i < 4; ++i) CHECK(net.run(other, 4096 + 16 * i));
}
