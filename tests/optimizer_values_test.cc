// Optimisers over many steps, against closed forms in float64; and parameters given twice.
#include <cmath>
#include <functional>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace train = twofold::train;
using namespace training;

namespace {

using Make = std::function<std::unique_ptr<train::Optimizer>(std::vector<tf::Variable>)>;
constexpr double kSlope = 0.1, kStart = 1;

template <class O, class Options>
Make maker(Options options) {
  return [=](std::vector<tf::Variable> p) { return std::make_unique<O>(std::move(p), options); };
}

/// Where a number goes from kStart by `steps` steps along the slope kSlope, in all modes, which agree to the bit.
double after(const Make& make, int steps, tf::DType dtype) {
  std::vector<double> ends;
  for (const How how : {How::eager, How::deferred, How::optimized}) {
    ends.push_back(in_mode(how, [&](tf::Session& session) {
      const tf::Variable w(kStart, {.dtype = dtype});
      const auto opt = make({w});
      auto step = tf::step(session, [&](Tensor slope) { opt->minimize(slope * w); });
      session.run(tf::global_variables_initializer());
      const Tensor slope = tf::tensor(kSlope, {.dtype = dtype});
      for (int t = 0; t < steps; ++t) step(slope);
      return tf::cast(step.evaluate(w), tf::float64).template item<double>();
    }));
  }
  CHECK(ends[1] == ends[0]);
  CHECK(ends[2] == ends[0]);
  return ends[0];
}

struct Rule {
  const char* name;
  Make make;
  std::function<double(int t)> step;  ///< what step t = 1, 2, ... takes away
};

}  // namespace

TEST_CASE("Along a constant slope optimisers go as their closed forms do", "[train]") {
  const double g = kSlope, a = 0.99;
  // s = (1 - a^t) g^2 and the average (1 - a^t) g, so centred s - average^2 = (1 - a^t) a^t g^2; of Adam m and v,
  // corrected, are g and g^2; of Adagrad the sum is t g^2. eps stands beside the root, as in PyTorch.
  const Rule rules[] = {
      {"SGD", maker<train::SGD>(train::SGDOptions{.lr = 1e-4}), [=](int) { return 1e-4 * g; }},
      {"SGD, momentum", maker<train::SGD>(train::SGDOptions{.lr = 1e-4, .momentum = 0.9}),
       [=](int t) { return 1e-4 * g * (1 - std::pow(0.9, t)) / (1 - 0.9); }},
      {"Adam", maker<train::Adam>(train::AdamOptions{.lr = 1e-4, .eps = 1e-3}),
       [=](int) { return 1e-4 * g / (g + 1e-3); }},
      {"AdamW", maker<train::AdamW>(train::AdamWOptions{.lr = 1e-4, .eps = 1e-3, .weight_decay = 0}),
       [=](int) { return 1e-4 * g / (g + 1e-3); }},
      {"RMSProp", maker<train::RMSProp>(train::RMSPropOptions{.lr = 1e-4, .eps = 1e-3}),
       [=](int t) { return 1e-4 * g / (g * std::sqrt(1 - std::pow(a, t)) + 1e-3); }},
      {"RMSProp, centred", maker<train::RMSProp>(train::RMSPropOptions{.lr = 1e-4, .eps = 1e-2, .centered = true}),
       [=](int t) { return 1e-4 * g / (g * std::sqrt((1 - std::pow(a, t)) * std::pow(a, t)) + 1e-2); }},
      {"Adagrad", maker<train::Adagrad>(train::AdagradOptions{.lr = 1e-3, .eps = 1e-3}),
       [=](int t) { return 1e-3 * g / (g * std::sqrt(t) + 1e-3); }},
      {"Adagrad, decay", maker<train::Adagrad>(train::AdagradOptions{.lr = 1e-3, .lr_decay = 0.01, .eps = 1e-3}),
       [=](int t) { return 1e-3 / (1 + (t - 1) * 0.01) * g / (g * std::sqrt(t) + 1e-3); }},
  };
  constexpr int kSteps = 1300;
  for (const Rule& rule : rules) {
    INFO(rule.name);
    double right = kStart;
    for (int t = 1; t <= kSteps; ++t) right -= rule.step(t);
    CHECK(std::abs(after(rule.make, kSteps, tf::float64) - right) < 1e-6 * (kStart - right));
    CHECK(std::abs(after(rule.make, kSteps, tf::float32) - right) < 1e-2 * (kStart - right));
  }
}

TEST_CASE("Centred RMSProp stays finite where the gradient is constant", "[train]") {
  for (const double momentum : {0., 0.9}) {
    const Make make = maker<train::RMSProp>(train::RMSPropOptions{.momentum = momentum, .centered = true});
    for (const tf::DType dtype : {tf::float32, tf::float64}) CHECK(std::isfinite(after(make, 4000, dtype)));
  }
}

TEST_CASE("A parameter that is given twice is refused by every optimiser, in both modes", "[train]") {
  const auto check = [] {
    const tf::Variable w(1.f, {.name = "w"}), other(1.f), alias = w;
    const std::vector<tf::Variable> twice{w, other, alias};
    const std::string_view words = " was given 'w";
    CHECK_ERROR(train::SGD({w, w}, {.lr = .1}), InvalidArgument, "SGD was given 'w");
    CHECK_ERROR(train::SGD(twice), InvalidArgument, "twice, as its parameters 0 and 2");
    CHECK_ERROR(train::Adam(twice), InvalidArgument, words);
    CHECK_ERROR(train::AdamW(twice), InvalidArgument, words);
    CHECK_ERROR(train::RMSProp(twice), InvalidArgument, words);
    CHECK_ERROR(train::Adagrad(twice), InvalidArgument, "names shared parameters once");
  };
  tf::eagerly(check);
  const FreshGraph fresh;
  check();
}

TEST_CASE("Nets that share a trunk are trained as one module, each parameter once", "[train]") {
  struct Nets : tf::nn::Module {
    tf::nn::Linear trunk{2, 2}, &left = add("left", trunk), &right = add("right", trunk);
    Tensor forward(const Tensor& x) const override { return left(x) + right(x); }
  };
  tf::eagerly([] {
    const Nets nets;
    CHECK(nets.parameters().size() == 2);
    CHECK_NOTHROW(train::SGD(nets.parameters()));
    std::vector<tf::Variable> both = nets.left.parameters();
    for (const tf::Variable& v : nets.right.parameters()) both.push_back(v);
    CHECK_ERROR(train::SGD(both), InvalidArgument, "twice, as its parameters 0 and 2");
  });
}
