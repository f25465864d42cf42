// The article's net out of its process, beside what elsewhere.py measures: `make` writes it as a saved program, as an
// ONNX model and as plain floats for elsewhere_torch.cc; `time` loads the program, calls it, and prints milliseconds.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "myconv/train.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void write(const std::string& path, const std::vector<tf::Tensor>& tensors) {
  std::ofstream out(path, std::ios::binary);
  for (const tf::Tensor& t : tensors) {
    const auto floats = t.data<float>();
    out.write(reinterpret_cast<const char*>(floats.data()), static_cast<std::streamsize>(floats.size_bytes()));
  }
}

tf::Tensor images(int64_t batch) {
  tf::set_random_seed(7);
  return tf::random_normal({batch, 3, 28, 28});
}

void make(const std::string& folder, bool full, int64_t hidden) {
  const tf::EagerMode eager;
  tf::set_random_seed(0);
  MyConv net(full, 28, hidden);
  net(images(128));  // moves the running statistics off 0 and 1
  net.eval();
  auto predict = tf::function([&](const tf::Tensor& x) { return net(x); },
                              {.name = "predict", .shapes = {{-1, 3, 28, 28}}, .arguments = {"x"}, .results = {"y"}});
  for (const int64_t batch : {1, 128}) {
    const tf::Tensor x = images(batch);
    write(folder + "/x" + std::to_string(batch), {x});
    write(folder + "/y" + std::to_string(batch), {predict(x)});
  }
  tf::save(folder + "/net.safetensors", {{"predict", predict}});
  tf::save_onnx(folder + "/net.onnx", predict);
  std::map<std::string, tf::Tensor> state;
  for (const auto& [name, value] : net.state()) state.emplace(name, value.read());
  std::vector<tf::Tensor> weights;
  for (const char* layer : {"0", "3", "6"}) {
    const std::string conv = "convnet." + std::string(layer), norm = "convnet." + std::to_string(layer[0] - '0' + 1);
    for (const std::string& name : {conv + ".weight", conv + ".bias", norm + ".weight", norm + ".bias",
                                    norm + ".running_mean", norm + ".running_var"})
      weights.push_back(state.at(name));
  }
  if (full)
    for (const char* name : {"linearnet.0.weight", "linearnet.0.bias", "linearnet.2.weight", "linearnet.2.bias"})
      weights.push_back(state.at(name));
  write(folder + "/weights", weights);
}

void time(const std::string& folder, int64_t batch, int calls, const std::string& result) {
  const tf::EagerMode eager;
  const tf::Tensor x = images(batch);  // also starts the threads and loads the kernels, as the peers have done by now
  const auto loading = Clock::now();
  const tf::SavedProgram program = tf::load(folder + "/net.safetensors");
  auto predict = program.function("predict");
  std::cout << milliseconds_since(loading);
  tf::Tensor y;
  for (int i = 0; i <= calls; ++i) {
    const auto start = Clock::now();
    y = predict(x);
    tf::synchronize();
    std::cout << ' ' << milliseconds_since(start);
  }
  std::cout << '\n';
  write(result, {y});
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 4 && words[0] == "make")
      make(words[1], words[2] == "full", std::stoi(words[3]));
    else if (words.size() == 6 && words[0] == "time")
      tf::set_num_threads(std::stoi(words[5])), time(words[1], std::stoi(words[2]), std::stoi(words[3]), words[4]);
    else
      return std::cerr << "usage: elsewhere make FOLDER article|full HIDDEN\n       elsewhere time FOLDER BATCH CALLS "
                          "RESULT THREADS\n",
             2;
  } catch (const tf::Error& e) {
    return std::cerr << e.what() << '\n', 1;
  }
}
