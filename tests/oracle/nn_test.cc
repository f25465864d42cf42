// Layers and losses, and the elementwise functions that are made of others.
#include <algorithm>

#include "dual.h"

using namespace oracle;
namespace nn = tf::nn;

namespace {

Reals some(size_t n, real step = 0.375L) {
  Reals v;
  for (size_t i = 0; i < n; ++i) v.push_back(static_cast<real>((i * 7 + 3) % 11) * step - 1.5L);
  return v;
}
template <class In>
using Number = typename std::remove_cvref_t<In>::value_type::value_type;

/// f of each element, in value and derivatives; `kink` are the elements' values where f bends.
using F1 = std::function<real(real)>;
void elementwise(const std::string& name, const std::function<Tensor(const Tensor&)>& call, const F1& f,
                 const F1& first, const F1& second, Within within) {
  for_floating([&](auto zero, DType dtype) {
    const Tensor x = make(dtype, extremes<decltype(zero)>());
    const Reals at = values_of(x);
    const auto each = [&](const F1& g) {
      Reals y;
      for (const real v : at) y.push_back(g(v));
      return y;
    };
    const auto [y, slope, bend] = derive(call, x);
    INFO(name << " of " << dtype);
    CHECK(off_list(y, dtype, each(f), within) == "");
    INFO("slope");
    CHECK(off_list(slope, dtype, each(first), within) == "");
    INFO("bend");
    CHECK(off_list(bend, dtype, each(second), within) == "");
  });
}
real none(real) { return 0; }

}  // namespace

ORACLE(clip, leaky_relu, elu) {
  const Within exact{.ulps = 1, .zero_sign = false};
  const auto between = [](real low, real high) {
    return [=](real x) { return std::isnan(x) ? kNaN : std::min(std::max(x, low), high); };
  };
  const auto inside = [](real low, real high) {
    return [=](real x) { return std::isnan(x) ? kAnything : real(x >= low && x <= high); };
  };
  elementwise(
      "clip", [](const Tensor& x) { return tf::clip(x, -0.5, 2); }, between(-0.5, 2), inside(-0.5, 2), none, exact);
  elementwise(
      "clip below", [](const Tensor& x) { return tf::clip(x, 0.5, INFINITY); }, between(0.5, kInf), inside(0.5, kInf),
      none, exact);
  elementwise(
      "clip above", [](const Tensor& x) { return tf::clip(x, -INFINITY, 1); }, between(-kInf, 1), inside(-kInf, 1),
      none, exact);
  elementwise(
      "leaky_relu", [](const Tensor& x) { return tf::leaky_relu(x, 0.25); },
      [](real x) { return x > 0 ? x : 0.25L * x; },
      [](real x) { return std::isnan(x) ? kAnything
                          : x > 0       ? 1
                                        : real(0.25); }, none, exact);
  elementwise(
      "elu", [](const Tensor& x) { return tf::elu(x, 2); }, [](real x) { return x > 0 ? x : 2 * std::expm1(x); },
      [](real x) { return std::isnan(x) ? kAnything
                          : x > 0       ? 1
                                        : 2 * std::exp(x); },
      [](real x) { return std::isnan(x) ? kAnything
                          : x > 0       ? 0
                                        : 2 * std::exp(x); }, {.ulps = 4, .zero_sign = false});
  for_integers([](auto zero, DType t) {
    using T = decltype(zero);
    const auto v = integers<T>();
    const auto clipped = [&](double low, double high) {
      return everyway1([=](const Tensors& in) { return tf::clip(in[0], low, high); }, {tf::tensor(v)});
    };
    Reals open, small;
    for (const T i : v)
      open.push_back(std::max(real(i), real(2))), small.push_back(std::clamp(real(i), real(1), real(7)));
    CHECK(off_list(clipped(2, INFINITY), t, open) == "");
    CHECK(off_list(clipped(2, 1e300), t, open) == "");
    CHECK(off_list(clipped(1, 7), t, small) == "");
    CHECK(off_list(clipped(-INFINITY, INFINITY), t, Reals(v.begin(), v.end())) == "");
    CHECK_ERROR(tf::clip(tf::tensor(v), 0.5, 3), InvalidArgument, "0.5");
    CHECK_ERROR(tf::clip(tf::tensor(v), NAN, 3), InvalidArgument, "");
    CHECK_ERROR(tf::clip(tf::tensor(v), 3, 2), InvalidArgument, "");
  });
  CHECK_ERROR(tf::clip(tf::tensor({1.f}), NAN, 3), InvalidArgument, "");
  CHECK_ERROR(tf::clip(tf::tensor({1.f}), 3, NAN), InvalidArgument, "");
  CHECK_ERROR(tf::elu(tf::tensor({1})), InvalidArgument, "");
}

ORACLE(nn::mse_loss, nn::nll_loss, nn::softmax_cross_entropy) {
  for_floating([](auto zero, DType dtype) {
    using L = std::numeric_limits<decltype(zero)>;
    const Tensor target = tf::tensor({2, 0});
    for (const real scale : {1.0L, 1e-8L, 1e8L})
      hold(
          "mse_loss", dtype, [](const Tensors& in) { return nn::mse_loss(in[0], in[1]); },
          [](const auto& in) {
            auto s = (in[0][0] - in[1][0]) * (in[0][0] - in[1][0]);
            for (size_t i = 1; i < 6; ++i) s = s + (in[0][i] - in[1][i]) * (in[0][i] - in[1][i]);
            return std::vector{s * Number<decltype(in)>(1.0L / 6)};
          },
          {{{2, 3}, {2, 3}}, {some(6, scale), some(6, -scale)}});
    hold(
        "nll_loss", dtype, [&](const Tensors& in) { return nn::nll_loss(in[0], target); },
        [](const auto& in) { return std::vector{(in[0][2] + in[0][3]) * Number<decltype(in)>(-0.5L)}; },
        {{{2, 3}}, {some(6)}});
    hold(
        "softmax_cross_entropy", dtype, [&](const Tensors& in) { return nn::softmax_cross_entropy(in[0], target); },
        [](const auto& in) {
          using std::exp, std::log;
          const auto row = [&](size_t r, size_t c) {
            return in[0][3 * r + c] - log(exp(in[0][3 * r]) + exp(in[0][3 * r + 1]) + exp(in[0][3 * r + 2]));
          };
          return std::vector{(row(0, 2) + row(1, 0)) * Number<decltype(in)>(-0.5L)};
        },
        {{{2, 3}}, {some(6)}}, 16);
    // Logits of any size; a class that is ruled out costs infinitely much, and nothing if it is another's.
    const auto loss = [&](const Reals& logits, int c) {
      return everyway1([=](const Tensors& in) { return nn::softmax_cross_entropy(in[0], tf::tensor({c})); },
                       {make(dtype, {1, 3}, logits)});
    };
    CHECK(off(loss({1000, 0, 0}, 0), dtype, Shape{}, {0}, {.zero_sign = false}) == "");
    CHECK(off(loss({1000, 0, 0}, 1), dtype, Shape{}, {1000}) == "");
    CHECK(off(loss({L::max(), 0, 0}, 1), dtype, Shape{}, {real(L::max())}) == "");
    CHECK(off(loss({0, 0, -kInf}, 0), dtype, Shape{}, {std::log(2.0L)}, {.ulps = 1}) == "");
    CHECK(off(loss({0, 0, -kInf}, 2), dtype, Shape{}, {kInf}) == "");
    CHECK(off(loss({kNaN, 0, 0}, 1), dtype, Shape{}, {kNaN}) == "");
    const auto [y, first, second] =
        derive([](const Tensor& x) { return nn::softmax_cross_entropy(x, tf::tensor({0})); },
               make(dtype, {1, 3}, {0, 0, -kInf}));
    CHECK(off(first, dtype, {1, 3}, {-0.5, 0.5, 0}, {.ulps = 1, .zero_sign = false}) == "");
    CHECK(off(second, dtype, {1, 3}, {0, 0, 0}, {.size = 1, .zero_sign = false}) == "");
    CHECK(off(nn::mse_loss(make(dtype, {2}, {L::max(), 0}), make(dtype, {2}, {0, 0})), dtype, Shape{}, {kInf}) == "");
    CHECK(off(nn::mse_loss(make(dtype, {0}, {}), make(dtype, {0}, {})), dtype, Shape{}, {kNaN}) == "");
    CHECK(off(nn::nll_loss(make(dtype, {0, 3}, {}), tf::tensor(std::vector<int>())), dtype, Shape{}, {kNaN}) == "");
    const Tensor logits = make(dtype, {2, 3}, some(6));
    for (const int wrong : {3, -1, INT32_MAX, INT32_MIN}) {
      CHECK_ERROR(tf::eagerly([&] {
                    return nn::nll_loss(logits, tf::tensor({0, wrong}));
                  }),
                  OutOfRange, std::to_string(wrong));
      CHECK_ERROR(tf::eagerly([&] {
                    return nn::softmax_cross_entropy(logits, tf::tensor({0, wrong}));
                  }),
                  OutOfRange, std::to_string(wrong));
    }
    CHECK_ERROR(nn::nll_loss(logits, tf::tensor({0})), InvalidArgument, "");
    CHECK_ERROR(nn::nll_loss(logits[0], tf::tensor({0})), InvalidArgument, "");
    CHECK_ERROR(nn::nll_loss(logits, tf::tensor({0.f, 1.f})), InvalidArgument, "");
    CHECK_ERROR(nn::mse_loss(logits, tf::zeros({4}, dtype)), InvalidArgument, "");
  });
}

ORACLE(nn::Linear, nn::Linear::forward, nn::Linear::weight, nn::Linear::bias, nn::Conv2d, nn::Conv2d::forward,
       nn::Conv2d::weight, nn::Conv2d::bias) {
  for_floating([](auto, DType dtype) {
    tf::eagerly([&] {
      const nn::Linear layer(3, 2, {.dtype = dtype});
      const Reals w = values_of(layer.weight()), b = values_of(layer.bias());
      for (const Reals& all : {w, b})
        for (const real v : all) CHECK((v >= -1 / std::sqrt(3.0L) && v < 1 / std::sqrt(3.0L)));
      const Reals x = {1, -2, 0.5, 1e10, 0, -1};
      Reals y;
      real size = 0;
      for (size_t i = 0; i < 2; ++i)
        for (size_t o = 0; o < 2; ++o) {
          real s = b[o];
          for (size_t k = 0; k < 3; ++k)
            s += x[3 * i + k] * w[3 * o + k], size = std::max(size, std::fabs(x[3 * i + k]));
          y.push_back(s);
        }
      CHECK(off(layer(make(dtype, {2, 3}, x)), dtype, {2, 2}, y, {.ulps = 2, .size = size}) == "");
      CHECK(off(layer(make(dtype, {1, 3}, {kInf, 0, 0})), dtype, {1, 2},
                {w[0] > 0 ? kInf : -kInf, w[3] > 0 ? kInf : -kInf}) == "");
      CHECK(off(layer(make(dtype, {0, 3}, {})), dtype, {0, 2}, {}) == "");
      CHECK_ERROR(layer(make(dtype, {2, 4}, some(8))), InvalidArgument, "");
      CHECK_ERROR(nn::Linear(3, 2, {.bias = false}).bias(), FailedPrecondition, "");

      const nn::Conv2d convolution(1, 2, 2, {.padding = 1, .dtype = dtype});
      const Reals k = values_of(convolution.weight()), c = values_of(convolution.bias());
      for (const real v : k) CHECK((v >= -0.5 && v < 0.5));
      // One pixel of 2: the kernel turned over, times 2, and the bias.
      CHECK(off(convolution(make(dtype, {1, 1, 1, 1}, {2})), dtype, {1, 2, 2, 2},
                {2 * k[3] + c[0], 2 * k[2] + c[0], 2 * k[1] + c[0], 2 * k[0] + c[0], 2 * k[7] + c[1], 2 * k[6] + c[1],
                 2 * k[5] + c[1], 2 * k[4] + c[1]},
                {.size = 2}) == "");
      CHECK_ERROR(convolution(make(dtype, {1, 2, 3, 3}, some(18))), InvalidArgument, "");
      CHECK_ERROR(nn::Conv2d(1, 1, 1, {.bias = false}).bias(), FailedPrecondition, "");
    });
  });
  tf::eagerly([] {
    for (const int64_t wrong : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
      CHECK_ERROR(nn::Linear(wrong, 2), InvalidArgument, "");
      CHECK_ERROR(nn::Linear(2, wrong), InvalidArgument, "");
      CHECK_ERROR(nn::Conv2d(wrong, 2, 1), InvalidArgument, "");
      CHECK_ERROR(nn::Conv2d(2, wrong, 1), InvalidArgument, "");
      CHECK_ERROR(nn::Conv2d(2, 2, wrong), InvalidArgument, "");
      CHECK_ERROR(nn::Conv2d(2, 2, 1, {.groups = wrong}), InvalidArgument, "");
    }
    CHECK_ERROR(nn::Conv2d(3, 2, 1, {.groups = 2}), InvalidArgument, "");
    for (const auto [in, out] : {std::pair{INT64_MAX, INT64_MAX}, {int64_t{1} << 32, int64_t{1} << 32}}) {
      std::string code = "none";
      try {
        nn::Linear(in, out);
      } catch (const tf::Error& e) {
        code = name_of(e.code());
      }
      CHECK((code == "ResourceExhausted" || code == "InvalidArgument"));
    }
  });
}

ORACLE(nn::ReLU, nn::ReLU::forward, nn::Sigmoid, nn::Sigmoid::forward, nn::Tanh, nn::Tanh::forward, nn::SiLU,
       nn::SiLU::forward, nn::GELU, nn::GELU::forward, nn::Softmax, nn::Softmax::forward, nn::LogSoftmax,
       nn::LogSoftmax::forward, nn::Flatten, nn::Flatten::forward, nn::MaxPool2d, nn::MaxPool2d::forward, nn::AvgPool2d,
       nn::AvgPool2d::forward, nn::Sequential, nn::Sequential::forward) {
  for_floating([](auto, DType dtype) {
    const auto of = [&](const nn::Module& layer, const Reals& x) {
      return everyway1([&](const Tensors& in) { return layer(in[0]); }, {make(dtype, x)});
    };
    const Reals x = {-2, -0.0L, 1, kNaN};
    CHECK(off_list(of(nn::ReLU(), x), dtype, {0, 0, 1, kNaN}, {.zero_sign = false}) == "");
    CHECK(off_list(of(nn::Sigmoid(), x), dtype, {1 / (1 + std::exp(2.0L)), 0.5, 1 / (1 + std::exp(-1.0L)), kNaN},
                   {.ulps = 4}) == "");
    CHECK(off_list(of(nn::Tanh(), x), dtype, {std::tanh(-2.0L), 0, std::tanh(1.0L), kNaN},
                   {.ulps = 4, .zero_sign = false}) == "");
    CHECK(off_list(of(nn::SiLU(), x), dtype, {-2 / (1 + std::exp(2.0L)), 0, 1 / (1 + std::exp(-1.0L)), kNaN},
                   {.ulps = 4, .zero_sign = false}) == "");
    CHECK(off_list(of(nn::GELU(), x), dtype, {-std::erfc(std::sqrt(2.0L)), 0, std::erfc(-std::sqrt(0.5L)) / 2, kNaN},
                   {.ulps = 4, .zero_sign = false}) == "");
    CHECK(off_list(of(nn::Softmax(), {0, 0, -kInf}), dtype, {0.5, 0.5, 0}) == "");
    CHECK(off_list(of(nn::LogSoftmax(0), {0, 0, -kInf}), dtype, {-std::log(2.0L), -std::log(2.0L), -kInf},
                   {.ulps = 1}) == "");
    const Tensor image = make(dtype, {1, 1, 2, 2}, {1, 5, -3, 5});
    CHECK(off(nn::MaxPool2d(2)(image), dtype, {1, 1, 1, 1}, {5}) == "");
    CHECK(off(nn::AvgPool2d(2)(image), dtype, {1, 1, 1, 1}, {2}) == "");
    CHECK(off(nn::Flatten()(image), dtype, {1, 4}, {1, 5, -3, 5}) == "");
    CHECK(off(nn::Flatten(0)(image), dtype, {4}, {1, 5, -3, 5}) == "");
    CHECK(off(nn::Sequential(nn::MaxPool2d(2), nn::Flatten(0), nn::ReLU())(image), dtype, {1}, {5}) == "");
    CHECK_ERROR(nn::MaxPool2d(3)(image), InvalidArgument, "");
    CHECK_ERROR(nn::Softmax(1)(make(dtype, {2}, {1, 2})), InvalidArgument, "");
  });
}

ORACLE(dropout, nn::Dropout, nn::Dropout::forward, nn::Module::train, nn::Module::eval, nn::Module::is_training) {
  for_floating([](auto zero, DType dtype) {
    using L = std::numeric_limits<decltype(zero)>;
    const size_t n = 10000;
    for (const double rate : {0.25, 0.5, 0.999}) {
      Reals in(n, 2);
      const Tensor y = tf::eagerly([&] { return tf::dropout(make(dtype, in), rate, {.seed = 5}); });
      size_t dropped = 0;
      const real kept = static_cast<decltype(zero)>(2 * (1 / (1 - rate)));
      bool either = true;
      for (const real v : values_of(y)) {
        either = either && (v == 0 || std::fabs(v - kept) <= kept * L::epsilon());
        dropped += v == 0;
      }
      CHECK(either);
      // Six standard deviations of a binomial's.
      CHECK(std::fabs(static_cast<double>(dropped) - rate * n) <= 6 * std::sqrt(n * rate * (1 - rate)));
    }
    // What is dropped leaves 0, whatever it was.
    for (const real v :
         values_of(tf::eagerly([&] { return tf::dropout(make(dtype, Reals(100, kNaN)), 0.5, {.seed = 5}); })))
      CHECK((v == 0 || std::isnan(v)));
    for (const real v :
         values_of(tf::eagerly([&] { return tf::dropout(make(dtype, Reals(100, kInf)), 0.5, {.seed = 5}); })))
      CHECK((v == 0 || v == kInf));
    CHECK(off_list(everyway1([](const Tensors& in) { return tf::dropout(in[0], 0); }, {make(dtype, {1, kNaN, -kInf})}),
                   dtype, {1, kNaN, -kInf}) == "");
    CHECK(off(tf::eagerly([&] { return tf::dropout(make(dtype, {0, 3}, {}), 0.5); }), dtype, {0, 3}, {}) == "");
    const Tensor x = make(dtype, {1, 2, 3, 4, 5, 6, 7, 8});
    tf::eagerly([&] {
      tf::GradientTape tape({.persistent = true});
      tape.watch(x);
      const Tensor y = tf::dropout(tf::square(x), 0.5, {.seed = 1}), slope = tape.gradient(y, x),
                   bend = tape.gradient(slope, x);
      Reals first, second;
      for (const real v : values_of(y))
        first.push_back(v == 0 ? 0 : 4 * std::sqrt(v / 2)), second.push_back(v == 0 ? 0 : 4);
      CHECK(off_list(slope, dtype, first, {.ulps = 1}) == "");
      CHECK(off_list(bend, dtype, second) == "");
      nn::Dropout layer(0.999);
      CHECK(layer.is_training());
      layer.eval();
      CHECK(off_list(layer(x), dtype, {1, 2, 3, 4, 5, 6, 7, 8}) == "");
      layer.train();
      int64_t left = 0;
      for (const real v : values_of(layer(tf::ones({1000}, dtype)))) left += v != 0;
      CHECK(left < 20);
    });
  });
  for (const double rate : {-0.1, 1.0, 2.0, double(NAN), double(INFINITY)}) {
    CHECK_ERROR(tf::dropout(tf::tensor({1.f}), rate), InvalidArgument, "");
    CHECK_ERROR(nn::Dropout(rate), InvalidArgument, "");
  }
  CHECK_ERROR(tf::dropout(tf::tensor({1})), InvalidArgument, "cast");
}

ORACLE(nn::BatchNorm2d, nn::BatchNorm2d::forward, nn::BatchNorm2d::weight, nn::BatchNorm2d::bias,
       nn::BatchNorm2d::running_mean, nn::BatchNorm2d::running_var) {
  for_floating([](auto, DType dtype) {
    tf::eagerly([&] {
      nn::BatchNorm2d layer(1, {.eps = 0.25, .dtype = dtype});
      const Tensor x = make(dtype, {2, 1, 1, 2}, {1, 3, 5, 7});  // mean 4, variance 5, of a sample 20/3
      const real d = std::sqrt(5.25L);
      CHECK(off(layer(x), dtype, {2, 1, 1, 2}, {-3 / d, -1 / d, 1 / d, 3 / d}, {.ulps = 2}) == "");
      CHECK(off(layer.running_mean().read(), dtype, {1}, {0.4L}, {.ulps = 1}) == "");
      CHECK(off(layer.running_var().read(), dtype, {1}, {0.9L + 0.1L * 20 / 3}, {.ulps = 2}) == "");
      CHECK(off(layer.weight().read(), dtype, {1}, {1}) == "");
      CHECK(off(layer.bias().read(), dtype, {1}, {0}) == "");
      layer.eval();
      layer.running_mean().assign(make(dtype, {1}, {3}));
      layer.running_var().assign(make(dtype, {1}, {0.75L}));
      CHECK(off(layer(x), dtype, {2, 1, 1, 2}, {-2, 0, 2, 4}, {.ulps = 1}) == "");
      CHECK(off(layer.running_mean().read(), dtype, {1}, {3}) == "");
      CHECK(off(layer(make(dtype, {0, 1, 2, 2}, {})), dtype, {0, 1, 2, 2}, {}) == "");
      layer.train();
      CHECK_ERROR(layer(make(dtype, {0, 1, 2, 2}, {})), InvalidArgument, "");
      CHECK_ERROR(layer(make(dtype, {1, 2, 1, 1}, {1, 2})), InvalidArgument, "");
      CHECK_ERROR(layer(make(dtype, {1, 1}, {1})), InvalidArgument, "");
      CHECK_ERROR(nn::BatchNorm2d(1, {.affine = false}).weight(), FailedPrecondition, "");
      CHECK_ERROR(nn::BatchNorm2d(1, {.affine = false}).bias(), FailedPrecondition, "");
    });
  });
  tf::eagerly([] {
    CHECK_ERROR(nn::BatchNorm2d(0), InvalidArgument, "");
    CHECK_ERROR(nn::BatchNorm2d(1, {.eps = -1}), InvalidArgument, "");
    CHECK_ERROR(nn::BatchNorm2d(1, {.eps = NAN}), InvalidArgument, "");
    CHECK_ERROR(nn::BatchNorm2d(1, {.momentum = 1.5}), InvalidArgument, "");
    CHECK_ERROR(nn::BatchNorm2d(1, {.momentum = NAN}), InvalidArgument, "");
  });
}

ORACLE(check_numerics) {
  for_floating([](auto zero, DType dtype) {
    using L = std::numeric_limits<decltype(zero)>;
    const Reals fine = {0, -0.0L, real(L::max()), real(L::lowest()), real(L::denorm_min())};
    CHECK(off_list(everyway1([](const Tensors& in) { return tf::check_numerics(in[0], "m"); }, {make(dtype, fine)}),
                   dtype, fine) == "");
    CHECK(off(tf::eagerly([&] { return tf::check_numerics(make(dtype, {0}, {}), "m"); }), dtype, {0}, {}) == "");
    const auto check = [&](const Reals& x) {
      return tf::eagerly([&] { return tf::check_numerics(make(dtype, x), "m"); });
    };
    CHECK_ERROR(check({1, kNaN}), InvalidArgument, "m : Tensor had NaN values");
    CHECK_ERROR(check({kInf}), InvalidArgument, "m : Tensor had Inf values");
    CHECK_ERROR(check({-kInf, 1, kNaN}), InvalidArgument, "m : Tensor had Inf and NaN values");
    const auto [y, first, second] =
        derive([](const Tensor& x) { return tf::square(tf::check_numerics(x, "m")); }, make(dtype, {3, -2}));
    CHECK(off_list(first, dtype, {6, -4}) == "");
    CHECK(off_list(second, dtype, {2, 2}) == "");
  });
  CHECK_ERROR(tf::check_numerics(tf::tensor({1}), "m"), InvalidArgument, "");
}
