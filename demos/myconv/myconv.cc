// The article's conv net trained as one text in both modes: its losses, and what each way of running costs.
#include <CLI/CLI.hpp>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "train.h"

namespace {

struct Options {
  Settings settings;
  std::string mode = "both", optimize = "both", net = "article", device = "cpu";
  std::string start, save_end, save_grads, json;
};

void print_model(const Settings& s) {
  const tf::EagerMode eager;
  const MyConv net(s.full, s.side, s.hidden);
  int64_t parameters = 0;
  for (const tf::Variable& p : net.parameters()) parameters += p.shape().num_elements();
  std::cout << net << "\n\n" << parameters << " parameters\n\n" << std::flush;
}

void print_losses(const std::deque<Run>& runs, const Options& o) {
  // What the article says of its own run, which began elsewhere.
  const Settings& s = o.settings;
  const bool article = !s.full && s.optimizer == "adam" && s.batch == 128 && s.side == 28 && o.start.empty();
  fmt::print("{:<28}", "loss of step");
  if (article) fmt::print("{:>28}", "the article, PyTorch");
  for (const Run& r : runs) fmt::print("{:>28}", r.name);
  fmt::print("\n");
  for (size_t i = 0; i < runs[0].losses.size(); ++i) {
    fmt::print("{:<28}", i + 1);
    if (article) fmt::print("{:>28}", i == 0 ? "about -0.4" : i == 19 ? "about -4.8" : "");
    for (const Run& r : runs) fmt::print("{:>28.7g}", r.losses[i]);
    fmt::print("\n");
  }
  fmt::print("\n");
}

void print_times(const std::deque<Run>& runs) {
  print_steps(runs, 1);
  print_row(runs, "wall, s", [](const Run& r) { return fmt::format("{:.3f}", r.wall); });
  print_row(runs, "user CPU, s", [](const Run& r) { return fmt::format("{:.3f}", r.user); });
  print_row(runs, "system CPU, s", [](const Run& r) { return fmt::format("{:.3f}", r.system); });
  print_row(runs, "peak memory, MiB",
            [](const Run& r) { return fmt::format("{:.1f}", static_cast<double>(r.peak_bytes) / (1 << 20)); });
  print_ledgers(runs, 1e-3, "ms");
}

bool equal(const Run& a, const Run& b) {
  bool same = same_bits(a.losses, b.losses);
  for (const auto& [name, value] : a.end) same = same && same_bits(value.data<float>(), b.end.at(name).data<float>());
  return same;
}

void write_json(const std::deque<Run>& runs, const Options& o) {
  nlohmann::ordered_json all = {{"batch", o.settings.batch},         {"side", o.settings.side},
                                {"hidden", o.settings.hidden},       {"steps", o.settings.steps},
                                {"optimizer", o.settings.optimizer}, {"seed", o.settings.seed}};
  for (const Run& r : runs) {
    std::vector<double> step_ms;
    for (const double s : r.step_seconds) step_ms.push_back(1e3 * s);
    all["runs"].push_back({{"mode", r.how == How::eager ? "eager" : "deferred"},
                           {"optimize", r.how == How::optimized},
                           {"device", "cpu"},
                           {"net", o.net},
                           {"threads", r.threads},
                           {"losses", r.losses},
                           {"step_ms", step_ms},
                           {"first_ms", 1e3 * r.first},
                           {"peak_bytes", r.peak_bytes},
                           {"user_s", r.user},
                           {"sys_s", r.system},
                           {"wall_s", r.wall},
                           {"ledger_steps", r.ledger_steps},
                           {"ledger", nlohmann::ordered_json::parse(r.ledger.json())}});
  }
  write_file(o.json, all.dump(1));
}

// An absent device is an error that lists those there are.
void check_device(const Options& o) {
  if (o.device == "cpu") return;
  try {
    tf::parse_device("gpu");
  } catch (const tf::Error& e) {
    if (o.device == "gpu") throw;
    std::cout << "No GPU: " << e.message() << "\n\n";
    return;
  }
  if (o.device == "gpu")
    throw std::runtime_error("This net does not train on the GPU yet: its kernels are not all there");
  std::cout << "This net does not train on the GPU yet: its kernels are not all there.\n\n";
}

int run(Options& o) {
  Settings& s = o.settings;
  s.full = o.net == "full";
  s.wants_gradients = !o.save_grads.empty();
  if (s.threads > 0) tf::set_num_threads(s.threads);
  check_device(o);
  Start start = o.start.empty() ? make_start(s) : load_start(o.start);
  if (!o.start.empty()) {
    s.batch = start.x.dim(0), s.side = start.x.dim(-1);
    if (const auto w = start.state.find("linearnet.0.weight"); w != start.state.end()) s.hidden = w->second.dim(0);
  }
  std::cout << "The article's net" << (s.full ? ", its linear layers called" : "") << ", " << s.steps
            << (s.steps == 1 ? " step of " : " steps of ") << s.optimizer << " on a batch of " << s.batch << ", "
            << tf::num_threads() << " threads\n\n";
  print_model(s);

  std::deque<Run> runs;
  for (const How how : ways(o.mode, o.optimize)) train(how, s, start, runs.emplace_back());
  print_losses(runs, o);
  print_times(runs);
  bool all_equal = true;
  for (const Run& r : runs) all_equal = all_equal && equal(r, runs[0]);
  if (runs.size() > 1)
    fmt::print("\nEvery loss, parameter and running statistic is {} in all columns.\n",
               all_equal ? "equal to the bit" : "NOT equal");
  if (!o.save_grads.empty()) tf::io::save_safetensors(o.save_grads, runs.back().gradients);
  if (!o.save_end.empty()) tf::io::save_safetensors(o.save_end, runs.back().end);
  if (!o.json.empty()) write_json(runs, o);
  return all_equal ? 0 : 1;
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
  app.add_option("--device", o.device, "where")->check(one_of({"cpu", "gpu", "both"}))->capture_default_str();
  app.add_option("--batch", s.batch, "images")->check(extent)->capture_default_str();
  app.add_option("--side", s.side, "of an image")->check(extent)->capture_default_str();
  app.add_option("--hidden", s.hidden, "units of the full net's hidden layer")->check(extent)->capture_default_str();
  app.add_option("--steps", s.steps, "of training")->check(extent)->capture_default_str();
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
  app.add_option("--json", o.json, "write the numbers to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
