// The same work in LibTorch, under the names of bench.cc. Scripted functions stand beside the deferred rows.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/jit.h>
#include <torch/script.h>

#include <string>
#include <vector>

namespace {

constexpr int64_t kLarge = int64_t{1} << 24;
constexpr int kChain = 1000;

// One thread for the scope, as a scalar needs no more.
struct OneThread {
  int outer = at::get_num_threads();
  OneThread() { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(outer); }
};

void eager_add(benchmark::State& state) {
  const OneThread one;
  const torch::NoGradGuard no_grad;
  const torch::Tensor a = torch::ones({}), b = torch::ones({});
  for (auto _ : state) benchmark::DoNotOptimize(a + b);
}
BENCHMARK(eager_add);

// Calls a TorchScript function of scalars; the first calls, which profile and compile, are not timed.
void scripted(benchmark::State& state, const std::string& text, size_t arguments) {
  const OneThread one;
  const torch::NoGradGuard no_grad;
  const auto unit = torch::jit::compile(text);
  torch::jit::Function& f = unit->get_function("f");
  const std::vector<torch::jit::IValue> values(arguments, torch::full({}, 0.5f));
  const auto call = [&] {
    std::vector<torch::jit::IValue> stack = values;
    return f(std::move(stack));
  };
  for (int i = 0; i < 5; ++i) call();
  for (auto _ : state) benchmark::DoNotOptimize(call());
}

void callable(benchmark::State& state) { scripted(state, "def f(x, a, b):\n  return a * x + b\n", 3); }
BENCHMARK(callable);

void chain(benchmark::State& state) {
  std::string text = "def f(x, a, b):\n";
  for (int i = 0; i < kChain; i += 2) text += "  x = x * a + b\n";
  scripted(state, text + "  return x\n", 3);
  state.SetItemsProcessed(state.iterations() * kChain);
}
BENCHMARK(chain);

void relu_eager(benchmark::State& state) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor u = torch::rand({kLarge}), w = torch::rand({kLarge});
  for (auto _ : state) benchmark::DoNotOptimize(torch::relu(u * w + u) * w);
}
BENCHMARK(relu_eager)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
