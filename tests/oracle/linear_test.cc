// Products of matrices and convolutions, pooling, and taking by index. (records_test.cc has their records over zeros,
// infinities and NaN; here are derivatives through dual numbers, integers, extents of 0 and errors.)
#include <algorithm>

#include "dual.h"

using namespace oracle;

namespace {

Reals some(size_t n, real step = 0.375L) {
  Reals v;
  for (size_t i = 0; i < n; ++i) v.push_back(static_cast<real>((i * 7 + 3) % 11) * step - 1.5L);
  return v;
}
template <class In>
using Number = typename std::remove_cvref_t<In>::value_type::value_type;

template <class R>
std::vector<R> product(const std::vector<R>& a, const std::vector<R>& b, size_t m, size_t k, size_t n) {
  std::vector<R> y(m * n, R(0));
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j)
      for (size_t l = 0; l < k; ++l) y[i * n + j] = y[i * n + j] + a[i * k + l] * b[l * n + j];
  return y;
}

struct Window {
  int64_t h, w, kh, kw, stride_h, stride_w, top, left, dilation_h, dilation_w, out_h, out_w;
};
/// y[o, i, j] = sum over c, p, q of weight[o, c, p, q] x[c, i stride + p dilation - top, ...], of one image.
template <class R>
std::vector<R> correlate(const std::vector<R>& x, const std::vector<R>& w, int64_t out, int64_t in, int64_t groups,
                         const Window& s) {
  std::vector<R> y(static_cast<size_t>(out * s.out_h * s.out_w), R(0));
  const int64_t each = in / groups;
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < s.out_h; ++i)
      for (int64_t j = 0; j < s.out_w; ++j)
        for (int64_t c = 0; c < each; ++c)
          for (int64_t p = 0; p < s.kh; ++p)
            for (int64_t q = 0; q < s.kw; ++q) {
              const int64_t row = i * s.stride_h + p * s.dilation_h - s.top,
                            column = j * s.stride_w + q * s.dilation_w - s.left;
              if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
              const int64_t channel = o / (out / groups) * each + c;
              R& to = y[static_cast<size_t>((o * s.out_h + i) * s.out_w + j)];
              to = to + w[static_cast<size_t>(((o * each + c) * s.kh + p) * s.kw + q)] *
                            x[static_cast<size_t>((channel * s.h + row) * s.w + column)];
            }
  return y;
}

}  // namespace

ORACLE(matmul, bias_add, einsum) {
  for_floating([](auto, DType dtype) {
    for (const real scale : {1.0L, 1e-15L, 1e15L}) {
      const Arguments args{{{2, 3}, {3, 4}}, {some(6, scale * 0.5L), some(12, scale * 0.25L)}};
      hold(
          "matmul", dtype, [](const Tensors& in) { return tf::matmul(in[0], in[1]); },
          [](const auto& in) { return product(in[0], in[1], 2, 3, 4); }, args);
      hold(
          "einsum", dtype,
          [](const Tensors& in) {
            return tf::einsum("ij,jk->ik", {in[0], in[1]});
          },
          [](const auto& in) { return product(in[0], in[1], 2, 3, 4); }, args);
    }
    hold(
        "einsum of a diagonal", dtype, [](const Tensors& in) { return tf::einsum("ii->i", {in[0]}); },
        [](const auto& in) {
          return std::vector{in[0][0], in[0][3]};
        },
        {{{2, 2}}, {{1, 2, 3, 4}}});
    hold(
        "einsum of a sum", dtype,
        [](const Tensors& in) {
          return tf::einsum("ij,i->", {in[0], in[1]});
        },
        [](const auto& in) { return std::vector{(in[0][0] + in[0][1]) * in[1][0] + (in[0][2] + in[0][3]) * in[1][1]}; },
        {{{2, 2}, {2}}, {{1, 2, 3, 4}, {5, -1}}});
    hold(
        "bias_add", dtype, [](const Tensors& in) { return tf::bias_add(in[0], in[1]); },
        [](const auto& in) {
          using R = Number<decltype(in)>;
          std::vector<R> y;
          for (size_t i = 0; i < 6; ++i) y.push_back(in[0][i] + in[1][i % 3]);
          return y;
        },
        {{{2, 3}, {3}}, {some(6), some(3)}});
    CHECK(off(everyway1([](const Tensors& in) { return tf::bias_add(in[0], in[1]); },
                        {make(dtype, {1, 3}, {kInf, kNaN, 1}), make(dtype, {3}, {-kInf, 1, kInf})}),
              dtype, {1, 3}, {kNaN, kNaN, kInf}) == "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::matmul(in[0], in[1]); },
                        {make(dtype, {2, 0}, {}), make(dtype, {0, 3}, {})}),
              dtype, {2, 3}, Reals(6, 0)) == "");
    CHECK(off(tf::einsum("ij,jk->ik", {make(dtype, {2, 0}, {}), make(dtype, {0, 3}, {})}), dtype, {2, 3},
              Reals(6, 0)) == "");
    CHECK(off(tf::matmul(make(dtype, {0, 2}, {}), make(dtype, {2, 3}, some(6))), dtype, {0, 3}, {}) == "");
  });
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    if (dtype == tf::uint8) return;
    using L = std::numeric_limits<T>;
    const std::vector<T> a = {L::max(), L::min(), T(-1), 3}, b = {L::max(), 2, L::min(), 5};
    Reals wanted;
    for (size_t i = 0; i < 2; ++i)
      for (size_t j = 0; j < 2; ++j)
        wanted.push_back(static_cast<T>(static_cast<uint64_t>(a[2 * i]) * static_cast<uint64_t>(b[j]) +
                                        static_cast<uint64_t>(a[2 * i + 1]) * static_cast<uint64_t>(b[2 + j])));
    for (const bool by_einsum : {false, true})
      CHECK(off(everyway1(
                    [=](const Tensors& in) {
                      return by_einsum ? tf::einsum("ij,jk", {in[0], in[1]}) : tf::matmul(in[0], in[1]);
                    },
                    {tf::tensor(a, {2, 2}), tf::tensor(b, {2, 2})}),
                dtype, {2, 2}, wanted) == "");
  });
  const Tensor x = tf::tensor({{1.f, 2.f, 3.f}}), x64 = make(tf::float64, {1}, {3});
  CHECK(off_list(everyway1(
                     [](const Tensors& in) {
                       return tf::einsum("i,->i", {in[0], 0.1});
                     },
                     {x64}),
                 tf::float64, {3 * real(0.1)}, {.ulps = 0.5}) == "");
  CHECK_ERROR(tf::matmul(x, x), InvalidArgument, "Dimensions must be equal");
  CHECK_ERROR(tf::matmul(x[0], x), InvalidArgument, "");
  CHECK_ERROR(tf::matmul(tf::tensor({{true}}), tf::tensor({{true}})), InvalidArgument, "");
  CHECK_ERROR(tf::bias_add(x, tf::tensor({1.f, 2.f})), InvalidArgument, "");
  CHECK_ERROR(tf::bias_add(x[0], tf::tensor({1.f})), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("ij->", {x, x}), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("i->i", {x}), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("ij,jk->ik", {x, x}), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("ii->", {x}), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("ij->ik", {x}), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("ij->ii", {x}), InvalidArgument, "");
  CHECK_ERROR(tf::einsum("1j", {x}), InvalidArgument, "");
}

ORACLE(conv2d, conv2d_transpose, Padding2d, Pair2d) {
  for_floating([](auto, DType dtype) {
    const Window plain{3, 4, 2, 2, 1, 1, 0, 0, 1, 1, 2, 3}, strided{4, 5, 2, 2, 2, 1, 1, 0, 1, 2, 3, 3};
    hold(
        "conv2d", dtype, [](const Tensors& in) { return tf::conv2d(in[0], in[1], in[2]); },
        [&](const auto& in) {
          auto y = correlate(in[0], in[1], 2, 2, 1, plain);
          for (size_t i = 0; i < y.size(); ++i) y[i] = y[i] + in[2][i / 6];
          return y;
        },
        {{{1, 2, 3, 4}, {2, 2, 2, 2}, {2}}, {some(24), some(16), some(2)}});
    hold(
        "conv2d of groups, stride, padding, dilation", dtype,
        [](const Tensors& in) {
          return tf::conv2d(in[0], in[1], {.stride = {2, 1}, .padding = {1, 1, 0, 0}, .dilation = {1, 2}, .groups = 2});
        },
        [&](const auto& in) { return correlate(in[0], in[1], 2, 2, 2, strided); },
        {{{1, 2, 4, 5}, {2, 1, 2, 2}}, {some(40), some(8)}});
    hold(
        "conv2d_transpose", dtype, [](const Tensors& in) { return tf::conv2d_transpose(in[0], in[1], {.stride = 2}); },
        [](const auto& in) {
          using R = Number<decltype(in)>;
          std::vector<R> y(2 * 4 * 6, R(0));  // x (1, 1, 2, 3), weight (1, 2, 2, 2): each x stamps its kernel
          for (size_t i = 0; i < 2; ++i)
            for (size_t j = 0; j < 3; ++j)
              for (size_t o = 0; o < 2; ++o)
                for (size_t p = 0; p < 2; ++p)
                  for (size_t q = 0; q < 2; ++q) {
                    R& to = y[(o * 4 + 2 * i + p) * 6 + 2 * j + q];
                    to = to + in[0][i * 3 + j] * in[1][(o * 2 + p) * 2 + q];
                  }
          return y;
        },
        {{{1, 1, 2, 3}, {1, 2, 2, 2}}, {some(6), some(8)}});
    const auto zeros = [&](const Shape& s) { return make(dtype, s, Reals(static_cast<size_t>(s.num_elements()), 0)); };
    CHECK(off(everyway1([](const Tensors& in) { return tf::conv2d(in[0], in[1]); },
                        {zeros({0, 2, 3, 3}), zeros({4, 2, 3, 3})}),
              dtype, {0, 4, 1, 1}, {}) == "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::conv2d(in[0], in[1]); },
                        {zeros({1, 0, 3, 3}), zeros({2, 0, 3, 3})}),
              dtype, {1, 2, 1, 1}, {0, 0}) == "");
    CHECK(off(tf::conv2d(make(dtype, {1, 1, 1, 1}, {3}), make(dtype, {1, 1, 1, 1}, {-2})), dtype, {1, 1, 1, 1}, {-6}) ==
          "");
    const Tensor x = zeros({1, 2, 3, 3}), w = zeros({2, 2, 2, 2});
    CHECK_ERROR(tf::conv2d(x, zeros({2, 3, 2, 2})), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, zeros({2, 2, 4, 4})), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, {.stride = 0}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, {.padding = -1}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, {.dilation = INT64_MAX}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, {.padding = INT64_MAX}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, {.padding = "other"}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, {.groups = 3}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d(x, w, zeros({3})), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d_transpose(x, w, {.stride = 1, .output_padding = 1}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d_transpose(x, w, {.stride = INT64_MAX}), InvalidArgument, "");
    CHECK_ERROR(tf::conv2d_transpose(x, w, {.padding = 5}), InvalidArgument, "");
  });
  CHECK_ERROR(tf::conv2d(tf::tensor({{{{1}}}}), tf::tensor({{{{1}}}})), InvalidArgument, "");
}

ORACLE(max_pool2d, avg_pool2d) {
  for_floating([](auto zero, DType dtype) {
    using T = decltype(zero);
    using L = std::numeric_limits<T>;
    hold(
        "avg_pool2d", dtype, [](const Tensors& in) { return tf::avg_pool2d(in[0], 2, {.stride = 1}); },
        [](const auto& in) {
          using R = Number<decltype(in)>;
          std::vector<R> y;
          for (size_t i = 0; i < 2; ++i)
            for (size_t j = 0; j < 3; ++j)
              y.push_back((in[0][i * 4 + j] + in[0][i * 4 + j + 1] + in[0][i * 4 + j + 4] + in[0][i * 4 + j + 5]) *
                          R(0.25L));
          return y;
        },
        {{{1, 1, 3, 4}}, {some(12)}});
    const Tensor x = make(dtype, {1, 1, 2, 4}, {1, 5, kInf, -kInf, 5, -1, 2, 3});
    const auto [y, first, second] = derive([](const Tensor& t) { return tf::max_pool2d(t, 2); }, x);
    CHECK(off(y, dtype, {1, 1, 1, 2}, {5, kInf}) == "");
    CHECK(off(first, dtype, {1, 1, 2, 4}, {0, 1, 1, 0, 0, 0, 0, 0}) == "");  // to the first of equal ones
    CHECK(off(second, dtype, {1, 1, 2, 4}, Reals(8, 0), {.zero_sign = false}) == "");
    const auto [nan, to_nan, bend] =
        derive([](const Tensor& t) { return tf::max_pool2d(t, 2); }, make(dtype, {1, 1, 2, 2}, {kInf, kNaN, 1, kNaN}));
    CHECK(off(nan, dtype, {1, 1, 1, 1}, {kNaN}) == "");
    CHECK(off(to_nan, dtype, {1, 1, 2, 2}, {0, 1, 0, 0}) == "");
    // Padding is less than any number, even than the lowest.
    CHECK(off(tf::max_pool2d(make(dtype, {1, 1, 1, 1}, {real(L::lowest())}), 2, {.padding = 1}), dtype, {1, 1, 1, 1},
              {real(L::lowest())}) == "");
    CHECK(off(tf::max_pool2d(make(dtype, {1, 1, 1, 1}, {-kInf}), 3, {.padding = 1}), dtype, {1, 1, 1, 1}, {-kInf}) ==
          "");
    CHECK(off(tf::avg_pool2d(make(dtype, {1, 1, 1, 2}, {kInf, -kInf}), {1, 2}), dtype, {1, 1, 1, 1}, {kNaN}) == "");
    CHECK(off(tf::avg_pool2d(make(dtype, {1, 1, 1, 2}, {L::denorm_min(), L::denorm_min()}), {1, 2}), dtype,
              {1, 1, 1, 1}, {real(L::denorm_min())}) == "");
    CHECK(off(tf::avg_pool2d(make(dtype, {1, 1, 1, 1}, {8}), 2, {.padding = 1, .count_include_pad = false}), dtype,
              {1, 1, 1, 1}, {8}) == "");
    CHECK(off(tf::avg_pool2d(make(dtype, {1, 1, 1, 1}, {8}), 2, {.padding = 1}), dtype, {1, 1, 1, 1}, {2}) == "");
    CHECK(off(tf::max_pool2d(make(dtype, {0, 1, 2, 2}, {}), 2), dtype, {0, 1, 1, 1}, {}) == "");
    // A window as large as an image keeps its digits. It is summed in runs of 16, half a place for each of their terms,
    // and these in float64: of float64 in itself, so that each of 16384 runs may cost half a place.
    const real tenth = static_cast<T>(0.1);
    CHECK(off(tf::avg_pool2d(make(dtype, {1, 1, 512, 512}, Reals(512 * 512, tenth)), 512), dtype, {1, 1, 1, 1}, {tenth},
              {.ulps = dtype == tf::float32 ? 8.0 : 8192 + 8}) == "");
    CHECK_ERROR(tf::max_pool2d(x, 0), InvalidArgument, "");
    CHECK_ERROR(tf::max_pool2d(x, 3), InvalidArgument, "");
    CHECK_ERROR(tf::max_pool2d(x, 2, {.padding = 2}), InvalidArgument, "");
    CHECK_ERROR(tf::avg_pool2d(x, 2, {.stride = -1}), InvalidArgument, "");
    CHECK_ERROR(tf::avg_pool2d(x, INT64_MAX), InvalidArgument, "");
    CHECK_ERROR(tf::avg_pool2d(x[0], 2), InvalidArgument, "");
  });
  CHECK_ERROR(tf::max_pool2d(tf::tensor({{{{1}}}}), 1), InvalidArgument, "");
}

ORACLE(gather, scatter_add, embedding, nn::Embedding, nn::Embedding::forward, nn::Embedding::weight) {
  for_floating([](auto, DType dtype) {
    const Tensor at = tf::tensor({2, 0, 2});
    hold(
        "gather", dtype, [&](const Tensors& in) { return tf::gather(in[0], at); },
        [](const auto& in) { return std::vector{in[0][4], in[0][5], in[0][0], in[0][1], in[0][4], in[0][5]}; },
        {{{3, 2}}, {some(6)}});
    hold(
        "embedding", dtype, [&](const Tensors& in) { return tf::embedding(in[0], at); },
        [](const auto& in) { return std::vector{in[0][4], in[0][5], in[0][0], in[0][1], in[0][4], in[0][5]}; },
        {{{3, 2}}, {some(6)}});
    hold(
        "scatter_add", dtype, [&](const Tensors& in) { return tf::square(tf::scatter_add(in[0], at, in[1])); },
        [](const auto& in) {
          auto y = in[0];
          const size_t to[] = {2, 0, 2};
          for (size_t i = 0; i < 3; ++i)
            for (size_t j = 0; j < 2; ++j) y[to[i] * 2 + j] = y[to[i] * 2 + j] + in[1][i * 2 + j];
          for (auto& v : y) v = v * v;
          return y;
        },
        {{{3, 2}, {3, 2}}, {some(6), some(6, 0.25L)}});
    CHECK(off(everyway1([&](const Tensors& in) { return tf::scatter_add(in[0], at, in[1]); },
                        {make(dtype, {3}, {1, kNaN, kInf}), make(dtype, {3}, {1, -kInf, -kInf})}),
              dtype, {3}, {-kInf, kNaN, kNaN}) == "");
    CHECK(off(tf::gather(make(dtype, {3, 2}, some(6)), tf::tensor(std::vector<int>())), dtype, {0, 2}, {}) == "");
    CHECK(off(tf::gather(make(dtype, {2, 0}, {}), tf::tensor({1, 1, 0})), dtype, {3, 0}, {}) == "");
    const Tensor x = make(dtype, {3, 2}, some(6));
    for (const int64_t wrong : {int64_t{3}, int64_t{-1}, INT64_MAX, INT64_MIN}) {
      CHECK_ERROR(tf::eagerly([&] {
                    return tf::gather(x, tf::tensor(std::vector<int64_t>{0, wrong}));
                  }),
                  OutOfRange, std::to_string(wrong));
      CHECK_ERROR(tf::eagerly([&] { return tf::embedding(x, tf::tensor(std::vector<int64_t>{wrong})); }), OutOfRange,
                  "");
      CHECK_ERROR(tf::eagerly([&] {
                    return tf::scatter_add(x, tf::tensor(std::vector<int64_t>{wrong}), make(dtype, {1, 2}, {1, 2}));
                  }),
                  OutOfRange, "");
    }
    CHECK_ERROR(tf::eagerly([&] { return tf::gather(make(dtype, {0, 2}, {}), tf::tensor({0})); }), OutOfRange, "");
    CHECK_ERROR(tf::embedding(x[0], at), InvalidArgument, "");
    CHECK_ERROR(tf::gather(x, x), InvalidArgument, "");
    CHECK_ERROR(tf::gather(x, at, {.axis = 2}), InvalidArgument, "");
    tf::eagerly([&] {
      const tf::nn::Embedding layer(3, 2, dtype);
      const Reals w = values_of(layer.weight().read());
      CHECK(off(layer(at), dtype, {3, 2}, {w[4], w[5], w[0], w[1], w[4], w[5]}) == "");
      CHECK_ERROR(layer(tf::tensor({3})), OutOfRange, "3");
    });
  });
  for_integers([](auto zero, DType dtype) {
    using T = decltype(zero);
    const std::vector<T> v = {std::numeric_limits<T>::max(), std::numeric_limits<T>::min(), 1};
    CHECK(off(everyway1(
                  [](const Tensors& in) {
                    return tf::scatter_add(in[0], tf::tensor({0, 0, 1}), in[0]);
                  },
                  {tf::tensor(v)}),
              dtype, {3},
              {real(static_cast<T>(static_cast<uint64_t>(v[0]) * 2 + static_cast<uint64_t>(v[1]))),
               real(static_cast<T>(static_cast<uint64_t>(v[1]) + 1)), 1}) == "");
  });
  CHECK_ERROR(tf::eagerly([] { return tf::nn::Embedding(0, 2); }), InvalidArgument, "");
}
