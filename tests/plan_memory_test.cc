// What plans hold between runs: bounded, and given up before memory runs out.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <thread>
#include <vector>

#include <twofold/lib/runtime/reclaim.h>
#include <twofold/session/plan/planner.h>
#include <twofold/session/run/executor.h>
#include <twofold/twofold.h>

#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

int64_t in_use() { return tf::memory_stats("/cpu:0").in_use; }

/// A matrix product and two pointwise ops that are not fused into it: its plan keeps about 3 n * 256 floats.
struct Program {
  Tensor x = tf::placeholder(tf::float32, {-1, 4});
  tf::Variable w{tf::ones({4, 256})};
  Tensor y = tf::sum(tf::matmul(tf::tanh(tf::matmul(x, w)), tf::ones({256, 256})));

  static Tensor rows(int64_t n) { return tf::zeros({n, 4}); }
};

/// tanh(0) * anything: the right result, whatever the number of rows.
void run_with(const tf::Session& session, const Program& p, int64_t rows) {
  const Tensor fed = tf::eagerly([&] { return Program::rows(rows); });
  CHECK(session.run(p.y, {{p.x, fed}}).item<float>() == 0);
}

}  // namespace

TEST_CASE("Plans of ever new shapes hold no more than plan_memory, and come again when they are wanted") {
  FreshGraph fresh;
  const Program p;
  const tf::Session bounded({.plan_memory = 16 * kMiB}), unbounded;
  tf::Ledger ledger;
  for (const tf::Session* session : {&bounded, &unbounded}) session->run(tf::global_variables_initializer());
  const auto held_after = [&](const tf::Session& session) {
    const int64_t before = in_use();
    for (int64_t i = 0; i < 16; ++i) run_with(session, p, 2000 + 10 * i);  // 4 MiB each, or more
    return in_use() - before;
  };
  {
    const auto recording = ledger.record();
    CHECK(held_after(bounded) <= 18 * kMiB);
  }
  CHECK(held_after(unbounded) >= 48 * kMiB);
  CHECK(unbounded.num_plans() >= 16);
  CHECK(bounded.num_plans() >= 2);
  CHECK(bounded.num_plans() <= 6);
  CHECK(ledger.plans_given_up() >= 11);
  CHECK(ledger.table().find(std::to_string(ledger.plans_given_up()) + " given up") != std::string::npos);
  for (int64_t i = 0; i < 16; ++i) run_with(bounded, p, 2000 + 10 * i);
}

TEST_CASE("The plan used last keeps its memory, however much that is, and others go by when they were used") {
  FreshGraph fresh;
  const Program p;
  const tf::Session session({.plan_memory = 12 * kMiB});
  session.run(tf::global_variables_initializer());
  tf::Ledger ledger;
  const auto recording = ledger.record();
  run_with(session, p, 20000);  // beyond the bound alone
  const int64_t held = in_use();
  for (int i = 0; i < 3; ++i) run_with(session, p, 20000);
  CHECK(in_use() == held);
  CHECK(ledger.plans_given_up() == 0);
  CHECK(ledger.plan_misses() == 1);
  run_with(session, p, 1000);
  CHECK(in_use() < held);
  CHECK(ledger.plans_given_up() == 1);
  // 1000 is used between the others: 1010, 1020, ... are given up before it is.
  for (int64_t i = 1; i < 20; ++i) {
    run_with(session, p, 1000 + 10 * i);
    run_with(session, p, 1000);
  }
  CHECK(ledger.plan_misses() == 1 + 1 + 19);
}

TEST_CASE("What a callable and bodies of control flow hold is bounded, too") {
  FreshGraph fresh;
  const Program p;
  const auto [count, total] =
      tf::while_loop([](const Tensor& i, const Tensor&) { return i < 2; },
                     [&](const Tensor& i, const Tensor& s) {
                       return std::tuple{i + 1, s + tf::sum(tf::matmul(tf::matmul(p.x, p.w), tf::ones({256, 256})))};
                     },
                     std::tuple{tf::constant(0), tf::constant(0.f)});
  const tf::Session session({.plan_memory = 16 * kMiB});
  session.run(tf::global_variables_initializer());
  const auto callable = session.make_callable(p.y, {p.x});
  const int64_t before = in_use();
  for (int64_t i = 0; i < 16; ++i) {
    const Tensor rows = tf::eagerly([&] { return Program::rows(2000 + 10 * i); });
    CHECK(callable(rows).item<float>() == 0);
    CHECK(session.run(total, {{p.x, rows}}).item<float>() == 0);
  }
  CHECK(in_use() - before <= 20 * kMiB);
}

TEST_CASE("A plan counts as given up where it has gone") {
  FreshGraph fresh;
  constexpr int64_t kColumns = 1 << 18;
  const Tensor x = tf::placeholder(tf::float32, {-1, kColumns});
  // The body's plan holds 1 MiB that was computed for it, and nothing else; the plan that it is part of holds nothing.
  const std::vector<float> ones(kColumns, 1.f);
  const auto [count, sum] = tf::while_loop([](const Tensor& i, const Tensor&) { return i < 2; },
                                           [&](const Tensor& i, const Tensor& s) {
                                             return std::tuple{i + 1, s + tf::exp(tf::constant(ones))};
                                           },
                                           std::tuple{tf::constant(0), x});
  const tf::Session session({.plan_memory = 2 * kMiB});
  tf::Ledger ledger;
  {
    const auto recording = ledger.record();
    for (int64_t rows = 1; rows <= 6; ++rows)
      (void)session.run(count, {{x, tf::eagerly([&] { return tf::zeros({rows, kColumns}); })}});
  }
  CHECK(ledger.plan_misses() == 6);
  CHECK(ledger.plans_given_up() == ledger.plan_misses() - session.num_plans());
}

namespace {

/// Has whoever can give up memory.
struct Asking {
  Asking() { tf::reclaim_memory({}); }
};
/// Ones that are not whole when they are asked.
class HalfAnExecutor final : public tf::Executor, Asking {
 public:
  HalfAnExecutor(std::unique_ptr<const tf::Plan> plan, tf::SessionContext& context)
      : Executor(std::move(plan), {}, context) {}
  tf::IdleMemory take_idle() override { return {}; }

 private:
  void execute(std::span<const Tensor>, std::span<Tensor>, tf::Ledger*, bool) override {}
};
class HalfAHolder final : public tf::MemoryHolder, Asking {
 public:
  ~HalfAHolder() override { leave(); }
  uint64_t oldest(tf::Device, const tf::GpuPool*) override { return kNothing; }
  bool give_up(tf::Device, const tf::GpuPool*) override { return false; }
};

}  // namespace

TEST_CASE("Nobody asks anything for memory before it is whole, or once it is not any more") {
  FreshGraph fresh;
  const Tensor y = tf::exp(tf::constant(std::vector<float>(1000, 1.f)));
  tf::GraphData& g = *fresh.graph.data();
  tf::Request request;
  request.fetches.push_back({y.node(), 0});
  tf::SessionContext context({}, false);
  const auto holds_some = [&] { return context.plans.oldest({}, nullptr) != tf::PlanMemory::kNothing; };
  {
    auto plan = tf::make_plan(g, request, {}, context.slots, nullptr);
    REQUIRE(plan->constant_bytes.size() == 1);
    const HalfAnExecutor half(std::move(plan), context);
    CHECK_FALSE(holds_some());
  }
  {
    const auto whole = tf::make_executor(g, request, {}, context, nullptr);
    CHECK(holds_some());
  }
  CHECK_FALSE(holds_some());
  const HalfAHolder holder;
}

TEST_CASE("Frames of many runs at once do not pile up beyond the bound") {
  FreshGraph fresh;
  const Program p;
  const tf::Session session({.plan_memory = 8 * kMiB});
  session.run(tf::global_variables_initializer());
  const int64_t before = in_use();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 4; ++i) run_with(session, p, 1500);
    });
  for (auto& t : threads) t.join();
  CHECK(in_use() - before <= 14 * kMiB);
}

TEST_CASE("A bound that makes no sense") {
  FreshGraph fresh;
  CHECK_ERROR(tf::Session({.plan_memory = -1}), InvalidArgument, "plan_memory is -1 bytes");
}

#ifndef TWOFOLD_SANITIZED  // which take address space of their own
TEST_CASE("Before memory runs out, plans that nobody uses give up theirs, of any session") {
  FreshGraph fresh;
  const Program p;
  const tf::Session one({.plan_memory = int64_t{1} << 40}), other({.plan_memory = int64_t{1} << 40});
  for (const tf::Session* session : {&one, &other}) session->run(tf::global_variables_initializer());
  run_with(one, p, 100);
  // So much more address space as five of these plans take, where sixteen are run.
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + 600 * kMiB);
  REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
  std::string error;
  try {
    for (int64_t i = 0; i < 8; ++i)
      for (const tf::Session* session : {&one, &other}) run_with(*session, p, 50000 + 10 * i);  // 100 MiB each, or more
  } catch (const std::exception& e) {
    error = e.what();
  }
  setrlimit(RLIMIT_AS, &before);
  CHECK(error == "");
  CHECK(one.num_plans() + other.num_plans() < 16);
  for (const tf::Session* session : {&one, &other}) run_with(*session, p, 100);
}
#endif
