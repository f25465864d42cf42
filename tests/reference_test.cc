// The demo `myconv` against PyTorch's float64 runs, kept in tests/data/reference, in all three columns, on the CPU and
// on a GPU.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include <twofold/lib/op/numerics.h>

#include "../demos/myconv/train.h"
#include "gpu.h"
#include "source_root.h"

namespace {

// Of the bias of a convolution before batch norm the true gradient is zero: what arrives is rounding noise, by which
// Adam moves it at full speed, and with it the mean that the batch norm sees.
constexpr int kConvolutions[] = {0, 3, 6};
std::string conv(int i, const char* name) { return fmt::format("convnet.{}{}", kConvolutions[i], name); }
bool is_noise(const std::string& name) {
  for (int i = 0; i < 3; ++i)
    if (name == conv(i, ".bias") || name == conv(i, ".bias.grad")) return true;
  return name.ends_with("running_mean");
}

double norm(std::span<const float> a, std::span<const float> minus = {}) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - (minus.empty() ? 0 : static_cast<double>(minus[i]));
    sum += d * d;
  }
  return std::sqrt(sum);
}

/// Checks that `ours` has what `reference` has, by norm within `tolerance`, where it is no noise.
void check_close(const std::map<std::string, tf::Tensor>& ours, const tf::io::Safetensors& reference,
                 double tolerance) {
  CHECK(ours.size() == reference.size());
  for (const auto& [name, expected] : reference) {
    INFO(name);
    REQUIRE(ours.contains(name));
    const tf::Tensor& got = ours.at(name);
    REQUIRE(got.shape() == expected.shape());
    const auto a = got.data<float>(), b = expected.data<float>();
    if (!is_noise(name)) CHECK(norm(a, b) <= tolerance * norm(b));
  }
}

std::string path_of(const std::string& folder) { return TWOFOLD_SOURCE_ROOT "/tests/data/reference/" + folder + "/"; }

struct Result {
  std::deque<Run> runs;
  std::vector<double> losses;  // those to be reached
};
void train_reference(const std::string& folder, How how, const std::string& device, Result& result) {
  const std::string path = path_of(folder);
  const auto settings = nlohmann::json::parse(std::ifstream(path + "run.json"));
  Settings s;
  s.full = settings["net"] == "full";
  s.batch = settings["batch"], s.side = settings["side"], s.steps = settings["steps"];
  if (s.full) s.hidden = settings["hidden"];
  s.wants_gradients = true;
  s.device = device;
  const Start start = load_start(path + "start.safetensors");
  REQUIRE(start.x.shape() == tf::Shape{s.batch, 3, s.side, s.side});
  train({how}, s, start, result.runs);
  result.losses = settings["loss_float64"].get<std::vector<double>>();
  REQUIRE(result.runs[0].losses.size() == result.losses.size());
}

void check_run(const std::string& folder, How how, const std::string& device = "/cpu:0") {
  Result result;
  train_reference(folder, how, device, result);
  const Run& run = result.runs[0];
  const auto& losses = result.losses;
  for (size_t i = 0; i < losses.size(); ++i) {
    INFO("loss of step " << i + 1);
    CHECK(std::abs(run.losses[i] - losses[i]) <= 1e-4 * std::max(std::abs(losses[i]), 1e-3));
  }
  check_close(run.gradients, tf::io::load_safetensors(path_of(folder) + "grads.safetensors"), 2e-5);
  const tf::io::Safetensors end = tf::io::load_safetensors(path_of(folder) + "end.safetensors");
  check_close(run.end, end, 1.5e-4);
  for (int i = 0; i < 3; ++i)
    CHECK(norm(run.gradients.at(conv(i, ".bias.grad")).data<float>()) <=
          1e-5 * norm(run.gradients.at(conv(i, ".weight.grad")).data<float>()));
  for (const auto& [name, expected] : end) {
    if (!is_noise(name)) continue;
    INFO(name);
    const auto a = run.end.at(name).data<float>(), b = expected.data<float>();
    for (size_t k = 0; k < a.size(); ++k) CHECK(std::abs(a[k] - b[k]) <= 0.03);
  }
}

void check_run_on_gpu(const std::string& folder) {
  for (const How how : {How::eager, How::deferred, How::optimized}) {
    INFO(name_of(how));
    check_run(folder, how, "/gpu:0");
  }
}

void check_tf32_run(const std::string& folder) {
  struct Tf32 {
    Tf32() { tf::set_math_mode(tf::MathMode::tf32); }
    ~Tf32() { tf::set_math_mode(tf::MathMode::strict); }
  };
  constexpr double kTolerance = 2e-2;
  constexpr size_t kSteps = 5;
  const Tf32 tf32;
  for (const How how : {How::eager, How::deferred, How::optimized}) {
    INFO(name_of(how));
    Result result;
    train_reference(folder, how, "/gpu:0", result);
    for (size_t i = 0; i < kSteps; ++i) {
      INFO("loss of step " << i + 1 << ": " << result.runs[0].losses[i] << ", wanted " << result.losses[i]);
      CHECK(std::abs(result.runs[0].losses[i] - result.losses[i]) <= kTolerance * std::abs(result.losses[i]));
    }
    check_close(result.runs[0].gradients, tf::io::load_safetensors(path_of(folder) + "grads.safetensors"), kTolerance);
  }
}

}  // namespace

#ifndef TWOFOLD_SANITIZED  // the small net goes through the same code in a fiftieth of the time
TEST_CASE("The article's net trains to float64's losses, eager", "[reference]") { check_run("article", How::eager); }
TEST_CASE("The article's net trains to float64's losses, deferred", "[reference]") {
  check_run("article", How::deferred);
}
TEST_CASE("The article's net trains to float64's losses, optimised", "[reference]") {
  check_run("article", How::optimized);
}
#endif
TEST_CASE("A small full net trains to float64's losses, eager", "[reference]") { check_run("full_small", How::eager); }
TEST_CASE("A small full net trains to float64's losses, deferred", "[reference]") {
  check_run("full_small", How::deferred);
}
TEST_CASE("A small full net trains to float64's losses, optimised", "[reference]") {
  check_run("full_small", How::optimized);
}

TEST_CASE("gpu: the article's net trains to float64's losses, in all three columns", "[reference]") {
  if (testing::lacks_gpu()) return;
  check_run_on_gpu("article");
}
TEST_CASE("gpu: a small full net trains to float64's losses, in all three columns", "[reference]") {
  if (testing::lacks_gpu()) return;
  check_run_on_gpu("full_small");
}
TEST_CASE("gpu: under TF32 both nets' first losses and gradients are near float64's", "[reference]") {
  if (testing::lacks_gpu()) return;
  check_tf32_run("article");
  check_tf32_run("full_small");
}
