// A small classifier of handwritten digits, trained to a stated accuracy as one text in both modes, with checkpoints
// from which a run goes on to the bit.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "train.h"

namespace {

struct Options {
  Settings settings;
  std::string mode = "both", optimize = "both", data, make, resume, json;
  int64_t train = 0, test = 0;  // examples; 0: all of the files, or as many as below
  int threads = 0;
  double expect = 0.97;
};

constexpr int64_t kDrawnTrain = 10000, kDrawnTest = 2000;

// What the options say against each other.
void check(const Options& o) {
  const Settings& s = o.settings;
  const auto refuse = [](bool wrong, const char* problem) {
    if (wrong) throw std::runtime_error(problem);
  };
  refuse(o.mode == "eager" && o.optimize != "both", "--optimize is about deferred mode; --mode eager has none of it");
  refuse(!o.make.empty() && !o.data.empty(), "--make draws a data set, --data reads one: give one of them");
  refuse(!o.make.empty() && !o.resume.empty(), "--make trains nothing, so there is nothing to --resume");
  refuse(s.checkpoint_every > 0 && s.checkpoint.empty(), "--checkpoint-every needs --checkpoint FILE");
  refuse(s.stop_after > 0 && s.checkpoint.empty(), "--stop-after needs --checkpoint FILE, or all is lost");
}

Data get_data(const Options& o) {
  if (!o.data.empty()) return load_data(o.data, o.train, o.test);
  return make_data(o.train ? o.train : kDrawnTrain, o.test ? o.test : kDrawnTest,
                   static_cast<uint64_t>(o.settings.seed));
}

void print_images(const Digits& digits, int64_t count) {
  constexpr std::string_view kGreys = " .:-=+*#%@";
  const auto pixels = digits.images.data<uint8_t>(), labels = digits.labels.data<uint8_t>();
  for (int64_t row = 0; row < kSide; row += 2) {  // a character is twice as high as wide
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t column = 0; column < kSide; ++column) {
        const auto at = static_cast<size_t>((i * kSide + row) * kSide + column);
        fmt::print("{}", kGreys[(pixels[at] + size_t{pixels[at + kSide]}) * kGreys.size() / 511]);
      }
      fmt::print("|");
    }
    fmt::print("\n");
  }
  for (int64_t i = 0; i < count; ++i) fmt::print("{:^28}|", labels[static_cast<size_t>(i)]);
  fmt::print("\n\n");
}

/// The mean loss of an epoch's steps, as far as they are done.
double mean_loss(const Milestone& reached, size_t epoch, size_t batches) {
  const auto begin = reached.losses.begin() + static_cast<std::ptrdiff_t>(epoch * batches);
  const auto count = std::min(batches, reached.losses.size() - epoch * batches);
  return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(count), 0.) / static_cast<double>(count);
}

void print_epochs(const std::deque<Run>& runs, size_t batches) {
  const Run& first = runs[0];
  fmt::print("{:<7}{:>11}{:>12}", "epoch", "mean loss", "accuracy");
  for (const Run& r : runs) fmt::print("{:>28}", r.name);
  fmt::print("\n");
  for (size_t epoch = 0; epoch < first.reached.correct.size(); ++epoch) {
    fmt::print("{:<7}{:>11.5f}{:>11.2f}%", epoch + 1, mean_loss(first.reached, epoch, batches),
               100 * first.accuracy(epoch));
    for (const Run& r : runs)
      fmt::print("{:>28}", epoch < r.first_epoch
                               ? "earlier"
                               : fmt::format("{:.2f} s, testing {:.2f} s", r.epoch_seconds[epoch - r.first_epoch],
                                             r.test_seconds[epoch - r.first_epoch]));
    fmt::print("\n");
  }
  if (first.stopped)
    fmt::print("stopped after step {}, the loss being {:.7g}\n", first.reached.losses.size(),
               first.reached.losses.back());
  fmt::print("\n");
}

void print_times(const std::deque<Run>& runs) {
  print_steps(runs, 2);
  print_ledgers(runs, 1e-3, "ms");
}

bool equal(const Run& a, const Run& b) {
  bool same = same_bits(a.reached.losses, b.reached.losses) && a.reached.correct == b.reached.correct;
  for (const auto& [name, value] : a.end) same = same && same_bits(value.data<float>(), b.end.at(name).data<float>());
  return same;
}

void write_json(const std::deque<Run>& runs, const Options& o, const tf::io::Metadata& identity) {
  const Milestone& reached = runs[0].reached;
  nlohmann::ordered_json all;
  for (const auto& [key, value] : identity)
    if (key != "net") all[key] = value;
  all["losses"] = reached.losses;
  for (size_t epoch = 0; epoch < reached.correct.size(); ++epoch) all["accuracies"].push_back(runs[0].accuracy(epoch));
  for (const Run& r : runs)
    all["runs"].push_back({{"mode", r.how == How::eager ? "eager" : "deferred"},
                           {"optimize", r.how == How::optimized},
                           {"threads", tf::num_threads()},
                           {"first_ms", 1e3 * r.first},
                           {"step_ms", 1e3 * r.median()},
                           {"first_epoch", r.first_epoch},
                           {"epoch_s", r.epoch_seconds},
                           {"test_s", r.test_seconds},
                           {"ledger_steps", r.ledger_steps},
                           {"ledger", nlohmann::ordered_json::parse(r.ledger.json())}});
  write_file(o.json, all.dump(1));
}

int run(const Options& o) {
  const Settings& s = o.settings;
  check(o);
  if (o.threads > 0) tf::set_num_threads(o.threads);
  const Data data = get_data(o);
  if (!o.make.empty()) {
    save_data(o.make, data);
    fmt::print("{} and {} digits are in '{}'\n", data.train.labels.dim(0), data.test.labels.dim(0), o.make);
    return 0;
  }
  std::optional<Checkpoint> from;
  const tf::io::Metadata identity = identity_of(s, data);
  if (!o.resume.empty()) from = load(o.resume, identity);
  const auto examples = data.train.labels.dim(0), batches = (examples + s.batch - 1) / s.batch;
  const auto begun = from ? static_cast<int64_t>(from->reached.losses.size()) : 0;
  if (s.stop_after > 0 && s.stop_after <= begun)
    throw std::runtime_error(fmt::format("--stop-after {}: the checkpoint is of step {}", s.stop_after, begun));
  if (s.stop_after > s.epochs * batches)
    throw std::runtime_error(
        fmt::format("--stop-after {}: {} epochs have {} steps", s.stop_after, s.epochs, s.epochs * batches));

  fmt::print("Digits {}: {} to train on, {} to test; {} epochs in batches of {}, {} threads\n\n", data.source, examples,
             data.test.labels.dim(0), s.epochs, s.batch, tf::num_threads());
  print_images(data.train, std::min<int64_t>(4, examples));
  if (from) fmt::print("Going on after step {} of '{}'\n\n", begun, o.resume);
  std::fflush(stdout);

  std::deque<Run> runs;
  const Neighbours neighbours;
  train(ways(o.mode, o.optimize), s, data, identity, from ? &*from : nullptr, runs);
  const std::string busy = neighbours.remark();
  print_epochs(runs, static_cast<size_t>(batches));
  print_times(runs);
  std::fputs(busy.c_str(), stdout);
  bool good = true;
  if (runs.size() > 1) {
    for (const Run& r : runs) good = good && equal(r, runs[0]);
    fmt::print("\nEvery loss, accuracy, parameter and running statistic is {} in all columns.\n",
               good ? "equal to the bit" : "NOT equal");
  }
  if (!s.checkpoint.empty()) fmt::print("\nThe checkpoint is in '{}'\n", s.checkpoint);
  if (!o.json.empty()) write_json(runs, o, identity);
  if (runs[0].stopped) return good ? 0 : 1;
  const double reached = runs[0].accuracy(runs[0].reached.correct.size() - 1);
  const bool enough = reached >= o.expect;
  fmt::print("\n{:.2f}% of the test images are told right; {} {:.2f}% are expected.\n", 100 * reached,
             enough ? "at least" : "but", 100 * o.expect);
  return good && enough ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  Settings& s = o.settings;
  CLI::App app{"Trains a classifier of handwritten digits as one text in both modes."};
  const auto one_of = [](std::vector<std::string> words) { return CLI::IsMember(std::move(words)); };
  const CLI::Range count(int64_t{1}, int64_t{1'000'000});
  app.add_option("--mode", o.mode, "which columns")
      ->check(one_of({"deferred", "eager", "both"}))
      ->capture_default_str();
  app.add_option("--optimize", o.optimize, "in deferred mode")
      ->check(one_of({"on", "off", "both"}))
      ->capture_default_str();
  app.add_option("--data", o.data, "read MNIST's four files, unpacked, from this folder instead of drawing digits");
  app.add_option("--make", o.make, "write the digits drawn to such files in this folder, and end");
  app.add_option("--train", o.train, "images to train on (10000, or all of the files)")->check(count);
  app.add_option("--test", o.test, "images to test (2000, or all of the files)")->check(count);
  app.add_option("--epochs", s.epochs, "passes over the images")->check(count)->capture_default_str();
  app.add_option("--batch", s.batch, "images in a step")->check(count)->capture_default_str();
  app.add_option("--lr", s.lr, "the largest learning rate of Adam's")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", s.seed, "of digits, parameters, order and dropout")->capture_default_str();
  app.add_option("--threads", o.threads, "0: as many as the machine has")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--checkpoint", s.checkpoint, "write all that the run has come to to this file after every epoch");
  app.add_option("--checkpoint-every", s.checkpoint_every, "and after so many steps")->check(count);
  app.add_option("--resume", o.resume, "go on from this checkpoint, of either mode");
  app.add_option("--stop-after", s.stop_after, "end, with a checkpoint, when so many steps are done")->check(count);
  app.add_option("--expect", o.expect, "fail below this share of test images told right")
      ->check(CLI::Range(0., 1.))
      ->capture_default_str();
  app.add_option("--json", o.json, "write the numbers to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
