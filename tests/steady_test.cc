// Steady training lives within the memory that it has.
#include <twofold/twofold.h>

#include "catch.h"
#include "training.h"

namespace nn = twofold::nn;
using namespace training;

namespace {

/// Trains a net of every kind of layer; the counters after each of the last steps.
std::vector<tf::AllocatorStats> train(tf::Session& session) {
  nn::Sequential net(nn::Conv2d(3, 16, 3, {.padding = 1}), nn::BatchNorm2d(16), nn::ReLU(),
                     nn::Conv2d(16, 16, 3, {.padding = 1}), nn::MaxPool2d(2), nn::Dropout(0.2), nn::Flatten(),
                     nn::Linear(16 * 4 * 4, 32), nn::LayerNorm({32}), nn::GELU(), nn::Linear(32, 10));
  tf::train::Adam opt(net.parameters());
  auto step = tf::step(session, [&](Tensor x, Tensor y) {
    const Tensor loss = nn::softmax_cross_entropy(net(x), y);
    opt.minimize(loss);
    return std::array{loss, tf::gradients(loss, {x})[0]};
  });
  session.run(tf::global_variables_initializer());
  const Tensor x = tf::tensor(std::vector<float>(8 * 3 * 8 * 8, 0.5f), {8, 3, 8, 8});
  const Tensor y = tf::tensor(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
  for (int i = 0; i < 3; ++i) step(x, y);
  tf::reset_peak_allocation();
  std::vector<tf::AllocatorStats> stats;
  for (int i = 0; i < 6; ++i) {
    step(x, y);
    stats.push_back(tf::allocator_stats());
  }
  return stats;
}

}  // namespace

TEST_CASE("Steady training asks the system for no memory and holds no more from step to step", "[train]") {
  for (const How how : {How::eager, How::deferred, How::optimized}) {
    INFO(static_cast<int>(how));
    const auto stats = in_mode(how, train);
    for (const tf::AllocatorStats& s : stats) {
      CHECK(s.fresh_count == stats[0].fresh_count);
      CHECK(s.in_use == stats[0].in_use);
      CHECK(s.peak == stats[0].peak);
    }
  }
}
