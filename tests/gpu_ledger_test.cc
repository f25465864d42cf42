// Where the time of programs on a GPU goes.
#include <string>

#include <twofold/twofold.h>

#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Phase;
using tf::Tensor;

namespace {

constexpr int64_t kSide = 1024;

Tensor square(float value) { return tf::tensor(std::vector<float>(kSide * kSide, value), {kSide, kSide}); }

}  // namespace

TEST_CASE("gpu: the ledger of eager ops has the GPU's own time, transfers, and waiting") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Tensor host = square(0.5f);
  tf::matmul(host.to("/gpu:0"), host.to("/gpu:0")).data<float>();  // what comes with the first use
  tf::Ledger ledger;
  {
    const auto recording = ledger.record();
    const Tensor there = host.to("/gpu:0");
    Tensor y = there;
    for (int i = 0; i < 20; ++i) y = tf::matmul(y, there) * 1e-3f;
    (void)y.data<float>();
  }
  const auto ops = ledger.ops();
  CHECK(ops.at("MatMul").calls == 20);
  CHECK(ops.at("Mul").calls == 20);
  // 2 * 1024^3 operations: no GPU is faster than 10^15 a second, none slower than 10^11.
  CHECK(ops.at("MatMul").seconds > 20 * 2e-6);
  CHECK(ops.at("MatMul").seconds < 20 * 2e-2);
  CHECK(ledger.seconds(Phase::kernel) >= 0.99 * (ops.at("MatMul").seconds + ops.at("Mul").seconds));
  CHECK(ledger.seconds(Phase::kernel) < ledger.wall_seconds());
  CHECK(ledger.seconds(Phase::transfer) > 0);
  CHECK(ledger.seconds(Phase::sync) > 0);
  CHECK(ledger.seconds(Phase::dispatch) > 0);
  CHECK(ledger.seconds(Phase::plan) == 0);
  CHECK(ledger.json().find("\"transfer\"") != std::string::npos);
  CHECK(ledger.table().find("sync") != std::string::npos);
  ledger.reset();
  CHECK(ledger.seconds(Phase::kernel) == 0);
}

TEST_CASE("gpu: the ledger of a session has them too, op by op or as one captured graph") {
  if (testing::lacks_gpu()) return;
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {kSide, kSide}), y = tf::matmul(tf::matmul(x, x) * 1e-3f, x);
  const Tensor host = square(0.5f);
  constexpr int kRuns = 5;
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    session.run(y, {{x, host}});
    tf::Ledger ledger;
    {
      const auto recording = ledger.record();
      for (int run = 0; run < kRuns; ++run) (void)session.run(y, {{x, host}}).data<float>();
    }
    const auto ops = ledger.ops();
    if (optimize) {
      CHECK(ops.at("captured graph").calls == kRuns);
      CHECK(ops.at("captured graph").seconds > kRuns * 2 * 2e-6);
      CHECK(ledger.notes().empty());
    } else {
      CHECK(ops.at("MatMul").calls == 2 * kRuns);
      CHECK(ops.at("MatMul").seconds > kRuns * 2 * 2e-6);
      CHECK(ledger.notes().size() == 1);
    }
    CHECK(ledger.runs() == kRuns);
    CHECK(ledger.plan_hits() == kRuns);
    CHECK(ledger.seconds(Phase::kernel) > 0);
    CHECK(ledger.seconds(Phase::kernel) < ledger.wall_seconds());
    CHECK(ledger.seconds(Phase::transfer) > 0);
    CHECK(ledger.seconds(Phase::sync) > 0);
  }
}
