// Optimisers, clipping and schedules.
#include <algorithm>

#include <twofold/kernels/optimizer/optimizer.h>
#include <twofold/lib/train/update.h>

#include "oracle.h"

using namespace oracle;
namespace train = tf::train;

namespace {

/// One parameter of each of these values, its gradient and the optimiser's numbers, in long double; the rules are those
/// of lib/train's headers.
struct Point {
  real p, m = 0, v = 0, a = 0;
};
using Rule = std::function<void(Point& x, real g, int t)>;

const Reals kStart = {1, -2, 0.5L, 1e10L, -1e-10L, 0};
const std::vector<Reals> kGradients = {
    {0.1L, -0.5L, 3, 1, -1e-6L, 0}, {0.2L, 0.5L, -3, -1, 2e-6L, 1}, {0.1L, 0.25L, 0, 1e6L, 1e-12L, 0}};

/// Three steps of `make`'s optimiser, eager and in a graph, held to `rule`. A step is of about the learning rate, and
/// is taken from a parameter that it may nearly cancel: hence the size; the rules have up to a dozen roundings.
template <class Make>
void steps(const std::string& name, Make make_optimizer, const Rule& rule, Within within = {.ulps = 16, .size = 4}) {
  for_floating([&](auto, DType dtype) {
    const Tensor start = make(dtype, kStart);
    std::vector<Point> points;
    for (const real p : values_of(start)) points.push_back({.p = p});
    const auto program = [&](const Tensors& gradients) {
      const tf::Variable p(tf::constant(start));
      auto optimizer = make_optimizer(std::vector{p});
      auto step = tf::step([&](const Tensor& g) {
        optimizer.apply_gradients({g});
        return p.read();
      });
      Tensors after;
      for (const Tensor& g : gradients) after.push_back(step(g));
      return after;
    };
    Tensors gradients;
    for (const Reals& g : kGradients) gradients.push_back(make(dtype, g));
    const Tensors eager = tf::eagerly([&] { return program(gradients); });
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const Tensors deferred = tf::deferred([&] { return program(gradients); });
    for (size_t t = 0; t < gradients.size(); ++t) {
      const Reals g = values_of(gradients[t]);
      Reals wanted;
      for (size_t i = 0; i < g.size(); ++i)
        rule(points[i], g[i], static_cast<int>(t) + 1), wanted.push_back(points[i].p);
      INFO(name << " of " << dtype << ", step " << t + 1);
      CHECK(off_list(eager[t], dtype, wanted, within) == "");
      CHECK(off_list(deferred[t], dtype, wanted, within) == "");
    }
  });
}

const auto scalar = [](double v) { return tf::tensor(v, {.dtype = tf::float64}); };
template <class Make>
void refuses(Make make_optimizer) {
  tf::eagerly([&] { CHECK_ERROR(make_optimizer(), InvalidArgument, ""); });
}
const double kNan = std::nan(""), kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

ORACLE(train::SGD, sgd_update, train::Optimizer::apply_gradients, train::assign_all, train::read_all) {
  steps(
      "SGD", [](auto p) { return train::SGD(p, {.lr = 0.1}); }, [](Point& x, real g, int) { x.p -= 0.1L * g; });
  steps(
      "SGD, momentum", [](auto p) { return train::SGD(p, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01}); },
      [](Point& x, real g, int) {
        x.m = 0.9L * x.m + g + 0.01L * x.p;
        x.p -= 0.1L * x.m;
      });
  steps(
      "SGD, Nesterov", [](auto p) { return train::SGD(p, {.lr = 0.1, .momentum = 0.9, .nesterov = true}); },
      [](Point& x, real g, int) {
        x.m = 0.9L * x.m + g;
        x.p -= 0.1L * (g + 0.9L * x.m);
      });
  for_floating([](auto, DType t) {
    // What is not finite reaches its own parameter alone.
    const Tensor p = make(t, {1, 2, 3}), g = make(t, {kInf, kNaN, 1});
    CHECK(off_list(tf::eagerly([&] { return tf::sgd_update(p, g, {}, scalar(0.5), {}); })[0], t, {-kInf, kNaN, 2.5}) ==
          "");
    CHECK(off(tf::eagerly([&] { return tf::sgd_update(make(t, {0}, {}), make(t, {0}, {}), {}, scalar(0.5), {}); })[0],
              t, {0}, {}) == "");
    CHECK(off_list(tf::eagerly([&] {
                     return tf::sgd_update(p, make(t, {1, 1, 1}), {}, scalar(0), {});
                   })[0],
                   t, {1, 2, 3}) == "");
    CHECK_ERROR(tf::sgd_update(p, make(t, {1}), {}, scalar(1), {}), InvalidArgument, "");
    CHECK_ERROR(tf::sgd_update(p, g, {}, scalar(1), {.momentum = 0.5}), InvalidArgument, "");
  });
  const auto v = tf::eagerly([] { return tf::Variable(1.f); });
  for (const double wrong : {-1.0, kNan, kInfinity}) {
    refuses([&] { return train::SGD({v}, {.lr = wrong}); });
    refuses([&] { return train::SGD({v}, {.momentum = wrong}); });
    refuses([&] { return train::SGD({v}, {.weight_decay = wrong}); });
  }
  refuses([&] { return train::SGD({v}, {.nesterov = true}); });
  refuses([&] { return train::SGD({}, {}); });
  refuses([&] { return train::SGD({v, v}, {}); });
  refuses([&] { return train::SGD({tf::Variable(1)}, {}); });
  CHECK(off(tf::eagerly([&] { return train::read_all({v}); })[0], tf::float32, Shape{}, {1}) == "");
}

ORACLE(sgd_rows_update) {
  for_floating([](auto, DType t) {
    const auto update = [&](const Reals& p, const Reals& rows, const std::vector<int64_t>& indices, double lr) {
      const auto n = static_cast<int64_t>(indices.size()), extent = static_cast<int64_t>(p.size());
      return tf::eagerly([&] {
        return tf::sgd_rows_update(make(t, {extent, 1}, p), make(t, {n, 1}, rows), tf::tensor(indices), scalar(lr));
      });
    };
    const real most =
        tf::dispatch(t, [](auto zero) { return static_cast<real>(std::numeric_limits<decltype(zero)>::max()); });
    const real least = t == tf::float32 ? real{std::numeric_limits<float>::denorm_min()}
                                        : real{std::numeric_limits<double>::denorm_min()};
    // p - lr * (the sum of its rows), once; what was not taken keeps every bit, -0 and NaN too.
    CHECK(off(update({1, -0.0L, kNaN, kInf, 5}, {1, 2, 4}, {0, 4, 0}, 0.5), t, {5, 1}, {-1.5, -0.0L, kNaN, kInf, 4}) ==
          "");
    CHECK(off(update({1, 2, most, -most, least}, {kInf, kNaN, -most, -most, least}, {0, 1, 2, 3, 4}, 1), t, {5, 1},
              {-kInf, kNaN, kInf, 0, 0}) == "");
    CHECK(off(update({1, 2}, {kInf, -kInf}, {0, 0}, 1), t, {2, 1}, {kNaN, 2}) == "");
    CHECK(off(update({1, 2}, {kInf}, {1}, 0), t, {2, 1}, {1, kNaN}) == "");
    CHECK(off(update({1, 2, -0.0L}, {3}, {0}, kInfinity), t, {3, 1}, {-kInf, kNaN, kNaN}) == "");
    CHECK(off(update({1, 2}, {}, {}, kNan), t, {2, 1}, {kNaN, kNaN}) == "");
    CHECK(off(update({1, 2}, {}, {}, 0.5), t, {2, 1}, {1, 2}) == "");
    CHECK(off(update({}, {}, {}, 0.5), t, {0, 1}, {}) == "");
    // A rate beyond the dtype is infinite in it.
    if (t == tf::float32) CHECK(off(update({1, 2}, {1}, {0}, 1e300), t, {2, 1}, {-kInf, kNaN}) == "");
    CHECK_ERROR(update({1, 2}, {1, 2, 3}, {0, 1}, 1), InvalidArgument, "");
    CHECK_ERROR(tf::eagerly([&] {
                  return tf::sgd_rows_update(make(t, Shape{}, {1}), make(t, Shape{}, {1}), tf::tensor(0), scalar(1));
                }),
                InvalidArgument, "A scalar has no rows");
    for (const int64_t index : {int64_t{-1}, int64_t{2}, std::numeric_limits<int64_t>::max()})
      CHECK_ERROR(tf::eagerly([&] {
                    return tf::internal::checked_indices(tf::tensor(std::vector<int64_t>{0, index}), make(t, {1, 2}));
                  }),
                  OutOfRange, std::to_string(index));
  });
}

ORACLE(train::Adam, train::AdamW, adam_update) {
  const auto moments = [](Point& x, real g, int t, real b1, real b2, real lr, real eps) {
    x.m = b1 * x.m + (1 - b1) * g;
    x.v = b2 * x.v + (1 - b2) * g * g;
    x.p -= lr / (1 - std::pow(b1, real(t))) * (x.m / (std::sqrt(x.v) / std::sqrt(1 - std::pow(b2, real(t))) + eps));
  };
  steps(
      "Adam", [](auto p) { return train::Adam(p, {.lr = 0.1}); },
      [&](Point& x, real g, int t) { moments(x, g, t, 0.9L, 0.999L, 0.1L, 1e-8L); });
  steps(
      "Adam, decay",
      [](auto p) {
        return train::Adam(p, {.lr = 0.1, .beta1 = 0.5, .beta2 = 0.75, .eps = 1e-3, .weight_decay = 0.01});
      },
      [&](Point& x, real g, int t) { moments(x, g + 0.01L * x.p, t, 0.5L, 0.75L, 0.1L, 1e-3L); });
  steps(
      "AdamW", [](auto p) { return train::AdamW(p, {.lr = 0.1}); },
      [&](Point& x, real g, int t) {
        x.p *= 1 - 0.1L * 0.01L;
        moments(x, g, t, 0.9L, 0.999L, 0.1L, 1e-8L);
      });
  for_floating([](auto, DType t) {
    const Tensor p = make(t, {1, 2, 3, 4}), g = make(t, {kInf, kNaN, 0, 1}), none = make(t, {0, 0, 0, 0});
    const auto next = tf::eagerly([&] {
      return tf::adam_update(p, g, std::vector{none, none, tf::tensor(0, {.dtype = tf::int64})}, scalar(0.5), {});
    });
    CHECK(off_list(next[0], t, {kNaN, kNaN, 3, 4 - 0.5L / (1 + 1e-8L)}, {.ulps = 1, .size = 1}) == "");
    CHECK(off(next[3], tf::int64, Shape{}, {1}) == "");
    CHECK_ERROR(tf::adam_update(p, g, std::vector{none, none}, scalar(1), {}), InvalidArgument, "");
  });
  const auto v = tf::eagerly([] { return tf::Variable(1.f); });
  for (const double wrong : {-1.0, kNan, kInfinity}) {
    refuses([&] { return train::Adam({v}, {.lr = wrong}); });
    refuses([&] { return train::Adam({v}, {.beta1 = wrong}); });
    refuses([&] { return train::Adam({v}, {.eps = wrong}); });
    refuses([&] { return train::AdamW({v}, {.weight_decay = wrong}); });
  }
  refuses([&] { return train::Adam({v}, {.beta1 = 1}); });
  refuses([&] { return train::Adam({v}, {.beta2 = 1}); });
}

ORACLE(train::RMSProp, train::Adagrad, rmsprop_update, adagrad_update) {
  const auto square = [](Point& x, real g) { x.v = 0.99L * x.v + 0.01L * g * g; };
  steps(
      "RMSProp", [](auto p) { return train::RMSProp(p, {.lr = 0.1}); },
      [&](Point& x, real g, int) {
        square(x, g);
        x.p -= 0.1L * g / (std::sqrt(x.v) + 1e-8L);
      });
  steps(
      "RMSProp, momentum", [](auto p) { return train::RMSProp(p, {.lr = 0.1, .weight_decay = 0.01, .momentum = 0.5}); },
      [&](Point& x, real g, int) {
        g += 0.01L * x.p;
        square(x, g);
        x.m = 0.5L * x.m + g / (std::sqrt(x.v) + 1e-8L);
        x.p -= 0.1L * x.m;
      });
  // s - a^2 loses what the two share: to some hundred last places of the parameter's step here.
  steps(
      "RMSProp, centered", [](auto p) { return train::RMSProp(p, {.lr = 0.1, .centered = true}); },
      [&](Point& x, real g, int) {
        square(x, g);
        x.a = 0.99L * x.a + 0.01L * g;
        x.p -= 0.1L * g / (std::sqrt(x.v - x.a * x.a) + 1e-8L);
      },
      {.ulps = 16, .size = 64});
  steps(
      "Adagrad", [](auto p) { return train::Adagrad(p, {.lr = 0.1}); },
      [](Point& x, real g, int) {
        x.v += g * g;
        x.p -= 0.1L * (g / (std::sqrt(x.v) + 1e-10L));
      });
  steps(
      "Adagrad, decay",
      [](auto p) {
        return train::Adagrad(p, {.lr = 0.1, .lr_decay = 0.5, .weight_decay = 0.01, .initial_accumulator_value = 2});
      },
      [](Point& x, real g, int t) {
        g += 0.01L * x.p;
        x.v += g * g;
        x.p -= 0.1L / (1 + static_cast<real>(t - 1) * 0.5L) * (g / (std::sqrt(x.v + 2) + 1e-10L));
      });
  // The centred spread of a gradient that stays is rounding alone, of either sign: no step is lost to it.
  for_floating([](auto, DType t) {
    tf::eagerly([&] {
      const tf::Variable p(make(t, Shape{}, {0}));
      train::RMSProp optimizer({p}, {.lr = 1e-3, .centered = true});
      for (int i = 0; i < 3000; ++i) optimizer.apply_gradients({make(t, Shape{}, {0.1L})});
      CHECK(std::isfinite(values_of(p)[0]));
    });
    const Tensor p = make(t, {1, 2, 3}), g = make(t, {kInf, kNaN, 0}), none = make(t, {0, 0, 0});
    CHECK(off_list(tf::eagerly([&] { return tf::rmsprop_update(p, g, std::vector{none}, scalar(0.5), {}); })[0], t,
                   {kNaN, kNaN, 3}) == "");
    CHECK(off_list(tf::eagerly([&] { return tf::adagrad_update(p, g, std::vector{none}, scalar(0.5), {}); })[0], t,
                   {kNaN, kNaN, 3}) == "");
    CHECK_ERROR(tf::rmsprop_update(p, g, {}, scalar(1), {}), InvalidArgument, "");
    CHECK_ERROR(tf::adagrad_update(p, g, {}, scalar(1), {}), InvalidArgument, "");
  });
  const auto v = tf::eagerly([] { return tf::Variable(1.f); });
  for (const double wrong : {-1.0, kNan, kInfinity}) {
    refuses([&] { return train::RMSProp({v}, {.lr = wrong}); });
    refuses([&] { return train::RMSProp({v}, {.alpha = wrong}); });
    refuses([&] { return train::RMSProp({v}, {.momentum = wrong}); });
    refuses([&] { return train::Adagrad({v}, {.lr_decay = wrong}); });
    refuses([&] { return train::Adagrad({v}, {.initial_accumulator_value = wrong}); });
  }
}

ORACLE(train::Optimizer, train::Optimizer::minimize, train::Optimizer::compute_gradients,
       train::Optimizer::set_schedule) {
  for_floating([](auto, DType t) {
    // (p - 3)^2 from 1: slope -4, so 1.4 after a step of 0.1; then -3.2 by half the rate: 1.56.
    const auto program = [&] {
      const tf::Variable p(tf::constant(make(t, Shape{}, {1})));
      train::SGD optimizer({p}, {.lr = 0.1});
      optimizer.set_schedule(train::exponential_decay(0.5));
      auto step = tf::step([&] {
        optimizer.minimize(tf::square(p - 3));
        return p.read();
      });
      const Tensor first = step(), second = step();
      return Tensors{first, second};
    };
    const tf::Graph graph;
    const auto scope = graph.as_default();
    for (const Tensors& got : {tf::eagerly(program), tf::deferred(program)}) {
      CHECK(off(got[0], t, Shape{}, {1.4L}, {.ulps = 2}) == "");
      CHECK(off(got[1], t, Shape{}, {1.56L}, {.ulps = 2}) == "");
    }
    tf::eagerly([&] {
      const tf::Variable p(make(t, Shape{}, {1})), q(make(t, Shape{}, {1}));
      const train::SGD optimizer({p, q}, {.lr = 0.1});
      const tf::GradientTape tape;
      const Tensors slopes = optimizer.compute_gradients(tf::square(p - 3));
      CHECK(off(slopes[0], t, Shape{}, {-4}) == "");
      CHECK_FALSE(slopes[1].defined());
    });
  });
  tf::eagerly([] {
    const tf::Variable p(1.f);
    train::SGD optimizer({p}, {.lr = 0.1});
    CHECK_ERROR(optimizer.apply_gradients({}), InvalidArgument, "");
    CHECK_ERROR(optimizer.apply_gradients({Tensor()}), InvalidArgument, "No gradients provided");
    CHECK_ERROR(optimizer.apply_gradients({tf::tensor({1.f, 2.f})}), InvalidArgument, "");
    CHECK_ERROR(optimizer.minimize(p * 2.f), FailedPrecondition, "tape");
  });
}

ORACLE(train::clip_by_global_norm, train::clip_by_value) {
  for_floating([](auto zero, DType t) {
    using L = std::numeric_limits<decltype(zero)>;
    const auto clipped = [&](const Reals& a, const Reals& b, double most) {
      return everyway(
          [=](const Tensors& in) {
            auto [all, norm] = train::clip_by_global_norm({in[0], in[1]}, most);
            all.push_back(norm);
            return all;
          },
          {make(t, a), make(t, b)});
    };
    const auto like = [&](const Tensors& got, const Reals& a, const Reals& b, real norm) {
      CHECK(off_list(got[0], t, a, {.ulps = 8, .zero_sign = false}) == "");
      CHECK(off_list(got[1], t, b, {.ulps = 8, .zero_sign = false}) == "");
      // The norm is float64; of float32 it has float32's last places, of which each is 2^29 of its own.
      CHECK(off(got[2], tf::float64, Shape{}, {norm}, {.ulps = t == tf::float32 ? 0x1p29 * 8 : 8}) == "");
    };
    // max_norm / (norm + 1e-6)
    const real by = 1 / (5 + 1e-6L);
    like(clipped({3}, {4, 0}, 1), {3 * by}, {4 * by, 0}, 5);
    like(clipped({3}, {4, 0}, 6), {3}, {4, 0}, 5);
    like(clipped({3}, {4, 0}, 0), {0}, {0, 0}, 5);
    like(clipped({0}, {0, 0}, 1), {0}, {0, 0}, 0);
    like(clipped({3e20L}, {4e20L, 0}, 1), {0.6L}, {0.8L, 0}, 5e20L);
    like(clipped({3e-30L}, {4e-30L, 0}, 1), {3e-30L}, {4e-30L, 0}, 5e-30L);
    like(clipped({L::max() / 2}, {0, 0}, 1), {1}, {0, 0}, L::max() / 2);
    like(clipped({L::min()}, {0, 0}, 1), {L::min()}, {0, 0}, L::min());
    if (t == tf::float64) like(clipped({3e200L}, {4e200L, 0}, 1), {0.6L}, {0.8L, 0}, 5e200L);
    CHECK(off(clipped({kInf}, {1, 1}, 1)[2], tf::float64, Shape{}, {kInf}) == "");
    CHECK(off(clipped({kNaN}, {1, 1}, 1)[2], tf::float64, Shape{}, {kNaN}) == "");
    const auto bounded = everyway(
        [](const Tensors& in) {
          return train::clip_by_value({in[0], Tensor()}, 2);
        },
        {make(t, {-kInf, -2, -0.5, 0, kInf, kNaN})});
    CHECK(off_list(bounded[0], t, {-2, -2, -0.5, 0, 2, kNaN}) == "");
    CHECK_FALSE(bounded[1].defined());
  });
  const Tensor g = tf::tensor({1.f});
  CHECK_ERROR(train::clip_by_global_norm({g}, -1), InvalidArgument, "");
  CHECK_ERROR(train::clip_by_global_norm({g}, kNan), InvalidArgument, "");
  CHECK_ERROR(train::clip_by_global_norm({Tensor()}, 1), InvalidArgument, "");
  CHECK_ERROR(train::clip_by_global_norm({}, 1), InvalidArgument, "");
  CHECK_ERROR(train::clip_by_value({g}, -1), InvalidArgument, "");
  CHECK_ERROR(train::clip_by_value({g}, kNan), InvalidArgument, "");
}

ORACLE(train::step_decay, train::exponential_decay, train::cosine_decay, train::warmup) {
  const auto at = [](const train::Schedule& s, double step) {
    return everyway1([&](const Tensors& in) { return s(in[0]); }, {scalar(step)});
  };
  const real pi = std::acos(real(-1));
  for (const int step : {0, 1, 2, 3, 4, 9, 10, 11, 1000, 1000000000}) {
    INFO("step " << step);
    const auto n = static_cast<real>(step);
    CHECK(off(at(train::step_decay(3, 0.5), step), tf::float64, Shape{}, {std::pow(0.5L, std::floor(n / 3))},
              {.ulps = 2}) == "");
    CHECK(off(at(train::exponential_decay(0.9), step), tf::float64, Shape{}, {std::pow(real(0.9), n)}, {.ulps = 2}) ==
          "");
    CHECK(off(at(train::cosine_decay(10, 0.25), step), tf::float64, Shape{},
              {0.25L + 0.75L * (1 + std::cos(pi * std::min(n, real(10)) / 10)) / 2}, {.ulps = 4}) == "");
    CHECK(off(at(train::warmup(10), step), tf::float64, Shape{}, {std::min(real(1), (n + 1) / 10)}, {.ulps = 1}) == "");
    CHECK(off(at(train::warmup(4, train::exponential_decay(0.5)), step), tf::float64, Shape{},
              {std::min(real(1), (n + 1) / 4) * std::pow(0.5L, n)}, {.ulps = 2}) == "");
  }
  for (const int64_t wrong : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
    CHECK_ERROR(train::step_decay(wrong), InvalidArgument, "");
    CHECK_ERROR(train::cosine_decay(wrong), InvalidArgument, "");
    CHECK_ERROR(train::warmup(wrong), InvalidArgument, "");
  }
}
