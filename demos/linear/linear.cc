// Linear regression as one text, run eager, deferred, and deferred with optimisation, and what each costs.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "columns.h"
#include "progress.h"

namespace tf = twofold;

namespace nn = twofold::nn;
namespace train = twofold::train;

namespace {

struct Options {
  int steps = 2000;
  int samples = 256;
  int features = 4;
  double lr = 0.05;
  double momentum = 0.9;
  int64_t seed = 1;
  std::string json;
};

struct Data {
  tf::Tensor x, y, weight;
};

// y = x weight^T + 0.5, with a little noise.
Data make_data(const Options& o) {
  const tf::EagerMode eager;
  tf::set_random_seed(o.seed);
  Data d;
  d.x = tf::random_normal({o.samples, o.features});
  d.weight = tf::random_normal({1, o.features});
  d.y = tf::matmul(d.x, d.weight, {.transpose_b = true}) + 0.5f + tf::random_normal({o.samples, 1}, {.stddev = 0.01});
  return d;
}

struct Fit : Column {
  std::vector<float> losses;
  tf::Tensor weight, bias;
};

constexpr int kLedgerSteps = 500;

// The program: one text for all three columns. In eager mode the session has nothing to do.
void fit(tf::Session& session, const Data& data, const Options& o, Fit& column) {
  const auto start = Clock::now();
  nn::Linear model(o.features, 1);
  train::SGD opt(model.parameters(), {.lr = o.lr, .momentum = o.momentum});
  auto step = tf::step(session, [&](tf::Tensor x, tf::Tensor y) {
    auto loss = nn::mse_loss(model(x), y);
    opt.minimize(loss);
    return loss;
  });
  session.run(tf::global_variables_initializer());
  column.losses.push_back(step(data.x, data.y).item<float>());
  column.first = seconds_since(start);

  std::vector<double> times;
  Progress progress(column.name, o.steps);
  for (int i = 1; i < o.steps; ++i) {
    const auto begin = Clock::now();
    column.losses.push_back(step(data.x, data.y).item<float>());
    times.push_back(seconds_since(begin));
    progress.done(i + 1);
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  column.median = times[times.size() / 2];
  column.weight = step.evaluate(model.weight());
  column.bias = step.evaluate(model.bias());

  column.ledger_steps = kLedgerSteps;
  const auto recording = column.ledger.record();
  for (int i = 0; i < kLedgerSteps; ++i) step(data.x, data.y);
}

bool equal(const Fit& a, const Fit& b) {
  return same_bits(a.losses, b.losses) && same_bits(a.weight.data<float>(), b.weight.data<float>()) &&
         same_bits(a.bias.data<float>(), b.bias.data<float>());
}

void print_table(const std::array<Fit, 3>& columns) {
  print_row(columns, "", [](const Fit& c) { return c.name; });
  print_row(columns, "first step, ms", [](const Fit& c) { return fmt::format("{:.3f}", 1e3 * c.first); });
  print_row(columns, "a step after that, us", [](const Fit& c) { return fmt::format("{:.2f}", 1e6 * c.median); });
  print_row(columns, "ahead of eager from step",
            [&](const Fit& c) { return &c == columns.data() ? "" : paid_at(c, columns[0]); });
  print_row(columns, "last loss", [](const Fit& c) { return fmt::format("{:.9g}", c.losses.back()); });
  print_ledgers(columns, 1e-6, "us");
}

void write_json(const std::array<Fit, 3>& columns, const Options& o) {
  nlohmann::ordered_json all = {{"steps", o.steps}, {"samples", o.samples}, {"features", o.features}};
  for (const Fit& c : columns)
    all["columns"].push_back({{"name", c.name},
                              {"first_seconds", c.first},
                              {"median_seconds", c.median},
                              {"last_loss", c.losses.back()},
                              {"ledger_steps", c.ledger_steps},
                              {"ledger", nlohmann::ordered_json::parse(c.ledger.json())}});
  write_file(o.json, all.dump(1));
  fmt::print("\nThe numbers as JSON are in {}\n", o.json);
}

int run(const Options& o) {
  const Data data = make_data(o);
  std::array<Fit, 3> columns;
  for (const How how : {How::eager, How::deferred, How::optimized}) {
    Fit& column = columns[static_cast<size_t>(how)];
    column.name = name_of(how);
    run_program(how, o.seed, [&](tf::Session& session) { fit(session, data, o, column); });
  }

  std::cout << "Linear regression: " << o.samples << " samples of " << o.features << " features, " << o.steps
            << " steps of SGD\n\n"
            << "weight that made the data  " << data.weight << "\nweight found               " << columns[0].weight
            << "\nbias that made the data    [0.5]\nbias found                 " << columns[0].bias << "\n\n"
            << std::flush;
  print_table(columns);
  const bool all_equal = equal(columns[0], columns[1]) && equal(columns[0], columns[2]);
  fmt::print("\nEvery loss, the weight and the bias are {} in all three.\n",
             all_equal ? "equal to the bit" : "NOT equal");
  if (!o.json.empty()) write_json(columns, o);
  return all_equal ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app{"Fits a line in three ways and compares what they cost."};
  app.add_option("--steps", o.steps, "steps of SGD")->check(CLI::Range(2, 10'000'000))->capture_default_str();
  app.add_option("--samples", o.samples, "rows of data")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  app.add_option("--features", o.features, "columns of data")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--lr", o.lr, "learning rate")->capture_default_str();
  app.add_option("--momentum", o.momentum, "momentum")->capture_default_str();
  app.add_option("--seed", o.seed, "random seed")->capture_default_str();
  app.add_option("--json", o.json, "also write the numbers to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
