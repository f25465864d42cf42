// Saved programs of each version of the library run on.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "../catch.h"
#include "../training.h"
#include "source_root.h"

namespace tf = twofold;
using tf::Tensor;

// What tests/io/saved_programs.cc builds, with values by hand.
TEST_CASE("Programs that version 0.2.0 has saved run on", "[saved]") {
  tf::EagerMode eager;
  const auto load = [](const std::string& name) {
    return tf::load(TWOFOLD_SOURCE_ROOT "/tests/data/saved/0.2.0/" + name + ".safetensors");
  };
  const auto same = [](const Tensor& t, std::vector<double> expected) {
    const auto values = tf::cast(t, tf::float64);
    REQUIRE(t.num_elements() == static_cast<int64_t>(expected.size()));
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(std::abs(values.data<double>()[i] - expected[i]) <= 1e-5 * std::max(1.0, std::abs(expected[i])));
  };
  same(load("affine").function("f")({1.f, 2.f}, 3.f), {5, 7});
  same(load("lines").function("f")({1.f, 2.f}, 3.f), {5, 7});
  same(load("branch").function("f")({1.f, 2.f}), {1, 4});
  same(load("branch").function("f")({-1.f, -2.f}), {std::exp(-1.0), std::exp(-2.0)});
  same(load("loop").function("f")(2.f), {16});
  same(load("slopes").function("f")({1.f, 2.f}), {2 + 4 * 27, 4 + 4 * 27});  // of x^2, and of (x + y)^4
  same(load("list").function("f")({1.f, 2.f}), {2, 6});
  same(load("guarded").function("f")({2.f}), {2});
  same(load("guarded").function("f")({-3.f}), {3});
  same(load("several").function("f")(2.f), {4});
  same(load("several").function("f")(int64_t{3}), {6});
  same(load("several").function("f")(tf::tensor({1.0, 2.0})), {2, 4});
  const auto constants = load("constants").function("f").all(tf::tensor({1.f, 0.f, 1.f}));
  same(constants.at(0), {0, 0, 2});
  same(constants.at(1), {0, 1, 2});
  same(constants.at(2), {3, 4, 1, 2, 3, 4});
  const auto shapes = load("shapes").function("f").all(tf::tensor({{1.f, 2.f, 3.f}, {6.f, 5.f, 4.f}}));
  same(shapes.at(0), {1, 6, 1, 6, 2, 5, 2, 5, 3, 4, 3, 4});
  same(shapes.at(1), {6, 15});
  same(shapes.at(2), {1, 6});
  same(shapes.at(3), {1, 1, 1});
  CHECK(load("conv").function("f")(tf::ones({1, 1, 6, 6})).shape() == tf::Shape{1, 2, 2, 2});

  // w = ((1, 2), (3, 4)) and b = 0 after one step of Adam, which is -0.01 by the sign of each gradient.
  const auto training = load("training");
  same(training.function("predict")(tf::ones({1, 2})), {3.97, 5.97});
  same(training.function("fit")(tf::ones({1, 2}), tf::ones({1, 2})), {(2.97 * 2.97 + 4.97 * 4.97) / 2});
  const auto after = training.function("predict")(tf::ones({1, 2}));
  same(after, {3.94, 5.94});  // gradients of one sign: nearly as much again

  // The third of its draws, as version 0.2.0 would have gone on.
  same(load("draws").function("f")(1.f), {-0.874022961, 0.104448617});
}
