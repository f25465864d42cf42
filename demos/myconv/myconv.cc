// The article's conv net trained as one text in both modes: its losses, and what each way of running costs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "../article/facts.h"
#include "article_runs.h"
#include "train.h"

namespace {

struct Options {
  Settings settings;
  std::string mode = "both", optimize = "both", net = "article", device = "cpu", math = "strict", read_loss = "each";
  bool nondeterministic = false;
  std::string start, save_end, save_grads, json, recorded = TWOFOLD_RECORDED_GPU;

  /// Whether the article's own losses and times stand beside such a run's.
  bool as_the_article() const {
    const Settings& s = settings;
    return !s.full && s.optimizer == "adam" && s.batch == 128 && s.side == 28 && s.steps == 20 && start.empty();
  }
};

Facts facts(const Options& o) {
  const Settings& s = o.settings;
  return {{"net", o.net},           {"batch", s.batch}, {"side", s.side},
          {"hidden", s.hidden},     {"steps", s.steps}, {"optimizer", s.optimizer},
          {"seed", s.seed},         {"math", o.math},   {"deterministic", !o.nondeterministic},
          {"resident", s.resident}, {"start", o.start}};
}

void print_model(const Settings& s) {
  const tf::EagerMode eager;
  const MyConv net(s.full, s.side, s.hidden);
  int64_t parameters = 0;
  for (const tf::Variable& p : net.parameters()) parameters += p.shape().num_elements();
  std::cout << net << "\n\n" << parameters << " parameters";
  if (!s.full && s.side == 28)
    std::cout << ". (As printed, the article's net owns " << article::kOwnedParameters
              << ", those of its linear layers among them, which its `forward` does not call.)";
  std::cout << "\n\n" << std::flush;
}

void print_losses(const std::deque<Run>& runs, const Options& o) {
  const bool article = o.as_the_article();  // what it says of its own run, which began elsewhere
  fmt::print("{:<28}", "loss of step");
  const article::Run& theirs = article::kRuns[runs[0].device == "/cpu:0" ? 0 : 2];
  if (article) fmt::print("{:>28}", fmt::format("the article, {}", theirs.name));
  for (const Run& r : runs) fmt::print("{:>28}", r.name);
  fmt::print("\n");
  for (size_t i = 0; i < runs[0].losses.size(); ++i) {
    fmt::print("{:<28}", i + 1);
    if (article) fmt::print("{:>28}", theirs.losses[i]);
    for (const Run& r : runs) fmt::print("{:>28.7g}", r.losses[i]);
    fmt::print("\n");
  }
  fmt::print("\n");
}

void print_times(const std::deque<Run>& runs) {
  const bool on_gpu = runs[0].device != "/cpu:0";
  print_steps(runs, on_gpu ? 3 : 1);
  if (runs[0].unread > 0)
    print_row(runs, "its loss not read, ms", [](const Run& r) { return fmt::format("{:.3f}", 1e3 * r.unread); });
  print_row(runs, "wall, s", [](const Run& r) { return fmt::format("{:.3f}", r.wall); });
  print_row(runs, "user CPU, s", [](const Run& r) { return fmt::format("{:.3f}", r.user); });
  print_row(runs, "system CPU, s", [](const Run& r) { return fmt::format("{:.3f}", r.system); });
  print_row(runs, on_gpu ? "peak memory of the GPU, MiB" : "peak memory, MiB",
            [](const Run& r) { return fmt::format("{:.1f}", static_cast<double>(r.peak_bytes) / (1 << 20)); });
  print_ledgers(runs, 1e-3, "ms", on_gpu);
}

bool equal(const Run& a, const Run& b) {
  bool same = same_bits(a.losses, b.losses);
  for (const auto& [name, value] : a.end) same = same && same_bits(value.data<float>(), b.end.at(name).data<float>());
  return same;
}

// Says whether the runs, all on one device, gave the same.
bool compare(const std::deque<Run>& runs, bool must_agree) {
  if (runs.size() < 2) return true;
  const bool same = std::ranges::all_of(runs, [&](const Run& r) { return equal(r, runs[0]); });
  fmt::print("\nEvery loss, parameter and running statistic is {} in all columns{}.\n",
             same ? "equal to the bit" : "NOT equal",
             same || must_agree ? "" : ", and need not be: --nondeterministic");
  return same || !must_agree;
}

// A CPU and a GPU add up in different orders, and training makes more of what differs.
void print_difference(const Run& cpu, const Run& gpu) {
  const auto off = [&](size_t i) { return std::abs(gpu.losses[i] / cpu.losses[i] - 1); };
  size_t worst = 0;
  for (size_t i = 1; i < cpu.losses.size(); ++i)
    if (off(i) > off(worst)) worst = i;
  fmt::print(
      "\nLosses of the GPU are off those of the CPU by {:.1e} of their size in step 1, and by at most {:.1e}, in "
      "step {}.\n",
      off(0), off(worst), worst + 1);
}

void write_json(const std::deque<Run>& cpu, const std::deque<Run>& gpu, const Options& o) {
  Facts all = facts(o);
  all["warm_up"] = o.settings.warm_up;
  for (const auto* runs : {&cpu, &gpu}) {
    for (const Run& r : *runs) {
      std::vector<double> step_ms;
      for (const double s : r.step_seconds) step_ms.push_back(1e3 * s);
      all["runs"].push_back({{"mode", r.how == How::eager ? "eager" : "deferred"},
                             {"optimize", r.how == How::optimized},
                             {"device", runs == &cpu ? "cpu" : "gpu"},
                             {"net", o.net},
                             {"threads", r.threads},
                             {"losses", r.losses},
                             {"step_ms", step_ms},
                             {"median_ms", 1e3 * r.median()},
                             {"unread_ms", 1e3 * r.unread},
                             {"first_ms", 1e3 * r.first},
                             {"peak_bytes", r.peak_bytes},
                             {"user_s", r.user},
                             {"sys_s", r.system},
                             {"wall_s", r.wall},
                             {"ledger_steps", r.ledger_steps},
                             {"ledger", nlohmann::ordered_json::parse(r.ledger.json())}});
    }
  }
  write_file(o.json, all.dump(1));
}

// With `both`, a GPU that is absent is no error.
bool use_gpu(const Options& o) {
  if (o.device == "cpu") return false;
  try {
    tf::parse_device("gpu");
    return true;
  } catch (const tf::Error& e) {
    if (o.device == "gpu") throw;
    std::cout << "No GPU: " << e.message() << "\n\n";
    return false;
  }
}

// The four columns of the article, a GPU's from elsewhere if there is none here.
void print_article(const std::deque<Run>& cpu, const std::deque<Run>& gpu, const Options& o) {
  std::vector<ArticleRun> all = article_runs(cpu);
  Recorded recorded;
  if (gpu.empty()) recorded = recorded_runs(o.recorded, facts(o));
  for (const auto& runs : {article_runs(gpu), recorded.runs}) all.insert(all.end(), runs.begin(), runs.end());
  std::cout
      << "The article's four runs. What it calls traced is deferred and optimised here. Its starts are not ours, and "
         "its GPU's first\nrun goes on from weights that its CPU's run has trained. Times here begin after a warm-up; "
         "the article's hold all of a run.\n";
  if (!recorded.runs.empty())
    std::cout << "Recorded: on " << recorded.machine << ", commit " << recorded.commit << "; not measured here.\n";
  else if (gpu.empty())
    std::cout << "There are no columns of a GPU: none is here, and no figures of one are recorded for such a run.\n";
  std::cout << '\n';
  print_article_runs(all, o.as_the_article());
}

int run(Options& o) {
  Settings& s = o.settings;
  s.full = o.net == "full";
  s.wants_gradients = !o.save_grads.empty();
  s.read_loss = o.read_loss == "each" ? ReadLoss::each : o.read_loss == "last" ? ReadLoss::last : ReadLoss::both;
  if (s.threads > 0) tf::set_num_threads(s.threads);
  tf::set_math_mode(o.math == "tf32" ? tf::MathMode::tf32 : tf::MathMode::strict);
  tf::set_deterministic(!o.nondeterministic);
  const bool with_gpu = use_gpu(o);
  Start start = o.start.empty() ? make_start(s) : load_start(o.start);
  if (!o.start.empty()) {
    s.batch = start.x.dim(0), s.side = start.x.dim(-1);
    if (const auto w = start.state.find("linearnet.0.weight"); w != start.state.end()) s.hidden = w->second.dim(0);
  }
  std::cout << "The article's net" << (s.full ? ", its linear layers called" : "") << ", " << s.steps
            << (s.steps == 1 ? " step of " : " steps of ") << s.optimizer << " on a batch of " << s.batch << ", "
            << tf::num_threads() << " threads\n\n";
  print_model(s);

  std::deque<Run> cpu, gpu;
  const auto train_on = [&](const char* device, std::deque<Run>& runs) {
    Settings here = s;
    here.device = device;
    warm_up(ways(o.mode, o.optimize), here, start);
    train(ways(o.mode, o.optimize), here, start, runs);
  };
  const Neighbours neighbours;
  if (o.device != "gpu") train_on("/cpu:0", cpu);
  if (with_gpu) train_on("/gpu:0", gpu);
  const std::string busy = neighbours.remark();

  if (o.device == "both") print_article(cpu, gpu, o);
  bool agree = true;
  for (const auto* runs : {&cpu, &gpu}) {
    if (runs->empty()) continue;
    if (o.device == "both")
      std::cout << (runs == &cpu ? "On the CPU:\n\n" : "\nOn the GPU:\n\n");
    else
      print_losses(*runs, o);
    print_times(*runs);
    agree = compare(*runs, runs == &cpu || !o.nondeterministic) && agree;
  }
  std::cout << busy;
  if (!cpu.empty() && !gpu.empty()) print_difference(cpu[0], gpu[0]);
  const Run& last = gpu.empty() ? cpu.back() : gpu.back();
  if (!o.save_grads.empty()) tf::io::save_safetensors(o.save_grads, last.gradients);
  if (!o.save_end.empty()) tf::io::save_safetensors(o.save_end, last.end);
  if (!o.json.empty()) write_json(cpu, gpu, o);
  return agree ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  Settings& s = o.settings;
  CLI::App app{"Trains the article's conv net as one text in both modes, and compares losses and costs."};
  const auto one_of = [](std::vector<std::string> words) { return CLI::IsMember(std::move(words)); };
  const CLI::Range extent(1, 1'000'000);
  app.add_option("--mode", o.mode, "which columns")
      ->check(one_of({"deferred", "eager", "both"}))
      ->capture_default_str();
  app.add_option("--optimize", o.optimize, "in deferred mode")
      ->check(one_of({"on", "off", "both"}))
      ->capture_default_str();
  app.add_option("--net", o.net, "as the article's forward has it, or with its linear layers called")
      ->check(one_of({"article", "full"}))
      ->capture_default_str();
  app.add_option("--device", o.device, "where; both: the article's four runs, those of a GPU from elsewhere if need be")
      ->check(one_of({"cpu", "gpu", "both"}))
      ->take_last()
      ->capture_default_str();
  app.add_option("--math", o.math, "of float32 matrix products and convolutions on a GPU")
      ->check(one_of({"strict", "tf32"}))
      ->capture_default_str();
  app.add_flag("--nondeterministic", o.nondeterministic, "on a GPU, allow algorithms whose sums vary in their order");
  app.add_flag("--resident", s.resident, "keep X and y on the device, and do not move them there at each step");
  app.add_option("--read-loss", o.read_loss,
                 "after each step; after the last; both: each, then further steps that are timed without")
      ->check(one_of({"each", "last", "both"}))
      ->capture_default_str();
  app.add_option("--batch", s.batch, "images")->check(extent)->capture_default_str();
  app.add_option("--side", s.side, "of an image")->check(extent)->capture_default_str();
  app.add_option("--hidden", s.hidden, "units of the full net's hidden layer")->check(extent)->capture_default_str();
  app.add_option("--steps", s.steps, "of training")->check(extent)->capture_default_str();
  app.add_option("--warm-up", s.warm_up, "steps after the first that are not timed")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--threads", s.threads, "0: as many as the machine has")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--optimizer", s.optimizer, "Adam with its defaults, or SGD with lr 0.01 and momentum 0.9")
      ->check(one_of({"adam", "sgd"}))
      ->capture_default_str();
  app.add_option("--seed", s.seed, "of data and parameters")->capture_default_str();
  app.add_option("--start", o.start, "take X, y and parameters from this safetensors file");
  app.add_option("--save-end", o.save_end, "write the last column's parameters and running statistics to this file");
  app.add_option("--save-grads", o.save_grads, "write the last column's first gradients to this file");
  app.add_option("--recorded", o.recorded, "take figures of a GPU that is not here from this file");
  app.add_option("--json", o.json, "write the numbers to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
