#include "train.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "progress.h"

namespace nn = twofold::nn;

MyConv::MyConv(bool full, int64_t side, int64_t hidden)
    : convnet(add("convnet", nn::Sequential(nn::Conv2d(3, 16, 3, {.padding = 1}), nn::BatchNorm2d(16), nn::ReLU(),
                                            nn::Conv2d(16, 32, 3, {.padding = 1}), nn::BatchNorm2d(32), nn::ReLU(),
                                            nn::Conv2d(32, 64, 3, {.padding = 1}), nn::BatchNorm2d(64), nn::ReLU()))) {
  if (full)
    linearnet = &add("linearnet", nn::Sequential(nn::Linear(64 * side * side, hidden), nn::ReLU(),
                                                 nn::Linear(hidden, 10), nn::LogSoftmax(1)));
}

tf::Tensor MyConv::forward(const tf::Tensor& x) const {
  const tf::Tensor h = tf::flatten(convnet(x), 1);
  return linearnet ? (*linearnet)(h) : h;
}

Start make_start(const Settings& s) {
  const tf::EagerMode eager;
  tf::set_random_seed(s.seed);
  Start start;
  start.x = tf::random_normal({s.batch, 3, s.side, s.side});
  start.y = tf::cast(tf::random_uniform({s.batch}, {.high = 10}), tf::int64);
  return start;
}

Start load_start(const std::string& path) {
  const tf::io::Safetensors file = tf::io::load_safetensors(path);
  Start start{.x = file["X"], .y = file["y"]};
  for (const auto& [name, value] : file)
    if (name != "X" && name != "y" && !name.ends_with("num_batches_tracked")) start.state.emplace(name, value);
  return start;
}

namespace {

constexpr int kLedgerSteps = 5;

std::unique_ptr<tf::train::Optimizer> make_optimizer(const std::string& name, std::vector<tf::Variable> parameters) {
  if (name == "sgd")
    return std::make_unique<tf::train::SGD>(parameters, tf::train::SGDOptions{.lr = 0.01, .momentum = 0.9});
  return std::make_unique<tf::train::Adam>(parameters);
}

std::map<std::string, tf::Tensor> on_host(const std::map<std::string, tf::Tensor>& values) {
  std::map<std::string, tf::Tensor> copies;
  for (const auto& [name, value] : values) copies.emplace(name, value.to("/cpu:0"));
  return copies;
}

// The program: one text for all columns and devices.
class Training {
 public:
  // Builds the net and its step. In eager mode the session has nothing to do.
  Training(tf::Session& session, const Settings& s, const Start& start, Run& run)
      : session_(session),
        settings_(s),
        run_(run),
        net_(s.full, s.side, s.hidden),
        optimizer_(make_optimizer(s.optimizer, net_.parameters())),
        x_(s.resident ? start.x.to(s.device) : start.x),
        y_(s.resident ? start.y.to(s.device) : start.y) {
    session.run(tf::global_variables_initializer());
    if (start.state.empty()) return;
    auto state = net_.state();
    // Running statistics that are not given begin as a new net's.
    for (const auto& [name, buffer] : net_.named_buffers())
      if (!start.state.contains(name)) state.erase(name);
    tf::load_state(session, state, start.state);
  }

  /// Whose loss is read.
  void first_step() {
    const std::vector<tf::Tensor> first = step_(x_, y_);
    run_.losses.push_back(first[0].item<float>());
    if (!settings_.wants_gradients) return;
    run_.gradients.emplace("X.grad", first[1]);
    const auto named = net_.named_parameters();
    for (size_t i = 0; i < named.size(); ++i) run_.gradients.emplace(named[i].first + ".grad", first[i + 2]);
    run_.gradients = on_host(run_.gradients);
  }
  void step() { run_.losses.push_back(step_(x_, y_)[0].item<float>()); }

  /// Without a reader the host may run ahead of a GPU. The clock stops when the last step is done.
  std::vector<tf::Tensor> steps_unread(int steps) {
    std::vector<tf::Tensor> losses;
    const auto at = Clock::now();
    for (int i = 0; i < steps; ++i) losses.push_back(step_(x_, y_)[0]);
    tf::synchronize();
    run_.unread = seconds_since(at) / std::max(steps, 1);
    return losses;
  }
  void read_end() { run_.end = on_host(tf::read_state(session_, net_.state())); }
  void fill_ledger() {
    run_.ledger_steps = kLedgerSteps;
    const auto recording = run_.ledger.record();
    for (int i = 0; i < kLedgerSteps; ++i) step_(x_, y_)[0].item<float>();
  }

 private:
  // The loss, and d loss / d X, which the article asks for, too; then those of the parameters, where wanted.
  std::vector<tf::Tensor> body(const tf::Tensor& x, const tf::Tensor& y) {
    const tf::Tensor loss = nn::nll_loss(net_(x), y);
    std::vector<tf::Differentiable> wanted{x};
    for (const tf::Variable& p : net_.parameters()) wanted.emplace_back(p);
    std::vector<tf::Tensor> results = tf::gradients(loss, wanted);
    optimizer_->apply_gradients({results.begin() + 1, results.end()});
    results.insert(results.begin(), loss);
    if (!settings_.wants_gradients) results.resize(2);
    return results;
  }
  struct Body {
    Training* training;
    std::vector<tf::Tensor> operator()(const tf::Tensor& x, const tf::Tensor& y) { return training->body(x, y); }
  };

  tf::Session& session_;
  const Settings& settings_;
  Run& run_;
  MyConv net_;
  std::unique_ptr<tf::train::Optimizer> optimizer_;
  const tf::Tensor x_, y_;
  tf::Step<Body> step_ = tf::step(session_, Body{this});
};

// A column and its program, which takes turns with the others' and is charged for its own.
class Turns {
 public:
  Turns(How how, const Settings& s, const Start& start, Run& run)
      : settings_(s), start_(start), run_(run), stage_(how, s.seed), progress_(title(how, s), s.steps, s.quiet) {
    run.how = how;
    run.name = name_of(how);
    run.device = s.device;
    run.threads = tf::num_threads();
  }

  void first() {
    release_kept_memory();
    charged([&](tf::Session& session) {
      const auto begin = Clock::now();
      const auto recording = run_.first_ledger.record();
      training_ = std::make_unique<Training>(session, settings_, start_, run_);
      training_->first_step();
      run_.first = seconds_since(begin);
    });
  }
  void warm_step() {
    charged([&](tf::Session&) { training_->step(); });
  }
  void timed_step() {
    charged([&](tf::Session&) {
      const auto at = Clock::now();
      training_->step();
      run_.step_seconds.push_back(seconds_since(at));
    });
  }
  void steps_unread(int steps, bool keep) {
    charged([&](tf::Session&) {
      for (const tf::Tensor& loss : training_->steps_unread(steps))
        if (keep) run_.losses.push_back(loss.item<float>());
    });
  }
  void read_end() {
    within([&](tf::Session&) { training_->read_end(); });
  }
  void fill_ledger() {
    within([&](tf::Session&) { training_->fill_ledger(); });
  }

 private:
  static std::string title(How how, const Settings& s) {
    return std::string(name_of(how)) + (s.device == "/cpu:0" ? "" : ", " + s.device);
  }
  template <class F>
  void within(F f) {
    const auto on_device = tf::device(settings_.device);
    stage_(f);
  }
  // Time and memory of a turn are the column's. Memory that it keeps from turn to turn is its own, too.
  template <class F>
  void charged(F f) {
    tf::reset_peak_memory(settings_.device);
    const int64_t others = tf::memory_stats(settings_.device).in_use - held_;
    const CpuTime before;
    const auto begin = Clock::now();
    within(f);
    run_.wall += seconds_since(begin);
    const CpuTime after;
    run_.user += after.user - before.user;
    run_.system += after.system - before.system;
    const auto memory = tf::memory_stats(settings_.device);
    run_.peak_bytes = std::max(run_.peak_bytes, memory.peak - others);
    held_ = memory.in_use - others;
    progress_.done(std::min<int64_t>(static_cast<int64_t>(run_.losses.size()), settings_.steps));
  }

  const Settings& settings_;
  const Start& start_;
  Run& run_;
  Stage stage_;
  std::unique_ptr<Training> training_;
  Progress progress_;
  int64_t held_ = 0;
};

}  // namespace

void train(const std::vector<How>& ways, const Settings& s, const Start& start, std::deque<Run>& runs) {
  std::deque<Turns> columns;
  for (const How how : ways) columns.emplace_back(how, s, start, runs.emplace_back());
  for (Turns& c : columns) c.first();
  const int timed = std::max(s.steps - 1 - s.warm_up, 0);
  take_turns(columns, s.steps - 1 - timed, [](Turns& c) { c.warm_step(); });
  if (s.read_loss == ReadLoss::last)
    for (Turns& c : columns) c.steps_unread(timed, true);
  else
    take_turns(columns, timed, [](Turns& c) { c.timed_step(); });
  for (Turns& c : columns) c.read_end();
  if (s.read_loss == ReadLoss::both)
    for (Turns& c : columns) c.steps_unread(timed, false);
  for (Turns& c : columns) c.fill_ledger();
}

void warm_up(const std::vector<How>& ways, const Settings& s, const Start& start) {
  Settings two = s;
  two.steps = 2, two.warm_up = 0, two.read_loss = ReadLoss::each, two.wants_gradients = false, two.quiet = true;
  std::deque<Run> unused;
  train(ways, two, start, unused);
}
