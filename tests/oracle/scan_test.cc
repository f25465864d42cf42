// Running sums, and what sorts.
#include <algorithm>
#include <limits>
#include <numeric>

#include "rows.h"

using namespace oracle;

ORACLE(cumsum) {
  for_floating([](auto zero, DType dtype) {
    using T = decltype(zero);
    const std::vector<Reals> in = rows<T>(5);
    const auto count = static_cast<int64_t>(in.size());
    for (const bool exclusive : {false, true})
      for (const bool reverse : {false, true}) {
        Reals wanted;
        for (Reals r : in) {
          if (reverse) std::reverse(r.begin(), r.end());
          real s = 0;
          Reals y;
          for (const real v : r) y.push_back(exclusive ? s : s + v), s += v;
          if (reverse) std::reverse(y.begin(), y.end());
          wanted.insert(wanted.end(), y.begin(), y.end());
        }
        INFO(dtype << " exclusive " << exclusive << " reverse " << reverse);
        // Of float32 sums are made in float64, of float64 in itself: {largest, -largest, 1} loses nothing either way.
        CHECK(off(everyway1(
                      [&](const Tensors& t) {
                        return tf::cumsum(t[0], -1, {.exclusive = exclusive, .reverse = reverse});
                      },
                      {make(dtype, {count, 5}, flat(in))}),
                  dtype, {count, 5}, wanted, {.ulps = 2, .zero_sign = false}) == "");
      }
    CHECK(off(tf::cumsum(make(dtype, {2, 0}, {}), 1), dtype, {2, 0}, {}) == "");
    CHECK_ERROR(tf::cumsum(make(dtype, {2}, {1, 2}), 1), InvalidArgument, "out of range");
  });
  derivatives(
      "cumsum", [](const Tensor& x) { return tf::square(tf::cumsum(x, 1, {.exclusive = true})); },
      by_rows([](const auto& r) {
        const auto s = r[0] + r[1], t = s + r[2];
        return std::vector{r[0] * 0.0L, r[0] * r[0], s * s, t * t};
      }));
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    Reals wanted;
    uint64_t s = 0;
    for (const T v : integers<T>()) wanted.push_back(static_cast<T>(s += static_cast<uint64_t>(v)));
    CHECK(off(everyway1([](const Tensors& in) { return tf::cumsum(in[0]); }, {tf::tensor(integers<T>())}), dtype,
              {static_cast<int64_t>(wanted.size())}, wanted) == "");
  });
  CHECK_ERROR(tf::cumsum(tf::tensor({true})), InvalidArgument, "bool");
}

ORACLE(argmax, argmin, top_k) {
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    using L = std::numeric_limits<T>;
    const Tensor x = tf::tensor(integers<T>());
    const auto at = everyway([](const Tensors& in) { return Tensors{tf::argmax(in[0]), tf::argmin(in[0])}; }, {x});
    CHECK(off(at[0], tf::int64, Shape{}, {10}) == "");
    CHECK(off(at[1], tf::int64, Shape{}, {0}) == "");
    const auto [values, indices] = tf::top_k(x, 3);
    CHECK(off(values, dtype, {3}, {real(L::max()), real(L::max() - 1), real(L::max() / 2)}) == "");
    CHECK(off(indices, tf::int32, {3}, {10, 9, 8}) == "");
  });
  for_floating([](auto zero, DType dtype) {
    using T = decltype(zero);
    const std::vector<Reals> in = rows<T>(4);
    const auto count = static_cast<int64_t>(in.size());
    const Tensor x = make(dtype, {count, 4}, flat(in));
    Reals most, lowest, values, indices;
    for (const Reals& r : in) {
      std::vector<size_t> order(r.size());
      std::iota(order.begin(), order.end(), size_t{0});
      const auto above = [&](size_t i, size_t j) { return std::isnan(r[i]) ? !std::isnan(r[j]) : r[i] > r[j]; };
      std::stable_sort(order.begin(), order.end(), above);
      most.push_back(static_cast<real>(order[0]));
      for (const size_t i : order) values.push_back(r[i]), indices.push_back(static_cast<real>(i));
      const auto below = [&](size_t i, size_t j) { return std::isnan(r[i]) ? !std::isnan(r[j]) : r[i] < r[j]; };
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), below);
      lowest.push_back(static_cast<real>(order[0]));
    }
    const auto got = everyway(
        [](const Tensors& t) {
          const auto sorted = tf::top_k(t[0], 4);
          return Tensors{tf::argmax(t[0], -1), tf::argmin(t[0], 1), sorted.values, sorted.indices};
        },
        {x});
    CHECK(off(got[0], tf::int64, {count}, most) == "");
    CHECK(off(got[1], tf::int64, {count}, lowest) == "");
    CHECK(off(got[2], dtype, {count, 4}, values) == "");
    CHECK(off(got[3], tf::int32, {count, 4}, indices) == "");
    const auto [y, first, second] =
        derive([](const Tensor& t) { return tf::square(tf::top_k(t, 2).values); }, make(dtype, {5, -7, 9, 2}));
    CHECK(off_list(first, dtype, {10, 0, 18, 0}, {.zero_sign = false}) == "");
    CHECK(off_list(second, dtype, {2, 0, 2, 0}, {.zero_sign = false}) == "");
    CHECK_ERROR(tf::argmax(make(dtype, {2, 0}, {}), 1), InvalidArgument, "axis 1 is empty");
    CHECK(off(tf::argmax(make(dtype, {0, 2}, {}), 1), tf::int64, {0}, {}) == "");
    CHECK(off(tf::top_k(make(dtype, {2, 0}, {}), 0).values, dtype, {2, 0}, {}) == "");
    CHECK_ERROR(tf::top_k(make(dtype, {2, 0}, {}), 1), InvalidArgument, "");
    CHECK_ERROR(tf::top_k(make(dtype, {2}, {1, 2}), -1), InvalidArgument, "");
    CHECK_ERROR(tf::top_k(make(dtype, Shape{}, {1}), 1), InvalidArgument, "");
  });
  CHECK_ERROR(tf::argmax(tf::tensor({true}), 0), InvalidArgument, "bool");
  CHECK_ERROR(tf::argmin(tf::tensor({1}), 1), InvalidArgument, "out of range");
  CHECK_ERROR(tf::top_k(tf::tensor({true}), 1), InvalidArgument, "bool");
}
