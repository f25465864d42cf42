#include "train.h"

#include <fmt/format.h>

#include <memory>
#include <numeric>
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
  Training(tf::Session& session, const Settings& settings, const Data& data, Run& run)
      : session_(session),
        settings_(settings),
        run_(run),
        batches_({data.train.images, data.train.labels},
                 {.batch_size = settings.batch, .shuffle = true, .prefetch = 2, .seed = seed()}),
        tests_({data.test.images, data.test.labels}, {.batch_size = kTestBatch, .prefetch = 2}),
        optimizer_(net_.parameters(), {.lr = settings.lr}),
        step_(tf::step(session, Step{this})),
        test_(tf::step(session, Test{this})) {
    const int64_t steps = settings.epochs * batches_.batches_per_epoch();
    optimizer_.set_schedule(tf::train::warmup(std::max<int64_t>(1, steps / 20), tf::train::cosine_decay(steps)));
    batches_.map(prepared);
    tests_.map(prepared);
  }

  /// Ready for its first step, or for the one after a checkpoint's.
  void begin(const Checkpoint* from) {
    session_.run(tf::global_variables_initializer());
    if (from) restore(*from, run_.reached);
    run_.first_epoch = static_cast<size_t>(run_.reached.position.epoch);
  }
  bool over() const { return run_.stopped || run_.reached.position.epoch >= settings_.epochs; }
  int64_t steps() const { return settings_.epochs * batches_.batches_per_epoch(); }

  /// One step of training, and where an epoch ends with it, the test.
  void step(const io::Metadata& identity) {
    Milestone& reached = run_.reached;
    const auto [x, y] = batches_.next();
    reached.losses.push_back(step_(x, y).item<float>());
    reached.position = batches_.position();
    const bool ends_epoch = reached.position.batch == 0;
    if (ends_epoch) {
      const auto test_begin = Clock::now();
      reached.correct.push_back(count_correct());
      run_.test_seconds.push_back(seconds_since(test_begin));
    }
    const auto done = static_cast<int64_t>(reached.losses.size());
    run_.stopped = done == settings_.stop_after && reached.position.epoch < settings_.epochs;
    const bool due = settings_.checkpoint_every > 0 && done % settings_.checkpoint_every == 0;
    if (!settings_.checkpoint.empty() && (ends_epoch || due || run_.stopped)) write(identity, reached);
  }

  void end() {
    run_.end = tf::read_state(session_, net_.state());
    run_.ledger_steps = kLedgerSteps;
    const auto recording = run_.ledger.record();
    for (int i = 0; i < kLedgerSteps; ++i) {
      const auto [x, y] = batches_.next();
      step_(x, y).item<float>();
    }
  }

 private:
  uint64_t seed() const { return static_cast<uint64_t>(settings_.seed); }

  int64_t count_correct() {
    net_.eval();
    int64_t correct = 0;
    for (const auto& [x, y] : tests_.epoch()) correct += test_(x, y).item<int64_t>();
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

  struct Step {
    Training* training;
    Tensor operator()(const Tensor& x, const Tensor& y) {
      auto loss = nn::softmax_cross_entropy(training->net_(x), y);
      training->optimizer_.minimize(loss);
      return loss;
    }
  };
  struct Test {
    Training* training;
    Tensor operator()(const Tensor& x, const Tensor& y) {
      return tf::sum(tf::cast(tf::equal(tf::argmax(training->net_(x), 1), y), tf::int64));
    }
  };

  tf::Session& session_;
  const Settings& settings_;
  Run& run_;
  io::DataLoader<2> batches_, tests_;
  Net net_;
  tf::train::Adam optimizer_;
  tf::Step<Step> step_;
  tf::Step<Test> test_;
};

// A column and its program, which takes turns with the others'.
struct Turns {
  Turns(How how, const Settings& s, Run& r) : settings(s), run(r), stage(how, s.seed) {}

  void step(const Data& data, const io::Metadata& identity, const Checkpoint* from) {
    if (training && training->over()) return;
    stage([&](tf::Session& session) {
      const auto begin = Clock::now();
      const double tested = std::accumulate(run.test_seconds.begin(), run.test_seconds.end(), 0.0);
      if (!training) {
        release_kept_memory();
        const auto recording = run.first_ledger.record();
        training = std::make_unique<Training>(session, settings, data, run);
        training->begin(from);
        if (!training->over()) training->step(identity);
      } else {
        training->step(identity);
      }
      // The test is no part of the step.
      const double now_tested = std::accumulate(run.test_seconds.begin(), run.test_seconds.end(), 0.0);
      const double seconds = seconds_since(begin) - (now_tested - tested);
      if (run.first == 0)
        run.first = seconds;
      else
        run.step_seconds.push_back(seconds);
      epoch_seconds += seconds;
      if (now_tested == tested) return;
      run.epoch_seconds.push_back(epoch_seconds);
      epoch_seconds = 0;
    });
  }

  const Settings& settings;
  Run& run;
  Stage stage;
  std::unique_ptr<Training> training;
  double epoch_seconds = 0;  ///< of the epoch that goes on
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

void train(const std::vector<How>& ways, const Settings& s, const Data& data, const io::Metadata& identity,
           const Checkpoint* from, std::deque<Run>& runs) {
  std::deque<Turns> columns;
  for (const How how : ways) {
    Run& run = runs.emplace_back();
    run.how = how;
    run.name = name_of(how);
    run.test_size = data.test.labels.dim(0);
    columns.emplace_back(how, s, run);
  }
  const auto turn = [&](Turns& t) { t.step(data, identity, from); };
  take_turns(columns, 1, turn);
  const Training& training = *columns[0].training;
  Progress progress("digits", training.steps());
  while (!training.over()) {
    take_turns(columns, 1, turn);
    progress.done(static_cast<int64_t>(runs[0].reached.losses.size()));
  }
  for (Turns& t : columns) t.stage([&](tf::Session&) { t.training->end(); });
}
