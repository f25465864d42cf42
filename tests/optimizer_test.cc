// Optimisers against their formulas, schedules, clipping: in both modes.
#include <cmath>
#include <functional>
#include <numbers>

#include <twofold/kernels/optimizer/optimizer.h>
#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "training.h"

namespace train = twofold::train;
using namespace training;

namespace {

constexpr double kStart[2] = {3, -4};
constexpr int kSteps = 4;

/// The gradient of parameter i in step t; the loss is its product with the parameter.
double slope(int t, int i) { return (i ? -2 : 1) * (1 + 0.5 * t) + (t == 2 ? 0.25 : 0); }

/// Where an optimiser takes two numbers of float64 in kSteps steps, one list for each way of running it.
template <class Make>
std::vector<std::vector<double>> paths(Make make) {
  std::vector<std::vector<double>> all;
  for (How how : {How::eager, How::deferred, How::optimized}) {
    all.push_back(in_mode(how, [&](tf::Session& session) {
      const tf::Variable w(std::vector<double>{kStart[0], kStart[1]});
      auto opt = make(std::vector<tf::Variable>{w});
      auto step = tf::step(session, [&](Tensor slopes) { opt.minimize(tf::sum(slopes * w)); });
      session.run(tf::global_variables_initializer());
      std::vector<double> path;
      for (int t = 0; t < kSteps; ++t) {
        step(std::vector<double>{slope(t, 0), slope(t, 1)});
        const Tensor now = step.evaluate(w);
        path.insert(path.end(), now.data<double>().begin(), now.data<double>().end());
      }
      return path;
    }));
  }
  return all;
}

/// The same where each run asks for what `minimize` gives, without a step.
template <class Make>
std::vector<double> path_by_run(Make make, bool optimize) {
  const FreshGraph fresh;
  const tf::Variable w(std::vector<double>{kStart[0], kStart[1]});
  auto opt = make(std::vector<tf::Variable>{w});
  const Tensor slopes = tf::placeholder(tf::float64, {2});
  const tf::Operation update = opt.minimize(tf::sum(slopes * w));
  tf::Session session({.optimize = optimize});
  session.run(tf::global_variables_initializer());
  std::vector<double> path;
  for (int t = 0; t < kSteps; ++t) {
    session.run(update, {{slopes, std::vector<double>{slope(t, 0), slope(t, 1)}}});
    const Tensor now = session.run(w);
    path.insert(path.end(), now.data<double>().begin(), now.data<double>().end());
  }
  return path;
}

/// Checks them against `update(t, i, gradient, w)`, which changes w.
template <class Make, class Update>
void check_path(Make make, Update update) {
  const auto all = paths(make);
  CHECK(all[1] == all[0]);
  CHECK(all[2] == all[0]);
  CHECK(path_by_run(make, false) == all[0]);
  CHECK(path_by_run(make, true) == all[0]);
  double w[2] = {kStart[0], kStart[1]};
  for (int t = 0; t < kSteps; ++t) {
    for (int i = 0; i < 2; ++i) {
      update(t, i, slope(t, i), w[i]);
      CHECK(std::abs(all[0][static_cast<size_t>(2 * t + i)] - w[i]) < 1e-13);
    }
  }
}

}  // namespace

TEST_CASE("Adam and AdamW follow their formulas", "[train]") {
  for (const double decay : {0.0, 0.3}) {
    const train::AdamOptions o{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = decay};
    for (const bool decoupled : {false, true}) {
      double m[2] = {}, v[2] = {};
      const auto update = [&](int t, int i, double g, double& w) {
        if (decoupled)
          w *= 1 - o.lr * decay;
        else
          g += decay * w;
        m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
        v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
        const double mean = m[i] / (1 - std::pow(o.beta1, t + 1)), square = v[i] / (1 - std::pow(o.beta2, t + 1));
        w -= o.lr * mean / (std::sqrt(square) + o.eps);
      };
      if (decoupled) {
        const train::AdamWOptions w{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = decay};
        check_path([&](auto p) { return train::AdamW(p, w); }, update);
      } else {
        check_path([&](auto p) { return train::Adam(p, o); }, update);
      }
    }
  }
}

TEST_CASE("RMSProp follows its formula", "[train]") {
  for (const auto& o :
       {train::RMSPropOptions{.lr = 0.1, .alpha = 0.7, .eps = 1e-3},
        train::RMSPropOptions{.lr = 0.1, .alpha = 0.7, .eps = 1e-3, .weight_decay = 0.2, .momentum = 0.5},
        train::RMSPropOptions{.lr = 0.1, .alpha = 0.7, .eps = 1e-3, .centered = true}}) {
    double s[2] = {}, a[2] = {}, b[2] = {};
    check_path([&](auto p) { return train::RMSProp(p, o); },
               [&](int, int i, double g, double& w) {
                 g += o.weight_decay * w;
                 s[i] = o.alpha * s[i] + (1 - o.alpha) * g * g;
                 a[i] = o.alpha * a[i] + (1 - o.alpha) * g;
                 const double step = g / (std::sqrt(s[i] - (o.centered ? a[i] * a[i] : 0)) + o.eps);
                 b[i] = o.momentum * b[i] + step;
                 w -= o.lr * b[i];
               });
  }
}

TEST_CASE("Adagrad follows its formula", "[train]") {
  for (const auto& o :
       {train::AdagradOptions{.lr = 0.1},
        train::AdagradOptions{
            .lr = 0.1, .lr_decay = 0.5, .weight_decay = 0.2, .initial_accumulator_value = 0.3, .eps = 1e-2}}) {
    double s[2] = {o.initial_accumulator_value, o.initial_accumulator_value};
    check_path([&](auto p) { return train::Adagrad(p, o); },
               [&](int t, int i, double g, double& w) {
                 g += o.weight_decay * w;
                 s[i] += g * g;
                 w -= o.lr / (1 + t * o.lr_decay) * g / (std::sqrt(s[i]) + o.eps);
               });
  }
}

TEST_CASE("The learning rate follows its schedule", "[train]") {
  const std::pair<train::Schedule, std::function<double(int)>> schedules[] = {
      {train::step_decay(2, 0.5), [](int t) { return t < 2 ? 1 : 0.5; }},
      {train::exponential_decay(0.5), [](int t) { return std::pow(0.5, t); }},
      {train::cosine_decay(3, 0.2), [](int t) { return 0.2 + 0.8 * (1 + std::cos(std::numbers::pi * t / 3)) / 2; }},
      {train::cosine_decay(2), [](int t) { return t == 0   ? 1
                                                  : t == 1 ? 0.5
                                                           : 0; }},
      {train::warmup(2, train::exponential_decay(0.5)), [](int t) { return (t == 0 ? 0.5 : 1) * std::pow(0.5, t); }},
      {train::warmup(4), [](int t) { return (t + 1) / 4.; }},
  };
  for (const auto& [schedule, factor] : schedules) {
    check_path(
        [&](auto p) {
          train::SGD opt(p, {.lr = 0.1});
          opt.set_schedule(schedule);
          return opt;
        },
        [&](int t, int, double g, double& w) { w -= 0.1 * factor(t) * g; });
  }
  CHECK_ERROR(train::step_decay(0), InvalidArgument, "step_decay over 0 steps; it needs one at least");
}

TEST_CASE("Gradients are clipped by their common norm and by value", "[train]") {
  for (How how : {How::eager, How::deferred, How::optimized}) {
    const auto values = in_mode(how, [](tf::Session& session) {
      auto step = tf::step(session, [](Tensor a, Tensor b) {
        const auto [clipped, norm] = train::clip_by_global_norm({a, Tensor(), b}, 2.5);
        const auto kept = train::clip_by_global_norm({a, b}, 50).first;
        const auto bounded = train::clip_by_value({a, b}, 3.5);
        CHECK_FALSE(clipped[1].defined());
        return std::vector<Tensor>{clipped[0], clipped[2], norm, kept[0], bounded[0], bounded[1]};
      });
      return step(std::vector<float>{3, 0}, std::vector<float>{-4});
    });
    CHECK(std::abs(floats(values[0])[0] - 1.5f) < 1e-5f);
    CHECK(std::abs(floats(values[1])[0] + 2.f) < 1e-5f);
    CHECK(values[2].item<double>() == 5);
    CHECK(floats(values[3]) == std::vector<float>{3, 0});
    CHECK(floats(values[4]) == std::vector<float>{3, 0});
    CHECK(floats(values[5]) == std::vector<float>{-3.5f});
  }
  CHECK_ERROR(train::clip_by_global_norm({Tensor()}, 1), InvalidArgument, "no gradient that is defined");
  CHECK_ERROR(train::clip_by_value({}, -1), InvalidArgument, "Invalid bound: -1; it must not be negative");
}

TEST_CASE("What a branch leaves out stays left out through clipping, for every optimiser", "[train]") {
  using Make = std::function<std::unique_ptr<train::Optimizer>(std::vector<tf::Variable>)>;
  const Make kinds[] = {
      [](auto p) { return std::make_unique<train::Adam>(p, train::AdamOptions{.lr = 0.1}); },
      [](auto p) { return std::make_unique<train::AdamW>(p, train::AdamWOptions{.lr = 0.1, .weight_decay = 0.1}); },
      [](auto p) { return std::make_unique<train::RMSProp>(p, train::RMSPropOptions{.lr = 0.1, .momentum = 0.9}); },
      [](auto p) { return std::make_unique<train::Adagrad>(p, train::AdagradOptions{.lr = 0.1, .lr_decay = 0.1}); },
  };
  for (const Make& make : kinds) {
    const auto program = [&](tf::Session& session) {
      const tf::Variable a({1.f, 2.f}), b({3.f, -1.f});
      const auto opt = make({a, b});
      auto step = tf::step(session, [&](Tensor p) {
        const Tensor loss = tf::sum(tf::cond(p, [&] { return a * a; }, [&] { return b * b * b; }));
        opt->apply_gradients(train::clip_by_global_norm(opt->compute_gradients(loss), 1).first);
        return loss;
      });
      session.run(tf::global_variables_initializer());
      std::vector<Tensor> all;
      for (const bool p : {true, true, false, true, false})
        all.insert(all.end(), {step(p), step.evaluate(a), step.evaluate(b)});
      return all;
    };
    const auto eager = in_mode(How::eager, program);
    CHECK(floats(eager[5]) == std::vector{3.f, -1.f});
    CHECK(floats(eager[7]) == floats(eager[4]));
    CHECK(same_bits(in_mode(How::deferred, program), eager));
    CHECK(same_bits(in_mode(How::optimized, program), eager));
  }
}

TEST_CASE("Mistakes with optimisers are told", "[train]") {
  const tf::EagerMode eager;
  const tf::Variable w(1.f), n(1);
  CHECK_ERROR(train::Adam({}), InvalidArgument, "Adam was given no parameters");
  CHECK_ERROR(train::Adam({n}), InvalidArgument, "of dtype int32, which has no gradients");
  CHECK_ERROR(train::Adam({w}, {.beta2 = 1}), InvalidArgument, "Invalid beta2 value: 1; it must be below 1");
  CHECK_ERROR(train::AdamW({w}, {.lr = -1}), InvalidArgument, "Invalid lr value: -1; it must not be negative");
  CHECK_ERROR(train::RMSProp({w}, {.alpha = -1}), InvalidArgument, "Invalid alpha value: -1; it must not be negative");
  CHECK_ERROR(train::Adagrad({w}, {.eps = NAN}), InvalidArgument, "Invalid eps value: nan; it must not be negative");
  const Tensor x = tf::tensor({1.f}), lr = tf::tensor(0.1, {.dtype = tf::float64});
  const std::vector<Tensor> uncounted{x, x}, wrongly{x, x, x};
  CHECK_ERROR(tf::adam_update(x, x, uncounted, lr, {}), InvalidArgument,
              "The update takes 2 tensors of state, a count and a rate");
  CHECK_ERROR(tf::adam_update(x, x, wrongly, lr, {}), InvalidArgument, "The count must be an int64 scalar");
}
