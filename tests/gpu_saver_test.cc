// Checkpoints of what lies on a GPU.
#include <algorithm>
#include <functional>
#include <string>

#include <twofold/twofold.h>

#include "catch.h"
#include "gpu.h"
#include "io/scratch.h"
#include "training.h"

namespace tf = twofold;
namespace train = twofold::train;
using tf::Tensor;

TEST_CASE("gpu: a Saver writes a GPU's values as they were between two steps, and sets them there") {
  if (testing::lacks_gpu()) return;
  constexpr int64_t kSize = 4 << 20;
  constexpr int kSaved = 5;
  training::in_each_mode([&](tf::Session& session) {
    const Scratch scratch;
    const auto on = tf::device("/gpu:0");
    const tf::Variable v(tf::zeros({kSize}), {.name = "v"});
    session.run(tf::global_variables_initializer());
    auto step = tf::step(session, std::function<Tensor()>([&] { return tf::sum(v.assign_add(1.f)); }));
    train::Saver saver(session, {{"v", v}}, {.directory = scratch.folder(), .keep_last = 0});
    const auto path = [&](int n) { return scratch / ("checkpoint-" + std::to_string(n) + ".safetensors"); };
    for (int n = 1; n <= kSaved; ++n) {
      const Tensor sum = step();
      saver.save(n, sum);
    }
    for (int i = 0; i < 20; ++i) step();  // while the last is written
    saver.wait();
    for (int n = 1; n <= kSaved; ++n) {
      const auto file = tf::io::load_safetensors(path(n));
      CHECK(std::ranges::count(file["v"].data<float>(), static_cast<float>(n)) == kSize);
    }
    CHECK(saver.checkpoints()[2].metric == 3.0 * kSize);
    CHECK(saver.restore(path(2)).step == 2);
    const Tensor restored = tf::read_state(session, {{"v", v}}).at("v");
    CHECK(std::ranges::count(restored.data<float>(), 2.f) == kSize);
    CHECK(step().item<float>() == 3.f * kSize);
  });
}
