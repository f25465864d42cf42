// Softmax and its logarithm, and normalisation.
#include <algorithm>

#include "dual.h"

using namespace oracle;

namespace {

template <class R>
R sum_of(const std::vector<R>& r) {
  R s = r[0];
  for (size_t i = 1; i < r.size(); ++i) s = s + r[i];
  return s;
}
template <class R>
R mean_of(const std::vector<R>& r) {
  return sum_of(r) * R(1 / static_cast<real>(r.size()));
}
template <class R>
R variance_of(const std::vector<R>& r) {
  const R m = mean_of(r);
  std::vector<R> squares;
  for (const R& x : r) squares.push_back((x - m) * (x - m));
  return mean_of(squares);
}
using std::exp, std::log, std::sqrt;
/// exp(x - m) / sum(exp(x - m)), m being the largest; NaN and infinities as IEEE has them.
template <class R>
std::vector<R> softmax_of(const std::vector<R>& r) {
  R m = r[0];
  for (const R& x : r)
    if (x > m) m = x;
  std::vector<R> y;
  for (const R& x : r) y.push_back(exp(x - m));
  const R s = sum_of(y);
  for (R& v : y) v = v / s;
  return y;
}
template <class R>
std::vector<R> log_softmax_of(const std::vector<R>& r) {
  R m = r[0];
  for (const R& x : r)
    if (x > m) m = x;
  std::vector<R> e;
  for (const R& x : r) e.push_back(exp(x - m));
  const R s = log(sum_of(e));
  std::vector<R> y;
  for (const R& x : r) y.push_back(x - m - s);
  return y;
}
/// f of each row of n.
template <class R, class F>
std::vector<R> rows_of(const std::vector<R>& x, size_t n, F f) {
  std::vector<R> y;
  for (size_t i = 0; i + n <= x.size(); i += n)
    for (const R& v :
         f(std::vector<R>(x.begin() + static_cast<std::ptrdiff_t>(i), x.begin() + static_cast<std::ptrdiff_t>(i + n))))
      y.push_back(v);
  return y;
}

const Reals kTwelve = {0.5L, -1.25L, 2, 0.75L, -0.5L, 1.5L, 3, 1.125L, -2.5L, 0.25L, -0.875L, 1.75L};
Reals scaled(Reals v, real by, real offset = 0) {
  for (real& x : v) x = x * by + offset;
  return v;
}

}  // namespace

ORACLE(softmax, log_softmax) {
  for_floating([](auto zero, DType dtype) {
    using L = std::numeric_limits<decltype(zero)>;
    for (const real scale : {1.0L, 1e-5L, 2.0L}) {
      hold(
          "softmax", dtype, [](const Tensors& in) { return tf::softmax(in[0]); },
          [](const auto& in) { return rows_of(in[0], 4, [](const auto& r) { return softmax_of(r); }); },
          {{{3, 4}}, {scaled(kTwelve, scale)}}, 16);
      hold(
          "log_softmax", dtype, [](const Tensors& in) { return tf::log_softmax(in[0], 1); },
          [](const auto& in) { return rows_of(in[0], 4, [](const auto& r) { return log_softmax_of(r); }); },
          {{{3, 4}}, {scaled(kTwelve, scale)}}, 16);
    }
    const real big = L::max();
    const Reals x = {0,    0,    -kInf, 3,   -kInf, -kInf, kInf, 1,    kNaN, 1,
                     1000, 1000, big,   big, -big,  -big,  big,  -big, 0,    -0.0L};
    const Tensor t = make(dtype, {10, 2}, x);
    const Reals y = {0.5, 0.5, 0, 1, kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1, 0, 0.5, 0.5};
    const real half = std::log(0.5L);
    const Reals logs = {half, half, -kInf, 0,    kNaN, kNaN, kNaN, kNaN,  kNaN, kNaN,
                        half, half, half,  half, half, half, 0,    -kInf, half, half};
    CHECK(off(everyway1([](const Tensors& in) { return tf::softmax(in[0]); }, {t}), dtype, {10, 2}, y, {.ulps = 1}) ==
          "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::softmax(tf::transpose(in[0]), 0); }, {t}), dtype, {2, 10},
              values_of(tf::transpose(make(dtype, {10, 2}, y))), {.ulps = 1}) == "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::log_softmax(in[0]); }, {t}), dtype, {10, 2}, logs,
              {.ulps = 2, .zero_sign = false}) == "");
    // One class, and none.
    CHECK(off(tf::softmax(make(dtype, {3, 1}, {5, big, -big})), dtype, {3, 1}, {1, 1, 1}) == "");
    CHECK(off(tf::log_softmax(make(dtype, {2, 1}, {5, -big})), dtype, {2, 1}, {0, 0}, {.zero_sign = false}) == "");
    CHECK(off(tf::softmax(make(dtype, {2, 0}, {})), dtype, {2, 0}, {}) == "");
    CHECK_ERROR(tf::softmax(make(dtype, {2}, {1, 2}), 1), InvalidArgument, "out of range");
    CHECK_ERROR(tf::log_softmax(make(dtype, Shape{}, {1})), InvalidArgument, "");
  });
  CHECK_ERROR(tf::softmax(tf::tensor({1})), InvalidArgument, "");
  CHECK_ERROR(tf::log_softmax(tf::tensor({1})), InvalidArgument, "");
}

ORACLE(layer_norm, nn::LayerNorm, nn::LayerNorm::forward, nn::LayerNorm::weight, nn::LayerNorm::bias) {
  const auto reference = [](real epsilon) {
    return [epsilon](const auto& in) {
      using R = typename std::remove_cvref_t<decltype(in[0])>::value_type;
      return rows_of(in[0], 4, [&](const auto& r) {
        const R m = mean_of(r), d = R(1) / sqrt(variance_of(r) + R(epsilon));
        std::vector<R> y;
        for (size_t i = 0; i < 4; ++i) y.push_back((r[i] - m) * d * in[1][i] + in[2][i]);
        return y;
      });
    };
  };
  for_floating([&](auto, DType dtype) {
    const Reals scale = {1, -2, 0.5, 3}, offset = {0, 1, -1, 0.25};
    const auto call = [](double epsilon) {
      return [epsilon](const Tensors& in) { return tf::layer_norm(in[0], in[1], in[2], -1, {.epsilon = epsilon}); };
    };
    hold("layer_norm", dtype, call(1e-5), reference(1e-5), {{{3, 4}, {4}, {4}}, {kTwelve, scale, offset}}, 16);
    hold("layer_norm without epsilon", dtype, call(0), reference(0), {{{3, 4}, {4}, {4}}, {kTwelve, scale, offset}},
         16);
    // As large and as small as the dtype has them; squares leave float32.
    for (const real by : {1e15L, 1e20L, 1e30L, 1e-20L})
      hold("layer_norm at " + std::to_string(static_cast<double>(by)), dtype, call(0), reference(0),
           {{{3, 4}, {4}, {4}}, {scaled(kTwelve, by), scale, offset}, {1, 2}}, 16);
    // An offset that all share costs no digits that it has not taken from x itself.
    hold("layer_norm far off", dtype, call(0), reference(0),
         {{{3, 4}, {4}, {4}}, {scaled(kTwelve, 1, 1000), scale, offset}}, 4e3L);
    const auto rows = everyway1(
        call(1e-5), {make(dtype, {5, 4}, {7, 7, 7, 7, kInf, 1, 2, 3, kNaN, 1, 2, 3, 0, -0.0L, 0, 0, -1, -1, -1, -1}),
                     make(dtype, {4}, {1, 1, 1, 1}), make(dtype, {4}, {0, 0, 0, 0})});
    Reals wanted(20, 0);
    for (size_t i = 4; i < 12; ++i) wanted[i] = kNaN;
    CHECK(off(rows, dtype, {5, 4}, wanted, {.zero_sign = false}) == "");
    // 1 beside itself is its own mean.
    CHECK(off(tf::layer_norm(make(dtype, {2, 1}, {3, 1e30L}), make(dtype, {1}, {2}), make(dtype, {1}, {5})), dtype,
              {2, 1}, {5, 5}) == "");
    CHECK(off(tf::layer_norm(make(dtype, {0, 4}, {}), make(dtype, {4}, scale), make(dtype, {4}, offset)), dtype, {0, 4},
              {}) == "");
    const tf::nn::LayerNorm layer = tf::eagerly([&] { return tf::nn::LayerNorm({4}, {.eps = 1e-5, .dtype = dtype}); });
    CHECK(off(tf::eagerly([&] { return layer.weight().read(); }), dtype, {4}, {1, 1, 1, 1}) == "");
    CHECK(off(tf::eagerly([&] { return layer.bias().read(); }), dtype, {4}, {0, 0, 0, 0}) == "");
    const Reals ones(4, 1), none(4, 0);
    CHECK(off(tf::eagerly([&] {
                return layer(make(dtype, {3, 4}, kTwelve));
              }),
              dtype, {3, 4}, reference(1e-5)(Lists<real>{kTwelve, ones, none}), {.ulps = 2, .size = 4}) == "");
  });
  const Tensor x = tf::tensor({{1.f, 2.f}}), v = tf::tensor({1.f, 1.f});
  CHECK_ERROR(tf::layer_norm(tf::tensor({1, 2}), v, v), InvalidArgument, "");
  CHECK_ERROR(tf::layer_norm(x, v, v, 2), InvalidArgument, "out of range");
  CHECK_ERROR(tf::layer_norm(x, v, v, {0, 0}), InvalidArgument, "");
  CHECK_ERROR(tf::layer_norm(x, tf::tensor({1.f, 1.f, 1.f}), v), InvalidArgument, "");
  CHECK_ERROR(tf::eagerly([&] { return tf::nn::LayerNorm({-1}); }), InvalidArgument, "");
  for (const double wrong : {-1.0, -double(INFINITY), double(NAN)}) {
    CHECK_ERROR(tf::layer_norm(x, v, v, -1, {.epsilon = wrong}), InvalidArgument, "epsilon");
    CHECK_ERROR(tf::eagerly([&] { return tf::nn::LayerNorm({2}, {.eps = wrong}); }), InvalidArgument, "eps");
    CHECK_ERROR(tf::batch_norm(x, v, v, {.epsilon = wrong}), InvalidArgument, "psilon");
    CHECK_ERROR(tf::batch_norm_inference(x, v, v, v, v, {.epsilon = wrong}), InvalidArgument, "epsilon");
  }
}

ORACLE(batch_norm, batch_norm_inference, running_statistics) {
  // x (4 examples, 3 channels): channel c is every third element.
  const auto channel = [](const auto& x, size_t c) {
    std::remove_cvref_t<decltype(x)> r;
    for (size_t i = c; i < x.size(); i += 3) r.push_back(x[i]);
    return r;
  };
  const auto reference = [&](real epsilon, int which) {
    return [=](const auto& in) {
      using R = typename std::remove_cvref_t<decltype(in[0])>::value_type;
      std::vector<R> y(which ? 3 : in[0].size());
      for (size_t c = 0; c < 3; ++c) {
        const auto r = channel(in[0], c);
        const R m = mean_of(r), v = variance_of(r);
        if (which) y[c] = which == 1 ? m : v;
        for (size_t i = 0; !which && i < r.size(); ++i)
          y[3 * i + c] = (r[i] - m) / sqrt(v + R(epsilon)) * in[1][c] + in[2][c];
      }
      return y;
    };
  };
  for_floating([&](auto zero, DType dtype) {
    using L = std::numeric_limits<decltype(zero)>;
    const Reals scale = {1, -2, 0.5}, offset = {0, 1, -1};
    for (const int which : {0, 1, 2})
      for (const real by : {1.0L, 1e-6L, 1e6L}) {
        const double epsilon = by == 1 ? 1e-5 : 0;
        const auto call = [=](const Tensors& in) {
          const auto r = tf::batch_norm(in[0], in[1], in[2], {.epsilon = epsilon});
          return which == 0 ? r.y : which == 1 ? r.mean : r.variance;
        };
        hold("batch_norm " + std::to_string(which), dtype, call, reference(epsilon, which),
             {{{4, 3}, {3}, {3}}, {scaled(kTwelve, by), scale, offset}}, 16);
      }
    for (const real by : {1e20L, 1e30L, 1e-20L})
      hold(
          "batch_norm at " + std::to_string(static_cast<double>(by)), dtype,
          [](const Tensors& in) { return tf::batch_norm(in[0], in[1], in[2], {.epsilon = 0}).y; }, reference(0, 0),
          {{{4, 3}, {3}, {3}}, {scaled(kTwelve, by), scale, offset}, {1, 2}}, 16);
    const auto special = everyway(
        [](const Tensors& in) {
          const auto r = tf::batch_norm(in[0], in[1], in[2]);
          return Tensors{r.y, r.mean, r.variance};
        },
        {make(dtype, {2, 3}, {kInf, kNaN, 7, 1, 1, 7}), make(dtype, {3}, {1, 1, 1}), make(dtype, {3}, {0, 0, 3})});
    CHECK(off(special[0], dtype, {2, 3}, {kNaN, kNaN, 3, kNaN, kNaN, 3}) == "");
    CHECK(off(special[1], dtype, {3}, {kInf, kNaN, 7}) == "");
    CHECK(off(special[2], dtype, {3}, {kNaN, kNaN, 0}) == "");
    CHECK(
        off(tf::batch_norm(make(dtype, {1, 3}, {1, L::max(), -5}), make(dtype, {3}, scale), make(dtype, {3}, offset)).y,
            dtype, {1, 3}, offset) == "");
    CHECK(off(tf::batch_norm(make(dtype, {2, 0}, {}), make(dtype, {0}, {}), make(dtype, {0}, {})).y, dtype, {2, 0},
              {}) == "");
    CHECK_ERROR(tf::batch_norm(make(dtype, {0, 3}, {}), make(dtype, {3}, scale), make(dtype, {3}, offset)),
                InvalidArgument, "");
    CHECK_ERROR(tf::batch_norm(make(dtype, {3}, scale), make(dtype, {3}, scale), make(dtype, {3}, offset)),
                InvalidArgument, "");
    CHECK_ERROR(tf::batch_norm(make(dtype, {2, 2}, {1, 2, 3, 4}), make(dtype, {3}, scale), make(dtype, {3}, offset)),
                InvalidArgument, "");

    hold(
        "batch_norm_inference", dtype,
        [](const Tensors& in) {
          return tf::batch_norm_inference(in[0], in[1], in[2], in[3], in[4], {.epsilon = 0.25});
        },
        [](const auto& in) {
          using R = typename std::remove_cvref_t<decltype(in[0])>::value_type;
          std::vector<R> y;
          for (size_t i = 0; i < in[0].size(); ++i) {
            const size_t c = i % 3;
            y.push_back((in[0][i] - in[1][c]) * (in[3][c] / sqrt(in[2][c] + R(0.25L))) + in[4][c]);
          }
          return y;
        },
        {{{4, 3}, {3}, {3}, {3}, {3}}, {kTwelve, {0.5L, -1, 0.25L}, {1, 2, 0.5L}, scale, offset}}, 16);
    CHECK(off(tf::batch_norm_inference(make(dtype, {1, 3}, {kInf, kNaN, 1}), make(dtype, {3}, {0, 0, 1}),
                                       make(dtype, {3}, {1, 1, 0}), make(dtype, {3}, {1, 1, 1}),
                                       make(dtype, {3}, {0, 0, 2})),
              dtype, {1, 3}, {kInf, kNaN, 2}) == "");
    CHECK_ERROR(tf::batch_norm_inference(make(dtype, {3}, scale), make(dtype, {3}, scale), make(dtype, {3}, scale),
                                         make(dtype, {3}, scale), make(dtype, {3}, scale)),
                InvalidArgument, "");

    const Tensor x = make(dtype, {5, 2}, Reals(10, kNaN)), a = make(dtype, {2}, {1, kInf}),
                 b = make(dtype, {2}, {2, 4}), m = make(dtype, {2}, {3, 1}), v = make(dtype, {2}, {8, kNaN});
    const auto running = [&](double momentum, const Tensor& batch) {
      return everyway(
          [=](const Tensors& in) {
            const auto r = tf::running_statistics(in[0], in[1], in[2], in[3], in[4], {.momentum = momentum});
            return Tensors{r.mean, r.variance};
          },
          {a, b, m, v, batch});
    };
    const auto quarter = running(0.25, x);
    CHECK(off(quarter[0], dtype, {2}, {1.5, kInf}) == "");
    CHECK(off(quarter[1], dtype, {2}, {2 * 0.75L + 8 * 1.25L * 0.25L, kNaN}, {.ulps = 1}) == "");
    const auto all = running(1, make(dtype, {1, 2}, {0, 0}));  // n / max(n - 1, 1) of one is 1
    CHECK(off(all[0], dtype, {2}, {3, kNaN}) == "");           // 0 times an infinity
    CHECK(off(all[1], dtype, {2}, {8, kNaN}) == "");
    CHECK_ERROR(tf::running_statistics(a, b, m, v, x, {.momentum = 1.5}), InvalidArgument, "momentum");
    CHECK_ERROR(tf::running_statistics(a, b, m, v, x, {.momentum = std::nan("")}), InvalidArgument, "momentum");
    CHECK_ERROR(tf::running_statistics(a, b, m, v, make(dtype, {0, 2}, {})), InvalidArgument, "");
  });
  CHECK_ERROR(tf::batch_norm(tf::tensor({{1}}), tf::tensor({1}), tf::tensor({1})), InvalidArgument, "");
}
