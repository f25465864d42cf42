// Reductions.
#include <algorithm>
#include <numeric>

#include "rows.h"

using namespace oracle;

namespace {

bool has_nan(const Reals& r) {
  return std::any_of(r.begin(), r.end(), [](real x) { return std::isnan(x); });
}
real total(const Reals& r) { return std::accumulate(r.begin(), r.end(), real(0)); }
real greatest(const Reals& r) { return has_nan(r) ? kNaN : r.empty() ? -kInf : *std::max_element(r.begin(), r.end()); }
real least(const Reals& r) { return has_nan(r) ? kNaN : r.empty() ? kInf : *std::min_element(r.begin(), r.end()); }
real product(const Reals& r) {
  // Beside 0 it is the order of the factors that decides whether the others overflow before.
  const auto beyond = [](real x) { return std::fabs(x) > 1e38L && std::isfinite(x); };
  if (std::count_if(r.begin(), r.end(), beyond) > 1 && std::count(r.begin(), r.end(), 0)) return kAnything;
  return std::accumulate(r.begin(), r.end(), real(1), [](real a, real b) { return a * b; });
}
real log_sum(const Reals& r) {
  const real m = greatest(r);
  if (std::isinf(m) || std::isnan(m)) return m;
  real s = 0;
  for (const real x : r) s += std::exp(x - m);
  return m + std::log(s);
}
real mean_of(const Reals& r) { return total(r) / static_cast<real>(r.size()); }
real variance_of(const Reals& r) {
  const real m = mean_of(r);
  real s = 0;
  for (const real x : r) s += (x - m) * (x - m);
  return s / static_cast<real>(r.size());
}

using Reduce = Tensor (*)(tf::Operand, tf::Axes, tf::ReduceOptions);
using Fold = real (*)(const Reals&);

/// Values along the last axis, along the first, over all, and of nothing.
void reduction(const std::string& name, const std::function<Tensor(const Tensor&, tf::Axes, bool keepdims)>& call,
               Fold fold, Within within) {
  for_floating([&](auto zero, DType dtype) {
    INFO(name << " of " << dtype);
    using T = decltype(zero);
    for (const size_t n : {1, 3, 17}) {
      const std::vector<Reals> in = rows<T>(n);
      const auto count = static_cast<int64_t>(in.size()), width = static_cast<int64_t>(n);
      const Tensor x = make(dtype, {count, width}, flat(in));
      Reals wanted;
      for (const Reals& r : in) wanted.push_back(fold(r));
      CHECK(off(everyway1([&](const Tensors& t) { return call(t[0], {-1}, false); }, {x}), dtype, {count}, wanted,
                within) == "");
      CHECK(off(everyway1([&](const Tensors& t) { return call(tf::transpose(t[0]), {0}, true); }, {x}), dtype,
                {1, count}, wanted, within) == "");
      for (size_t i = 0; i < in.size(); ++i)
        CHECK(off(tf::eagerly([&] { return call(make(dtype, in[i]), {}, false); }), dtype, Shape{}, {wanted[i]},
                  within) == "");
    }
    const Tensor nothing = make(dtype, {2, 0}, {});
    CHECK(off(everyway1([&](const Tensors& t) { return call(t[0], {1}, false); }, {nothing}), dtype, {2},
              {fold({}), fold({})}) == "");
    CHECK(off(everyway1([&](const Tensors& t) { return call(t[0], {0}, false); }, {nothing}), dtype, {0}, {}) == "");
    CHECK_ERROR(call(nothing, {2}, false), InvalidArgument, "out of range");
    CHECK_ERROR(call(nothing, {0, -2}, false), InvalidArgument, "duplicate");
    CHECK_ERROR(call(tf::tensor({true}), {}, false), InvalidArgument, "bool");
  });
}

const auto sum_all = [](const auto& r) {
  auto s = r[0];
  for (size_t i = 1; i < r.size(); ++i) s = s + r[i];
  return s;
};
template <class R>
std::vector<R> one(R r) {
  return {r};
}

}  // namespace

ORACLE(sum, reduce_sum) {
  reduction("sum", [](const Tensor& x, tf::Axes a, bool k) { return tf::sum(x, a, {.keepdims = k}); }, total,
            {.ulps = 8, .zero_sign = false});
  reduction("reduce_sum", [](const Tensor& x, tf::Axes a, bool k) { return tf::reduce_sum(x, a, {.keepdims = k}); },
            total, {.ulps = 8, .zero_sign = false});
  derivatives(
      "sum", [](const Tensor& x) { return tf::sum(x, 1); }, by_rows([](const auto& r) { return one(sum_all(r)); }));
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    uint64_t s = 0;
    for (const T v : integers<T>()) s += static_cast<uint64_t>(v);
    CHECK(off(everyway1([](const Tensors& in) { return tf::sum(in[0]); }, {tf::tensor(integers<T>())}), dtype, Shape{},
              {real(static_cast<T>(s))}) == "");
  });
  // Long ones keep their digits.
  for_floating([](auto zero, DType dtype) {
    using T = decltype(zero);
    const int64_t n = 1000003;
    const real tenth = static_cast<T>(0.1);
    const Tensor x = tf::eagerly([&] { return tf::full({n}, static_cast<double>(tenth), {.dtype = dtype}); });
    CHECK(off(tf::sum(x), dtype, Shape{}, {tenth * n}, {.ulps = 8}) == "");
    CHECK(off(tf::mean(x), dtype, Shape{}, {tenth}, {.ulps = 8}) == "");
  });
}

ORACLE(mean, reduce_mean) {
  const Fold fold = [](const Reals& r) { return r.empty() ? kNaN : mean_of(r); };
  reduction("mean", [](const Tensor& x, tf::Axes a, bool k) { return tf::mean(x, a, {.keepdims = k}); }, fold,
            {.ulps = 8, .zero_sign = false});
  reduction("reduce_mean", [](const Tensor& x, tf::Axes a, bool k) { return tf::reduce_mean(x, a, {.keepdims = k}); },
            fold, {.ulps = 8, .zero_sign = false});
  derivatives(
      "mean", [](const Tensor& x) { return tf::mean(x, 1); },
      by_rows([](const auto& r) { return one(sum_all(r) * 0.25L); }));
  CHECK_ERROR(tf::mean(tf::tensor({1, 2})), InvalidArgument, "cast");
}

ORACLE(prod, reduce_prod) {
  reduction("prod", [](const Tensor& x, tf::Axes a, bool k) { return tf::prod(x, a, {.keepdims = k}); }, product,
            {.ulps = 8, .zero_sign = false});
  reduction("reduce_prod", [](const Tensor& x, tf::Axes a, bool k) { return tf::reduce_prod(x, a, {.keepdims = k}); },
            product, {.ulps = 8, .zero_sign = false});
  const auto multiply = [](const auto& r) { return one(r[0] * r[1] * r[2] * r[3]); };
  derivatives("prod", [](const Tensor& x) { return tf::prod(x, 1); }, by_rows(multiply), {1, 1e-6, 1e6});
  for_floating([&](auto, DType dtype) {  // beside zeros
    hold(
        "prod", dtype, [](const Tensors& in) { return tf::prod(in[0], 1); },
        [&](const auto& in) { return by_rows(multiply)(in[0]); }, {{{3, 4}}, {{0, 2, 3, 4, 0, 0, 5, 6, 0, 0, 0, 7}}});
  });
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    const std::vector<T> x = {std::numeric_limits<T>::max(), 3, 7};
    CHECK(off(everyway1([](const Tensors& in) { return tf::prod(in[0]); }, {tf::tensor(x)}), dtype, Shape{},
              {real(static_cast<T>(static_cast<uint64_t>(x[0]) * 21u))}) == "");
  });
}

ORACLE(max, min, reduce_max, reduce_min) {
  reduction("max", [](const Tensor& x, tf::Axes a, bool k) { return tf::max(x, a, {.keepdims = k}); }, greatest,
            {.zero_sign = false});
  reduction("reduce_max", [](const Tensor& x, tf::Axes a, bool k) { return tf::reduce_max(x, a, {.keepdims = k}); },
            greatest, {.zero_sign = false});
  reduction("min", [](const Tensor& x, tf::Axes a, bool k) { return tf::min(x, a, {.keepdims = k}); }, least,
            {.zero_sign = false});
  reduction("reduce_min", [](const Tensor& x, tf::Axes a, bool k) { return tf::reduce_min(x, a, {.keepdims = k}); },
            least, {.zero_sign = false});
  // Equal ones share the gradient; its own derivative is 0.
  for_floating([](auto, DType dtype) {
    const Tensor x = make(dtype, {4, 3}, {1, 3, 3, 5, 5, 5, kInf, 1, kInf, -kInf, 2, -kInf});
    const auto [y, first, second] = derive([](const Tensor& t) { return tf::max(t, 1); }, x);
    CHECK(off(first, dtype, {4, 3}, {0, 0.5, 0.5, 1.0L / 3, 1.0L / 3, 1.0L / 3, 0.5, 0, 0.5, 0, 1, 0}, {.ulps = 1}) ==
          "");
    CHECK(off(second, dtype, {4, 3}, Reals(12, 0), {.zero_sign = false}) == "");
    const auto [z, fall, bend] = derive([](const Tensor& t) { return tf::min(t, 1); }, x);
    CHECK(off(fall, dtype, {4, 3}, {1, 0, 0, 1.0L / 3, 1.0L / 3, 1.0L / 3, 0, 1, 0, 0.5, 0, 0.5}, {.ulps = 1}) == "");
    CHECK(off(bend, dtype, {4, 3}, Reals(12, 0), {.zero_sign = false}) == "");
  });
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    using L = std::numeric_limits<T>;
    const Tensor x = tf::tensor(integers<T>()), nothing = tf::tensor(std::vector<T>());
    const auto all = everyway(
        [](const Tensors& in) {
          return Tensors{tf::max(in[0]), tf::min(in[0]), tf::max(in[1]), tf::min(in[1])};
        },
        {x, nothing});
    CHECK(off(all[0], dtype, Shape{}, {real(L::max())}) == "");
    CHECK(off(all[1], dtype, Shape{}, {real(L::min())}) == "");
    CHECK(off(all[2], dtype, Shape{}, {real(L::min())}) == "");
    CHECK(off(all[3], dtype, Shape{}, {real(L::max())}) == "");
  });
}

ORACLE(any, all, reduce_any, reduce_all) {
  const Tensor x = make(tf::bool_, {4, 2}, {0, 0, 0, 1, 1, 0, 1, 1}), nothing = make(tf::bool_, {2, 0}, {});
  const auto got = everyway(
      [](const Tensors& in) {
        return Tensors{tf::any(in[0], 1),        tf::all(in[0], 1), tf::reduce_any(in[0], 1),
                       tf::reduce_all(in[0], 1), tf::any(in[1], 1), tf::all(in[1], 1)};
      },
      {x, nothing});
  for (const size_t i : {0u, 2u}) CHECK(off_list(got[i], tf::bool_, {0, 1, 1, 1}) == "");
  for (const size_t i : {1u, 3u}) CHECK(off_list(got[i], tf::bool_, {0, 0, 0, 1}) == "");
  CHECK(off_list(got[4], tf::bool_, {0, 0}) == "");
  CHECK(off_list(got[5], tf::bool_, {1, 1}) == "");
  CHECK_ERROR(tf::any(tf::tensor({1})), InvalidArgument, "bool");
  CHECK_ERROR(tf::all(tf::tensor({1.f})), InvalidArgument, "bool");
  CHECK_ERROR(tf::all(x, 2), InvalidArgument, "out of range");
}

ORACLE(logsumexp) {
  reduction("logsumexp", [](const Tensor& x, tf::Axes a, bool k) { return tf::logsumexp(x, a, {.keepdims = k}); },
            log_sum, {.ulps = 4, .size = 2});  // the largest and the logarithm, which is about 1, may cancel
  derivatives("logsumexp", [](const Tensor& x) { return tf::logsumexp(x, 1); }, by_rows([](const auto& r) {
                using R = std::remove_cvref_t<decltype(r[0])>;
                R s = exp(r[0]);
                for (size_t i = 1; i < 4; ++i) s = s + exp(r[i]);
                return one(R(log(s)));
              }),
              {1, 1e-4, 100});
  // The gradient is softmax, 0 of a row that is masked altogether.
  for_floating([](auto, DType dtype) {
    const Tensor x = make(dtype, {4, 2}, {-kInf, -kInf, -kInf, 3, 1000, 1000, -1000, -1000});
    const auto [y, first, second] = derive([](const Tensor& t) { return tf::logsumexp(t, 1); }, x);
    CHECK(off_list(y, dtype, {-kInf, 3, 1000 + std::log(2.0L), -1000 + std::log(2.0L)}, {.ulps = 1}) == "");
    CHECK(off(first, dtype, {4, 2}, {0, 0, 0, 1, 0.5, 0.5, 0.5, 0.5}, {.ulps = 1}) == "");
    CHECK(off(second, dtype, {4, 2}, Reals(8, 0), {.size = 1, .zero_sign = false}) == "");
    // Where an element is inf softmax has no value, nor has the slope: as in PyTorch.
    const auto [top, slope, bend] = derive([](const Tensor& t) { return tf::logsumexp(t); }, make(dtype, {kInf, 1}));
    CHECK(off(top, dtype, Shape{}, {kInf}) == "");
    CHECK(std::isnan(values_of(slope)[0]));
  });
  CHECK_ERROR(tf::logsumexp(tf::tensor({1})), InvalidArgument, "");
}

ORACLE(variance) {
  const Fold fold = [](const Reals& r) { return r.empty() ? kNaN : variance_of(r); };
  reduction("variance", [](const Tensor& x, tf::Axes a, bool k) { return tf::variance(x, a, {.keepdims = k}); }, fold,
            {.ulps = 8, .zero_sign = false});
  const auto reference = by_rows([](const auto& r) {
    const auto m = sum_all(r) * 0.25L;
    auto s = (r[0] - m) * (r[0] - m);
    for (size_t i = 1; i < 4; ++i) s = s + (r[i] - m) * (r[i] - m);
    return one(s * (1.0L / 3));
  });
  derivatives("variance", [](const Tensor& x) { return tf::variance(x, 1, {.correction = 1}); }, reference,
              {1, 1e-10, 1e10});
  for_floating([](auto, DType dtype) {
    const Tensor x = make(dtype, {5, 7});
    const auto of = [&](double correction) {
      return everyway1([&](const Tensors& in) { return tf::variance(in[0], {}, {.correction = correction}); }, {x});
    };
    CHECK(off(of(0), dtype, Shape{}, {1}) == "");
    CHECK(off(of(1), dtype, Shape{}, {2}) == "");
    CHECK(off(of(0.5), dtype, Shape{}, {2 / 1.5L}, {.ulps = 1}) == "");
    CHECK(off(of(2), dtype, Shape{}, {kInf}) == "");  // as NumPy and PyTorch: no degrees of freedom are left
    CHECK(off(of(3), dtype, Shape{}, {kInf}) == "");
  });
  CHECK_ERROR(tf::variance(tf::tensor({1})), InvalidArgument, "");
}

ORACLE(norm) {
  const Fold fold = [](const Reals& r) {
    real s = 0;
    for (const real x : r) s += x * x;
    return std::sqrt(s);
  };
  reduction("norm", [](const Tensor& x, tf::Axes a, bool k) { return tf::norm(x, a, {.keepdims = k}); }, fold,
            {.ulps = 4});
  derivatives("norm", [](const Tensor& x) { return tf::norm(x, 1); }, by_rows([](const auto& r) {
                using std::sqrt;
                using R = std::remove_cvref_t<decltype(r[0])>;
                return one(R(sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] + r[3] * r[3])));
              }),
              {1, 1e-15, 1e15});
  for_floating([](auto, DType dtype) {
    const auto [y, first, second] =
        derive([](const Tensor& x) { return tf::norm(x, 1); }, make(dtype, {3, 2}, {0, 0, 3, 4, 3e20L, 4e20L}));
    CHECK(off_list(y, dtype, {0, 5, 5e20L}, {.ulps = 1}) == "");
    CHECK(off(first, dtype, {3, 2}, {0, 0, 0.6L, 0.8L, 0.6L, 0.8L}, {.ulps = 2}) == "");
    const auto [large, slope, bend] = derive([](const Tensor& x) { return tf::norm(x); }, make(dtype, {kInf, 1}));
    CHECK(off(large, dtype, Shape{}, {kInf}) == "");
  });
  CHECK_ERROR(tf::norm(tf::tensor({1})), InvalidArgument, "");
}

ORACLE(sum_to_like, sum_to_shape) {
  for_floating([](auto, DType dtype) {
    const Tensor x = make(dtype, {2, 3}, {1, 2, kInf, 4, kNaN, -kInf});
    for (const bool like : {false, true}) {
      const auto to = [&](const Shape& s) {
        return everyway1(
            [&](const Tensors& in) { return like ? tf::sum_to_like(in[0], in[1]) : tf::sum_to_shape(in[0], s); },
            {x, make(dtype, s, Reals(static_cast<size_t>(s.num_elements()), 1))});
      };
      CHECK(off(to({3}), dtype, {3}, {5, kNaN, kNaN}) == "");
      CHECK(off(to({2, 1}), dtype, {2, 1}, {kInf, kNaN}) == "");
      CHECK(off(to({}), dtype, Shape{}, {kNaN}) == "");
      CHECK(off(to({2, 3}), dtype, {2, 3}, {1, 2, kInf, 4, kNaN, -kInf}) == "");
    }
    CHECK(off(tf::sum_to_shape(make(dtype, {0, 3}, {}), {3}), dtype, {3}, {0, 0, 0}) == "");
    derivatives(
        "sum_to_shape",
        [](const Tensor& t) {
          return tf::sum_to_shape(t, {3, 1});
        },
        by_rows([](const auto& r) { return one(sum_all(r)); }));
    derivatives(
        "sum_to_like",
        [&](const Tensor& t) {
          return tf::sum_to_like(t, make(dtype, {3, 1}, {0, 0, 0}));
        },
        by_rows([](const auto& r) { return one(sum_all(r)); }));
    CHECK_ERROR(tf::sum_to_shape(x, {4}), InvalidArgument, "");
    CHECK_ERROR(tf::sum_to_like(x, make(dtype, {2}, {1, 2})), InvalidArgument, "");
  });
}
