// Linear regression as one text, run eager, deferred, and deferred with optimisation, and what each costs.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <array>
#include <deque>
#include <iostream>
#include <memory>
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
  How how = How::eager;
  std::vector<float> losses;
  tf::Tensor weight, bias;
};

constexpr int kLedgerSteps = 500;

// The program: one text for all three columns. In eager mode the session has nothing to do.
class Training {
 public:
  Training(tf::Session& session, const Data& data, const Options& o, Fit& column)
      : data_(data),
        column_(column),
        model_(o.features, 1),
        optimizer_(model_.parameters(), {.lr = o.lr, .momentum = o.momentum}),
        step_(tf::step(session, Body{this})) {
    session.run(tf::global_variables_initializer());
  }
  void step() { column_.losses.push_back(step_(data_.x, data_.y).item<float>()); }
  void end() {
    column_.weight = step_.evaluate(model_.weight());
    column_.bias = step_.evaluate(model_.bias());
    column_.ledger_steps = kLedgerSteps;
    const auto recording = column_.ledger.record();
    for (int i = 0; i < kLedgerSteps; ++i) step_(data_.x, data_.y).item<float>();
  }

 private:
  struct Body {
    Training* training;
    tf::Tensor operator()(const tf::Tensor& x, const tf::Tensor& y) {
      auto loss = nn::mse_loss(training->model_(x), y);
      training->optimizer_.minimize(loss);
      return loss;
    }
  };

  const Data& data_;
  Fit& column_;
  nn::Linear model_;
  train::SGD optimizer_;
  tf::Step<Body> step_;
};

// A column and its program, which takes turns with the others'.
struct Turns {
  Turns(How how, const Options& o, Fit& fit) : column(fit), stage(how, o.seed) {
    column.name = name_of(column.how = how);
  }

  void first(const Data& data, const Options& o) {
    release_kept_memory();
    stage([&](tf::Session& session) {
      const auto begin = Clock::now();
      const auto recording = column.first_ledger.record();
      training = std::make_unique<Training>(session, data, o, column);
      training->step();
      column.first = seconds_since(begin);
    });
  }
  void step() {
    stage([&](tf::Session&) {
      const auto begin = Clock::now();
      training->step();
      column.step_seconds.push_back(seconds_since(begin));
    });
  }

  Fit& column;
  Stage stage;
  std::unique_ptr<Training> training;
};

void fit(const Options& o, const Data& data, std::array<Fit, 3>& columns) {
  std::deque<Turns> all;
  for (const How how : {How::eager, How::deferred, How::optimized})
    all.emplace_back(how, o, columns[static_cast<size_t>(how)]).first(data, o);
  Progress progress("linear", o.steps);
  int64_t done = 0;
  take_turns(all, o.steps - 1, [&](Turns& t) {
    t.step();
    progress.done(1 + ++done / 3);
  });
  for (Turns& t : all) t.stage([&](tf::Session&) { t.training->end(); });
}

bool equal(const Fit& a, const Fit& b) {
  return same_bits(a.losses, b.losses) && same_bits(a.weight.data<float>(), b.weight.data<float>()) &&
         same_bits(a.bias.data<float>(), b.bias.data<float>());
}

void print_table(const std::array<Fit, 3>& columns) {
  print_steps(columns, 2, 1e-6, "us");
  print_row(columns, "last loss", [](const Fit& c) { return fmt::format("{:.9g}", c.losses.back()); });
  print_ledgers(columns, 1e-6, "us");
}

void write_json(const std::array<Fit, 3>& columns, const Options& o) {
  nlohmann::ordered_json all = {{"steps", o.steps}, {"samples", o.samples}, {"features", o.features}};
  for (const Fit& c : columns)
    all["columns"].push_back({{"name", c.name},
                              {"first_seconds", c.first},
                              {"median_seconds", c.median()},
                              {"last_loss", c.losses.back()},
                              {"ledger_steps", c.ledger_steps},
                              {"ledger", nlohmann::ordered_json::parse(c.ledger.json())}});
  write_file(o.json, all.dump(1));
  fmt::print("\nThe numbers as JSON are in {}\n", o.json);
}

int run(const Options& o) {
  const Data data = make_data(o);
  std::array<Fit, 3> columns;
  const Neighbours neighbours;
  fit(o, data, columns);
  const std::string busy = neighbours.remark();

  std::cout << "Linear regression: " << o.samples << " samples of " << o.features << " features, " << o.steps
            << " steps of SGD\n\n"
            << "weight that made the data  " << data.weight << "\nweight found               " << columns[0].weight
            << "\nbias that made the data    [0.5]\nbias found                 " << columns[0].bias << "\n\n"
            << std::flush;
  print_table(columns);
  std::cout << busy << std::flush;
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
