// The peer of elsewhere.cc in LibTorch: `make` writes the same net with the same weights as TorchScript, `time` loads
// it with torch::jit::load, calls it, and prints milliseconds; `optimized` has torch::jit::optimize_for_inference in
// its load.
#include <torch/script.h>
#include <torch/torch.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

torch::Tensor read(std::ifstream& in, std::vector<int64_t> shape) {
  torch::Tensor t = torch::empty(shape);
  in.read(static_cast<char*>(t.data_ptr()), t.numel() * 4);
  TORCH_CHECK(in, "the file is too short");
  return t;
}

void make(const std::string& folder, bool full, int64_t hidden) {
  std::ifstream in(folder + "/weights", std::ios::binary);
  torch::jit::Module net("MyConv");
  std::string text = "def forward(self, x):\n";
  const int64_t channels[] = {3, 16, 32, 64};
  for (int i = 0; i < 3; ++i) {
    const std::string n = std::to_string(i);
    const int64_t to = channels[i + 1];
    net.register_parameter("w" + n, read(in, {to, channels[i], 3, 3}), false);
    net.register_parameter("b" + n, read(in, {to}), false);
    for (const char* name : {"scale", "shift"}) net.register_parameter(name + n, read(in, {to}), false);
    for (const char* name : {"mean", "var"}) net.register_buffer(name + n, read(in, {to}));
    text += "  x = torch.conv2d(x, self.w" + n + ", self.b" + n +
            ", [1, 1], [1, 1])\n  x = torch.relu(torch.batch_norm(x, self.scale" + n + ", self.shift" + n +
            ", self.mean" + n + ", self.var" + n + ", False, 0.1, 1e-5, False))\n";
  }
  text += "  x = torch.flatten(x, 1)\n";
  if (full) {
    net.register_parameter("v0", read(in, {hidden, 64 * 28 * 28}), false);
    net.register_parameter("c0", read(in, {hidden}), false);
    net.register_parameter("v1", read(in, {10, hidden}), false);
    net.register_parameter("c1", read(in, {10}), false);
    text +=
        "  x = torch.addmm(self.c0, x, self.v0.t())\n  x = torch.addmm(self.c1, torch.relu(x), self.v1.t())\n"
        "  x = torch.log_softmax(x, 1)\n";
  }
  net.register_attribute("training", c10::BoolType::get(), false);
  net.define(text + "  return x\n");
  net.save(folder + "/net.pt");
}

void time(const std::string& folder, int64_t batch, int calls, const std::string& result, bool optimized) {
  const c10::InferenceMode guard;
  std::ifstream in(folder + "/x" + std::to_string(batch), std::ios::binary);
  const std::vector<c10::IValue> x{read(in, {batch, 3, 28, 28})};
  const auto loading = Clock::now();
  torch::jit::Module net = torch::jit::load(folder + "/net.pt");
  net.eval();
  if (optimized) net = torch::jit::optimize_for_inference(net);
  std::cout << milliseconds_since(loading);
  torch::Tensor y;
  for (int i = 0; i <= calls; ++i) {
    const auto start = Clock::now();
    y = net.forward(x).toTensor();
    std::cout << ' ' << milliseconds_since(start);
  }
  std::cout << '\n';
  y = y.contiguous();
  std::ofstream(result, std::ios::binary).write(static_cast<const char*>(y.data_ptr()), y.numel() * 4);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 4 && words[0] == "make")
    make(words[1], words[2] == "full", std::stoi(words[3]));
  else if (words.size() == 6 && (words[0] == "time" || words[0] == "optimized")) {
    at::set_num_threads(std::stoi(words[5]));
    time(words[1], std::stoi(words[2]), std::stoi(words[3]), words[4], words[0] == "optimized");
  } else
    return 2;
}
