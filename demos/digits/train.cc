#include "train.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "progress.h"

namespace nn = twofold::nn;
namespace io = twofold::io;
using tf::Tensor;

Net::Net()
    : layers(add("layers", nn::Sequential(nn::Conv2d(1, 8, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(8),
                                          nn::ReLU(), nn::MaxPool2d(2),  // 14 x 14
                                          nn::Conv2d(8, 16, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(16),
                                          nn::ReLU(), nn::MaxPool2d(2),  // 7 x 7
                                          nn::Flatten(), nn::Dropout(0.25), nn::Linear(16 * 7 * 7, 64), nn::ReLU(),
                                          nn::Dropout(0.25), nn::Linear(64, kClasses)))) {}

namespace {

constexpr int64_t kTestBatch = 500;
constexpr int kLedgerSteps = 20;

/// Images as the net takes them: (n, 1, side, side), grey levels from -1 to 1.
io::Batch<2> prepared(const io::Batch<2>& batch) {
  return {tf::expand_dims(tf::cast(batch[0], tf::float32), 1) / 127.5f - 1.f, tf::cast(batch[1], tf::int64)};
}

// The program: one text for all columns. In eager mode the session has nothing to do.
class Training {
 public:
  Training(tf::Session& session, const Settings& settings, const Data& data)
      : session_(session),
        settings_(settings),
        batches_({data.train.images, data.train.labels},
                 {.batch_size = settings.batch, .shuffle = true, .prefetch = 2, .seed = seed()}),
        tests_({data.test.images, data.test.labels}, {.batch_size = kTestBatch, .prefetch = 2}),
        optimizer_(net_.parameters(), {.lr = settings.lr}) {
    const int64_t steps = settings.epochs * batches_.batches_per_epoch();
    optimizer_.set_schedule(tf::train::warmup(std::max<int64_t>(1, steps / 20), tf::train::cosine_decay(steps)));
    batches_.map(prepared);
    tests_.map(prepared);
  }

  /// Trains to the end, or as far as the settings say.
  void run(const Checkpoint* from, const io::Metadata& identity, Run& run) {
    auto step = tf::step(session_, [&](Tensor x, Tensor y) {
      auto loss = nn::softmax_cross_entropy(net_(x), y);
      optimizer_.minimize(loss);
      return loss;
    });
    auto test = tf::step(session_, [&](Tensor x, Tensor y) {
      return tf::sum(tf::cast(tf::equal(tf::argmax(net_(x), 1), y), tf::int64));
    });
    session_.run(tf::global_variables_initializer());
    if (from) restore(*from, run.reached);
    run.first_epoch = static_cast<size_t>(run.reached.position.epoch);

    Milestone& reached = run.reached;
    const int64_t total = settings_.epochs * batches_.batches_per_epoch();
    std::vector<double> times;
    Progress progress(run.name, total);
    for (auto epoch_begin = begin_; !run.stopped && reached.position.epoch < settings_.epochs;) {
      const auto step_begin = Clock::now();
      const auto [x, y] = batches_.next();
      reached.losses.push_back(step(x, y).item<float>());
      reached.position = batches_.position();
      if (run.first == 0) {
        run.first = seconds_since(begin_);
      } else {
        times.push_back(seconds_since(step_begin));
      }
      const bool over = reached.position.batch == 0;
      if (over) {
        run.epoch_seconds.push_back(seconds_since(epoch_begin));
        const auto test_begin = Clock::now();
        reached.correct.push_back(count_correct(test));
        run.test_seconds.push_back(seconds_since(test_begin));
      }
      const auto done = static_cast<int64_t>(reached.losses.size());
      run.stopped = done == settings_.stop_after && reached.position.epoch < settings_.epochs;
      const bool due = settings_.checkpoint_every > 0 && done % settings_.checkpoint_every == 0;
      if (!settings_.checkpoint.empty() && (over || due || run.stopped)) write(identity, reached);
      if (over) epoch_begin = Clock::now();
      progress.done(done);
    }
    std::ranges::sort(times);
    run.median = times.empty() ? run.first : times[times.size() / 2];
    run.end = tf::read_state(session_, net_.state());

    run.ledger_steps = kLedgerSteps;
    const auto recording = run.ledger.record();
    for (int i = 0; i < kLedgerSteps; ++i) {
      const auto [x, y] = batches_.next();
      step(x, y);
    }
  }

 private:
  uint64_t seed() const { return static_cast<uint64_t>(settings_.seed); }

  template <class Test>
  int64_t count_correct(Test& test) {
    net_.eval();
    int64_t correct = 0;
    for (const auto& [x, y] : tests_.epoch()) correct += test(x, y).template item<int64_t>();
    net_.train();
    return correct;
  }

  void write(const io::Metadata& identity, const Milestone& reached) {
    save(settings_.checkpoint, {.identity = identity,
                                .reached = reached,
                                .net = tf::read_state(session_, net_.state()),
                                .optimizer = tf::read_state(session_, optimizer_.state()),
                                .random = tf::read_random_state(session_)});
  }

  void restore(const Checkpoint& from, Milestone& reached) {
    tf::load_state(session_, net_.state(), from.net);
    tf::load_state(session_, optimizer_.state(), from.optimizer);
    tf::load_random_state(session_, from.random);
    reached = from.reached;
    batches_.seek(reached.position);
    const auto [epoch, batch] = reached.position;
    if (std::cmp_not_equal(reached.losses.size(), epoch * batches_.batches_per_epoch() + batch))
      throw std::runtime_error("The checkpoint is damaged: its losses do not end at its position");
  }

  const Clock::time_point begin_ = Clock::now();
  tf::Session& session_;
  const Settings& settings_;
  io::DataLoader<2> batches_, tests_;
  Net net_;
  tf::train::Adam optimizer_;
};

}  // namespace

io::Metadata identity_of(const Settings& s, const Data& data) {
  const tf::EagerMode eager;
  return {{"net", tf::nn::to_string(Net())},
          {"data", data.fingerprint},
          {"train", fmt::to_string(data.train.labels.dim(0))},
          {"test", fmt::to_string(data.test.labels.dim(0))},
          {"epochs", fmt::to_string(s.epochs)},
          {"batch", fmt::to_string(s.batch)},
          {"lr", fmt::to_string(s.lr)},
          {"seed", fmt::to_string(s.seed)}};
}

void train(How how, const Settings& s, const Data& data, const io::Metadata& identity, const Checkpoint* from,
           Run& run) {
  run.how = how;
  run.name = name_of(how);
  run.test_size = data.test.labels.dim(0);
  run_program(how, s.seed, [&](tf::Session& session) { Training(session, s, data).run(from, identity, run); });
}
