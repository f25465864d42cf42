// The classifier, and how it is trained.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "checkpoint.h"
#include "columns.h"
#include "data.h"

namespace tf = twofold;

/// Two blocks of convolution, batch normalisation and pooling, then two linear layers, with dropout before each.
struct Net : tf::nn::Module {
  Net();
  tf::Tensor forward(const tf::Tensor& x) const override { return layers(x); }

  tf::nn::Sequential& layers;
};

struct Settings {
  int64_t epochs = 8, batch = 100, seed = 1;
  double lr = 4e-3;

  // What follows changes no number that is computed.
  std::string checkpoint;        ///< written to this file after every epoch
  int64_t checkpoint_every = 0;  ///< and after so many steps; 0: not
  int64_t stop_after = 0;        ///< ends when so many steps are done, counted from the first epoch on; 0: not
};

/// One column of the table: what a training run gave and cost.
struct Run : Column {
  How how = How::eager;
  Milestone reached;  ///< all of it, that before resuming too
  int64_t test_size = 0;
  size_t first_epoch = 0;             ///< of this run, if it goes on from a checkpoint
  std::vector<double> epoch_seconds;  ///< of training, from first_epoch on
  std::vector<double> test_seconds;
  std::map<std::string, tf::Tensor> end;  ///< parameters and running statistics
  bool stopped = false;                   ///< before the last epoch's end

  double accuracy(size_t epoch) const {
    return static_cast<double>(reached.correct[epoch]) / static_cast<double>(test_size);
  }
};

/// What makes two runs the same program: a checkpoint of one resumes the other.
tf::io::Metadata identity_of(const Settings& settings, const Data& data);

/// Trains in each of `ways`, a run for each: step by step in turns, so that all meet the same moments of the machine.
/// `identity` is what checkpoints get; `from`, if not null, is where to go on.
void train(const std::vector<How>& ways, const Settings& settings, const Data& data, const tf::io::Metadata& identity,
           const Checkpoint* from, std::deque<Run>& runs);
