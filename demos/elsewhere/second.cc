// The second process: knows nothing of the net. It loads the program that the first has saved, predicts, trains ten
// more steps, and compares each number with what the first came to, going on: they must be equal to the bit.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <vector>

#include <fmt/format.h>
#include <twofold/twofold.h>

namespace tf = twofold;
using Clock = std::chrono::steady_clock;

namespace {

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

bool same_bits(const tf::Tensor& given, const tf::Tensor& wanted) {
  const tf::Tensor a = given.to("/cpu:0"), b = wanted.to("/cpu:0");
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const auto x = a.data<float>(), y = b.data<float>();
  return std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
}

class Comparison {
 public:
  void add(const std::string& what, const tf::Tensor& given, const tf::Tensor& wanted) {
    ++count_;
    if (same_bits(given, wanted)) return;
    ++different_;
    std::cout << what << " differs: here\n" << given << "\nand there\n" << wanted << '\n';
  }
  bool report() const {
    std::cout << fmt::format("{} of {} tensors are equal to the bit to what the first process came to\n",
                             count_ - different_, count_);
    return different_ == 0;
  }

 private:
  int count_ = 0, different_ = 0;
};

bool run(const std::string& path, const std::string& expected, const std::string& device, int calls) {
  const tf::EagerMode eager;
  const auto loading = Clock::now();
  const tf::SavedProgram program = tf::load(path, {.device = device});
  const double load = milliseconds_since(loading);
  for (const auto& signature : program.signatures()) std::cout << signature << '\n';
  const tf::io::Safetensors there = tf::io::load_safetensors(expected);
  const tf::Tensor x = there["x"], y = there["y"];
  auto predict = program.function("predict"), train = program.function("train");

  Comparison comparison;
  const auto calling = Clock::now();
  tf::Tensor predicted = predict(x);
  tf::synchronize();
  const double first = milliseconds_since(calling);
  comparison.add("the prediction", predicted, there["predicted"]);
  std::vector<double> later;
  for (int i = 0; i < calls; ++i) {
    const auto start = Clock::now();
    predicted = predict(x);
    tf::synchronize();
    later.push_back(milliseconds_since(start));
  }
  std::ranges::sort(later);
  for (int i = 0; i < 10; ++i) {
    const tf::Tensor loss = train(x, y);
    std::cout << "step " << i + 1 << " from here: loss " << loss << '\n';
    comparison.add(fmt::format("the loss of step {}", i + 1), loss, there["loss." + std::to_string(i)]);
  }
  comparison.add("the prediction after training on", predict(x), there["predicted.after"]);
  std::cout << fmt::format("loaded in {:.1f} ms; predict: first call {:.2f} ms, later calls {:.2f} ms (median of {})\n",
                           load, first, later.empty() ? 0 : later[later.size() / 2], later.size());
  return comparison.report();
}

}  // namespace

int main(int argc, char** argv) {
  std::string program = "elsewhere.safetensors", expected = "elsewhere.expected.safetensors", device = "/cpu:0";
  int calls = 10;
  CLI::App app("Loads a program that another process has saved, and goes on with it to the bit.");
  app.add_option("program", program, "the file that it was saved to");
  app.add_option("expected", expected, "the file of what the first process came to");
  app.add_option("--device", device, "/cpu:0 or /gpu:0");
  app.add_option("--calls", calls, "calls of predict that are timed")->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    return run(program, expected, device, calls) ? 0 : 1;
  } catch (const tf::Error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
