// twofold bench: how long calls of a saved function take.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "model.h"
#include "tensor_io.h"

namespace command {

namespace tf = twofold;

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model, signature, device = "/cpu:0";
  std::vector<std::string> feeds;
  int64_t batch = 0, calls = 100, seed = 1;
  bool ledger = false;
};

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Numbers for an argument that is not fed: floats normally distributed, integers 0 and 1, which are good as indices.
tf::Tensor random_value(const tf::SavedValue& a, int64_t batch) {
  if (a.dtype == tf::DType::list)
    throw UsageError(fmt::format("'{}' is a list of tensors, which this command cannot make", a.name));
  if (!a.shape.has_rank())
    throw UsageError(fmt::format("'{}' may have any rank, so that it must be fed: --feed {}=...", a.name, a.name));
  tf::Shape shape;
  for (int64_t d : a.shape.raw()) {
    if (d < 0 && batch == 0)
      throw UsageError(fmt::format("'{}' is {} {}: --batch N says what its unknown extents are to be, or --feed {}=...",
                                   a.name, tf::name_of(a.dtype), a.shape.str(), a.name));
    shape.push_back(d < 0 ? batch : d);
  }
  const tf::EagerMode eager;
  if (a.dtype == tf::float32 || a.dtype == tf::float64) return tf::cast(tf::random_normal(shape), a.dtype);
  return tf::cast(tf::random_uniform(shape) < 0.5f, a.dtype);
}

struct Column {
  const char* name;
  bool optimize;
  std::unique_ptr<Model> model = {};  // a copy of its own, so that calls of one do not train the other's
  std::optional<Runner> runner = {};
  double first = 0;
  std::vector<double> later = {};
  tf::Ledger ledger = {};

  double quantile(double part) const {
    std::vector<double> sorted = later;
    std::ranges::sort(sorted);
    return sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
};

using Columns = std::array<Column, 2>;

// With the work that a GPU may have left.
void call(const Column& c, const Values& feeds) {
  (*c.runner)(feeds);
  tf::synchronize();
}

template <class Cell>
void print_row(const Columns& columns, const std::string& name, Cell cell) {
  fmt::print("{:<28}", name);
  for (const Column& c : columns) fmt::print("{:>28}", cell(c));
  fmt::print("\n");
}

void print_ledger(const Columns& columns, int64_t calls) {
  fmt::print("\nWhere the time of a call goes, in us ({} further calls, with the ledger on):\n", calls);
  for (int i = 0; i < tf::kPhaseCount; ++i) {
    const auto phase = static_cast<tf::Phase>(i);
    const auto of = [&](const Column& c) { return 1e6 * c.ledger.seconds(phase) / static_cast<double>(calls); };
    if (std::ranges::any_of(columns, [&](const Column& c) { return of(c) >= 0.005; }))
      print_row(columns, std::string(tf::name_of(phase)),
                [&](const Column& c) { return fmt::format("{:.2f}", of(c)); });
  }
  print_row(columns, "wall", [&](const Column& c) {
    return fmt::format("{:.2f}", 1e6 * c.ledger.wall_seconds() / static_cast<double>(calls));
  });
  for (const Column& c : columns) {
    fmt::print("\n{}: kernels by op, us a call:\n", c.name);
    std::vector<std::pair<std::string, tf::Ledger::OpTime>> ops;
    for (const auto& each : c.ledger.ops()) ops.push_back(each);
    std::ranges::sort(ops, std::greater(), [](const auto& op) { return op.second.seconds; });
    for (const auto& [op, time] : ops)
      fmt::print("  {:<26}{:>10.2f}  in {} calls\n", op, 1e6 * time.seconds / static_cast<double>(calls),
                 time.calls / std::max<int64_t>(calls, 1));
  }
}

void bench(const Options& o) {
  const std::string device = device_named(o.device);
  const Model model(o.model, o.signature);
  Values feeds = read_feeds(model, o.feeds);
  tf::set_random_seed(o.seed);
  for (const tf::SavedValue& a : model.signature().arguments)
    if (!feeds.contains(a.name)) feeds.emplace(a.name, random_value(a, o.batch));

  Columns columns = {Column{"deferred, optimisation off", false}, Column{"deferred, optimised", true}};
  for (Column& c : columns) {
    c.model = std::make_unique<Model>(o.model, o.signature);
    const auto begin = Clock::now();
    c.runner.emplace(*c.model, std::vector<std::string>(),
                     tf::SessionOptions{.optimize = c.optimize, .device = device});
    call(c, feeds);
    c.first = seconds_since(begin);
  }
  for (int64_t i = 0; i < o.calls; ++i)  // in turn, so that all meet the same moments of the machine
    for (size_t k = 0; k < columns.size(); ++k) {
      Column& c = columns[(static_cast<size_t>(i) + k) % columns.size()];
      const auto begin = Clock::now();
      call(c, feeds);
      c.later.push_back(seconds_since(begin));
    }
  fmt::print("{} on {}, {} threads, fed", model.str(), device, tf::num_threads());
  for (const tf::SavedValue& a : model.signature().arguments)
    fmt::print(" {} {}", a.name, feeds.at(a.name).shape().str());
  fmt::print("\n\n");
  print_row(columns, "", [](const Column& c) { return c.name; });
  print_row(columns, "first call, ms", [](const Column& c) { return fmt::format("{:.3f}", 1e3 * c.first); });
  print_row(columns, "a call after that, us",
            [](const Column& c) { return fmt::format("{:.2f}", 1e6 * c.quantile(0.5)); });
  print_row(columns, "  its quartiles", [](const Column& c) {
    return fmt::format("{:.2f} .. {:.2f}", 1e6 * c.quantile(0.25), 1e6 * c.quantile(0.75));
  });
  fmt::print(
      "\nMedians of {} calls of each, in turn. A first call plans; reading the file is not in it. There is no eager "
      "column: a saved program\nis a graph, whose C++ is not here to be run op by op.\n",
      o.calls);
  if (!o.ledger) return;
  for (Column& c : columns) {
    {  // the first that is recorded plans anew
      tf::Ledger unused;
      const auto recording = unused.record();
      call(c, feeds);
    }
    const auto recording = c.ledger.record();
    for (int64_t i = 0; i < o.calls; ++i) call(c, feeds);
  }
  print_ledger(columns, o.calls);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* const sub = app.add_subcommand("bench", "Times calls of a function of a saved program.");
  const auto o = std::make_shared<Options>();
  sub->add_option("MODEL", o->model, "file that tf::save has written")->required();
  sub->add_option("-s,--signature", o->signature, "NAME or NAME:NUMBER; the only one, or predict, if not given");
  sub->add_option("-f,--feed", o->feeds, "NAME=VALUE, as of run; arguments that are not fed are random")
      ->allow_extra_args(false);
  sub->add_option("--batch", o->batch, "what extents that the signature leaves open are in random arguments")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  sub->add_option("--calls", o->calls, "how many are timed after the first")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}))
      ->capture_default_str();
  sub->add_option("--seed", o->seed, "of random arguments")->capture_default_str();
  sub->add_option("--device", o->device, "where it runs: /cpu:0, /gpu:0")->capture_default_str();
  sub->add_flag("--ledger", o->ledger, "shows where the time goes, by phases and by ops");
  sub->footer("Example: twofold bench net.safetensors --signature predict --batch 128 --calls 1000 --ledger");
  sub->callback([o] { bench(*o); });
}

}  // namespace command
