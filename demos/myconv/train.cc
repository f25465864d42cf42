#include "train.h"

#include <sys/resource.h>

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

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); }
rusage cpu_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage;
}

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

// The program: one text for all columns and devices. In eager mode the session has nothing to do.
void fit(tf::Session& session, const Settings& s, const Start& start, Run& run) {
  tf::reset_peak_memory(s.device);
  const int64_t held = tf::memory_stats(s.device).in_use;
  const rusage before = cpu_time();
  const auto begin = Clock::now();
  MyConv net(s.full, s.side, s.hidden);
  const auto opt = make_optimizer(s.optimizer, net.parameters());
  session.run(tf::global_variables_initializer());
  if (!start.state.empty()) {
    auto state = net.state();
    // Running statistics that are not given begin as a new net's.
    for (const auto& [name, buffer] : net.named_buffers())
      if (!start.state.contains(name)) state.erase(name);
    tf::load_state(session, state, start.state);
  }

  // The loss, and d loss / d X, which the article asks for, too; then those of the parameters.
  const auto body = [&](const tf::Tensor& x, const tf::Tensor& y) {
    const tf::Tensor loss = nn::nll_loss(net(x), y);
    std::vector<tf::Differentiable> wanted{x};
    for (const tf::Variable& p : net.parameters()) wanted.emplace_back(p);
    std::vector<tf::Tensor> results = tf::gradients(loss, wanted);
    opt->apply_gradients({results.begin() + 1, results.end()});
    results.insert(results.begin(), loss);
    return results;
  };
  auto step = tf::step(session, [&](tf::Tensor x, tf::Tensor y) {
    std::vector<tf::Tensor> results = body(x, y);
    if (!s.wants_gradients) results.resize(2);
    return results;
  });

  const tf::Tensor x = s.resident ? start.x.to(s.device) : start.x, y = s.resident ? start.y.to(s.device) : start.y;
  const std::vector<tf::Tensor> first = step(x, y);
  run.losses.push_back(first[0].item<float>());
  run.first = seconds_since(begin);
  if (s.wants_gradients) {
    run.gradients.emplace("X.grad", first[1]);
    const auto named = net.named_parameters();
    for (size_t i = 0; i < named.size(); ++i) run.gradients.emplace(named[i].first + ".grad", first[i + 2]);
    run.gradients = on_host(run.gradients);
  }

  Progress progress(s.device == "/cpu:0" ? run.name : run.name + ", " + s.device, s.steps);
  const auto keep = [&](float loss) {
    run.losses.push_back(loss);
    progress.done(static_cast<int64_t>(run.losses.size()));
  };
  // Without a reader the host may run ahead of a GPU. The clock stops when the last step is done.
  const auto steps_unread = [&](int steps) {
    std::vector<tf::Tensor> losses;
    const auto at = Clock::now();
    for (int i = 0; i < steps; ++i) losses.push_back(step(x, y)[0]);
    tf::synchronize();
    run.unread = seconds_since(at) / std::max(steps, 1);
    return losses;
  };
  progress.done(1);
  const int timed = std::max(s.steps - 1 - s.warm_up, 0);
  while (static_cast<int>(run.losses.size()) < s.steps - timed) keep(step(x, y)[0].item<float>());
  if (s.read_loss == ReadLoss::last) {
    for (const tf::Tensor& loss : steps_unread(timed)) keep(loss.item<float>());
  } else {
    for (int i = 0; i < timed; ++i) {
      const auto at = Clock::now();
      const float loss = step(x, y)[0].item<float>();
      run.step_seconds.push_back(seconds_since(at));
      keep(loss);
    }
  }
  run.wall = seconds_since(begin);
  const rusage after = cpu_time();
  run.user = seconds(after.ru_utime) - seconds(before.ru_utime);
  run.system = seconds(after.ru_stime) - seconds(before.ru_stime);
  run.peak_bytes = tf::memory_stats(s.device).peak - held;
  run.end = on_host(tf::read_state(session, net.state()));

  std::vector<double> sorted = run.step_seconds;
  std::ranges::sort(sorted);
  run.median = !sorted.empty() ? sorted[sorted.size() / 2] : run.unread > 0 ? run.unread : run.first;
  if (s.read_loss == ReadLoss::both) steps_unread(timed);

  run.ledger_steps = kLedgerSteps;
  const auto recording = run.ledger.record();
  for (int i = 0; i < kLedgerSteps; ++i) step(x, y)[0].item<float>();
}

}  // namespace

void train(How how, const Settings& s, const Start& start, Run& run) {
  run.how = how;
  run.name = name_of(how);
  run.device = s.device;
  run.threads = tf::num_threads();
  const auto on_device = tf::device(s.device);
  run_program(how, s.seed, [&](tf::Session& session) { fit(session, s, start, run); });
}
