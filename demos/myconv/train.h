// The article's net and its training run.
#pragma once

#include <twofold/twofold.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "columns.h"

namespace tf = twofold;

/// Convolutions as the article has them, and behind them, in the `full` net, its linear layers. The article builds
/// linear layers, too, but its `forward` calls none of them: `article` is that net.
struct MyConv : tf::nn::Module {
  MyConv(bool full, int64_t side, int64_t hidden);
  tf::Tensor forward(const tf::Tensor& x) const override;

  tf::nn::Sequential& convnet;
  tf::nn::Sequential* linearnet = nullptr;
};

/// When the loss is read: after each step, which waits for it; after the last one; or after each, and then `steps` more
/// are timed whose losses nobody reads.
enum class ReadLoss { each, last, both };

struct Settings {
  bool full = false;
  int64_t batch = 128, side = 28, hidden = 1024, seed = 0;
  int steps = 20;
  int warm_up = 0;  ///< steps after the first that are not timed
  int threads = 0;  ///< 0: as the machine has
  std::string optimizer = "adam";
  std::string device = "/cpu:0";
  bool resident = false;  ///< X and y lie on the device for good, and are not moved there at each step
  ReadLoss read_loss = ReadLoss::each;
  bool wants_gradients = false;  ///< of the first step
  bool quiet = false;            ///< no bar of progress
};

/// X, y and, where a file was given, the parameters and running statistics to start with.
struct Start {
  tf::Tensor x, y;
  std::map<std::string, tf::Tensor> state;
};
Start make_start(const Settings& settings);
/// Throws tf::Error where the file lacks X or y.
Start load_start(const std::string& path);

/// One column of the table: what a training run gave and cost.
struct Run : Column {
  How how = How::eager;
  std::string device;
  std::vector<float> losses;
  double unread = 0;                      ///< seconds of a step whose loss was not read; 0: none was timed
  double wall = 0, user = 0, system = 0;  ///< of all steps, building included; whole-process CPU
  int64_t peak_bytes = 0;                 ///< on the device
  int threads = 0;
  std::map<std::string, tf::Tensor> end;        ///< parameters and running statistics
  std::map<std::string, tf::Tensor> gradients;  ///< of the first step, where wanted: "X.grad", "convnet.0.weight.grad"
};
/// Trains in each of `ways`, a run for each: step by step in turns, so that all meet the same moments of the machine.
/// Their time and memory are told apart.
void train(const std::vector<How>& ways, const Settings& settings, const Start& start, std::deque<Run>& runs);
/// A few such steps that nobody sees: what a process does once (the start of CUDA, loading kernels, choosing among
/// them) is in no column's times.
void warm_up(const std::vector<How>& ways, const Settings& settings, const Start& start);
