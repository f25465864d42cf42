// Traces and saved programs on a GPU, and from one device to the other.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "gpu.h"
#include "io/scratch.h"
#include "training.h"

namespace tf = twofold;
using namespace training;

namespace {

// The largest distance of two tensors' elements, by the larger of 1 and the element.
double distance(const Tensor& a, const Tensor& b) {
  const auto x = floats(a), y = floats(b);
  REQUIRE(x.size() == y.size());
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i)
    most = std::max(most, static_cast<double>(std::abs(x[i] - y[i]) / std::max(1.f, std::abs(x[i]))));
  return most;
}

struct Net {
  tf::nn::Conv2d conv{1, 4, 3};
  tf::nn::BatchNorm2d norm{4};
  tf::nn::Linear linear{4 * 9, 3};
  Tensor operator()(const Tensor& x) {
    return linear(tf::reshape(tf::max_pool2d(tf::relu(norm(conv(x))), 2), {-1, 4 * 9}));
  }
  std::vector<tf::Variable> parameters() {
    std::vector<tf::Variable> all;
    for (const auto& list : {conv.parameters(), norm.parameters(), linear.parameters()})
      all.insert(all.end(), list.begin(), list.end());
    return all;
  }
};

Tensor images(int64_t n) { return tf::sin(tf::reshape(tf::range(static_cast<float>(n * 64)), {n, 1, 8, 8})); }
Tensor targets(int64_t n) { return tf::cos(tf::reshape(tf::range(static_cast<float>(n * 3)), {n, 3})); }

// Builds, trains and saves a net on `device`; what it then predicts, and its losses in four steps more.
std::vector<Tensor> save_and_go_on(const std::string& device, const std::string& path) {
  const auto on = tf::device(device);
  tf::set_random_seed(5);
  Net net;
  tf::train::Adam opt(net.parameters(), {.lr = 0.01});
  auto predict = tf::function([&](Tensor x) { return net(x); });
  auto fit = tf::step([&](Tensor x, Tensor y) {
    const Tensor loss = tf::mean(tf::square(net(x) - y));
    opt.minimize(loss);
    return loss;
  });
  const Tensor x = images(8), y = targets(8);
  predict(x);
  for (int i = 0; i < 3; ++i) fit(x, y);
  tf::save(path, {{"predict", predict}, {"fit", fit}});
  std::vector<Tensor> results{predict(x)};
  for (int i = 0; i < 4; ++i) results.push_back(fit(x, y));
  return results;
}

std::vector<Tensor> load_and_go_on(const std::string& device, const std::string& path) {
  const tf::SavedProgram program = tf::load(path, {.device = device});
  auto predict = program.function("predict"), fit = program.function("fit");
  const auto on = tf::device(device);
  const Tensor x = images(8), y = targets(8);
  std::vector<Tensor> results{predict(x)};
  for (int i = 0; i < 4; ++i) results.push_back(fit(x, y));
  return results;
}

}  // namespace

TEST_CASE("gpu: guards are read of values on a GPU, and hold or do not") {
  if (testing::lacks_gpu()) return;
  in_each_mode([](tf::Session& session) {
    const auto on = tf::device("/gpu:0");
    tf::Variable calls(0.f);
    session.run(tf::global_variables_initializer());
    auto f = tf::trace(session,
                       [&](Tensor x, Tensor n) {
                         calls.assign_add(1.f);
                         Tensor y = x;
                         for (int i = 0; i < n.item<int>(); ++i) y = y + 1.f;
                         if (tf::sum(y) > 10.f) return y * static_cast<float>(y.dim(0));
                         return -y;
                       },
                       {std::vector<float>{1, 2}, 2});
    const auto call = [&](std::vector<float> x, int n) { return floats(f(x, n)); };
    CHECK(call({1, 2}, 2) == std::vector<float>{-3, -4});
    CHECK(call({5, 6}, 2) == std::vector<float>{14, 16});
    CHECK(call({1, 2}, 3) == std::vector<float>{-4, -5});
    CHECK(call({5, 6, 7}, 2) == std::vector<float>{21, 24, 27});
    CHECK(call({1, 2}, 2) == std::vector<float>{-3, -4});
    CHECK(f.traces().size() == 4);
    CHECK(number(tf::executing_eagerly() ? calls.read() : session.run(calls)) == 5);
  });
}

TEST_CASE("gpu: a program goes on to the bit on its device, and nearly so on the other") {
  if (testing::lacks_gpu()) return;
  const tf::EagerMode eager;
  const Scratch scratch;
  for (const std::string from : {"/cpu:0", "/gpu:0"}) {
    const std::string path = scratch / "program.safetensors";
    const std::vector<Tensor> expected = save_and_go_on(from, path);
    for (const std::string to : {"/cpu:0", "/gpu:0"}) {
      INFO("from " << from << " to " << to);
      const std::vector<Tensor> given = load_and_go_on(to, path);
      REQUIRE(given.size() == expected.size());
      for (size_t i = 0; i < given.size(); ++i) {
        if (from == to)
          CHECK(floats(given[i]) == floats(expected[i]));
        else
          CHECK(distance(given[i], expected[i]) < 1e-4);
      }
    }
  }
}
