// Convolutions of the shapes for which the CPU has ways of its own: wide kernels, few outputs, few channels, strides.
// Small integers, whose sums are exact in any order, so that results must be those of the formula to the last bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <twofold/kernels/window2d/axes.h>
#include <twofold/lib/op/vjp.h>
#include <twofold/twofold.h>

#include "../both_modes.h"

namespace tf = twofold;

namespace {

struct Kind {
  const char* label;
  tf::Shape x, w;  ///< in nchw
  tf::Conv2dOptions options = {};
};

const Kind kKinds[] = {
    {"a kernel as wide as the image", {5, 1, 6, 40}, {9, 1, 3, 40}},
    {"a kernel as high as the image", {5, 1, 40, 6}, {9, 1, 40, 3}},
    {"a kernel as large as the image", {130, 6, 4, 4}, {7, 6, 4, 4}},
    {"one channel out of a kernel as large as the image", {130, 6, 4, 4}, {1, 6, 4, 4}},
    {"a wide kernel and padding", {2, 3, 5, 33}, {10, 3, 2, 31}, {.padding = {1, 15}}},
    {"a wide kernel, dilated", {2, 3, 5, 64}, {10, 3, 2, 21}, {.dilation = {2, 3}}},
    {"a wide kernel in groups", {3, 6, 7, 24}, {8, 3, 3, 24}, {.groups = 2}},
    {"wide kernels, each of a channel", {3, 5, 4, 32}, {10, 1, 1, 32}, {.groups = 5}},
    {"few outputs, far apart", {20, 8, 17, 17}, {8, 8, 3, 3}, {.dilation = 8}},
    {"images of few pixels", {40, 17, 3, 2}, {18, 17, 2, 2}, {.padding = 1}},
    {"images of one pixel", {40, 70, 1, 1}, {100, 70, 1, 1}},
    {"one channel of 2x2 kernels, stride 2", {2, 1, 16, 12}, {16, 1, 2, 2}, {.stride = 2}},
    {"one channel of 3x3 kernels, stride 2", {3, 1, 15, 16}, {64, 1, 3, 3}, {.stride = 2, .padding = "same"}},
    {"one channel of 4x4 kernels, stride 2", {3, 1, 16, 16}, {64, 1, 4, 4}, {.stride = 2, .padding = 1}},
    {"three channels of 5x5 kernels, stride 2", {2, 3, 20, 20}, {100, 3, 5, 5}, {.stride = 2, .padding = "same"}},
    {"one channel of 7x7 kernels", {2, 1, 20, 20}, {40, 1, 7, 7}, {.padding = 3}},
    {"large strides", {2, 3, 67, 70}, {33, 3, 11, 11}, {.stride = 4, .padding = {1, 2}}},
    {"strides as the kernel", {2, 3, 34, 35}, {40, 3, 8, 8}, {.stride = 8}},
    {"strides beyond the kernel", {2, 2, 30, 31}, {40, 2, 2, 3}, {.stride = {5, 7}}},
    {"strides and dilation with a common factor", {2, 1, 30, 29}, {50, 1, 3, 3}, {.stride = 4, .dilation = 6}},
    {"a line of samples", {2, 1, 1, 700}, {40, 1, 1, 80}, {.stride = {1, 4}, .padding = {0, 38}}},
    {"each channel by itself", {2, 9, 12, 13}, {9, 1, 3, 3}, {.padding = 1, .groups = 9}},
};

/// A convolution of its kind under one layout, and its parts in float64.
struct Problem {
  tf::Shape x, w, y;
  tf::Conv2dOptions o;
  tf::WindowAxis h, v;  ///< horizontal, vertical

  Problem(const Kind& kind, tf::DataFormat format) : x(kind.x), w(kind.w), o(kind.options) {
    o.data_format = format;
    v = tf::vertical_axis(o, w[2]), h = tf::horizontal_axis(o, w[3]);
    v.in = x[2], h.in = x[3], v.out = v.out_of(v.in), h.out = h.out_of(h.in);
    y = of(x[0], w[0], v.out, h.out), x = of(x[0], x[1], v.in, h.in);
  }
  bool last() const { return o.data_format == tf::DataFormat::nhwc; }
  tf::Shape of(int64_t n, int64_t c, int64_t height, int64_t width) const {
    return last() ? tf::Shape{n, height, width, c} : tf::Shape{n, c, height, width};
  }
  size_t place(int64_t n, int64_t c, int64_t channels, const tf::WindowAxis& a, const tf::WindowAxis& b, int64_t i,
               int64_t j, bool in) const {
    const int64_t height = in ? a.in : a.out, width = in ? b.in : b.out;
    return static_cast<size_t>(last() ? ((n * height + i) * width + j) * channels + c
                                      : ((n * channels + c) * height + i) * width + j);
  }

  struct Parts {
    std::vector<double> y, dx, dw;
  };
  /// The sums of the formula over the elements that there are.
  Parts sums(const std::vector<double>& xs, const std::vector<double>& ws, const std::vector<double>& dys) const {
    Parts p{std::vector<double>(dys.size()), std::vector<double>(xs.size()), std::vector<double>(ws.size())};
    const int64_t of_group = w[0] / o.groups, channels = w[1] * o.groups;
    for (int64_t n = 0; n < x[0]; ++n)
      for (int64_t k = 0; k < w[0]; ++k)
        for (int64_t i = 0; i < v.out; ++i)
          for (int64_t j = 0; j < h.out; ++j)
            for (int64_t c = 0; c < w[1]; ++c)
              for (int64_t a = 0; a < w[2]; ++a)
                for (int64_t b = 0; b < w[3]; ++b) {
                  const int64_t row = i * v.stride + a * v.dilation - v.pad();
                  const int64_t column = j * h.stride + b * h.dilation - h.pad();
                  if (row < 0 || row >= v.in || column < 0 || column >= h.in) continue;
                  const size_t at_x = place(n, k / of_group * w[1] + c, channels, v, h, row, column, true);
                  const size_t at_y = place(n, k, w[0], v, h, i, j, false);
                  const auto at_w = static_cast<size_t>(((k * w[1] + c) * w[2] + a) * w[3] + b);
                  p.y[at_y] += ws[at_w] * xs[at_x];
                  p.dx[at_x] += ws[at_w] * dys[at_y];
                  p.dw[at_w] += xs[at_x] * dys[at_y];
                }
    return p;
  }
};

/// Integers from -3 to 3.
std::vector<double> integers(int64_t n, uint64_t seed) {
  std::vector<double> v(static_cast<size_t>(n));
  for (double& e : v) e = static_cast<double>((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33);
  for (double& e : v) e = std::fmod(e, 7) - 3;
  return v;
}

tf::Tensor made(const std::vector<double>& v, const tf::Shape& shape, tf::DType dtype) {
  return tf::cast(tf::constant(v, shape), dtype);
}

/// y, dx and dw.
std::vector<tf::Tensor> computed(const Problem& p, const tf::Tensor& x, const tf::Tensor& w, const tf::Tensor& dy) {
  const auto f = [&](std::span<const tf::Tensor> in) { return std::vector{tf::conv2d(in[0], in[1], p.o)}; };
  const std::array inputs{x, w};
  std::vector<tf::Tensor> all = f(inputs);
  for (const tf::Tensor& t : tf::vjp(f, inputs, std::span(&dy, 1))) all.push_back(t);
  return all;
}

}  // namespace

TEST_CASE("Convolutions and their gradients are right for wide kernels, few outputs, few channels and large strides") {
  for (const Kind& kind : kKinds)
    for (const tf::DataFormat format : {tf::DataFormat::nchw, tf::DataFormat::nhwc}) {
      const Problem p(kind, format);
      const auto xs = integers(p.x.num_elements(), 1), ws = integers(p.w.num_elements(), 2);
      const auto dys = integers(p.y.num_elements(), 3);
      const Problem::Parts right = p.sums(xs, ws, dys);
      for (const tf::DType dtype : {tf::float32, tf::float64}) {
        INFO(kind.label << ", " << tf::print_field(format) << ", " << tf::name_of(dtype));
        const auto results = testing::in_both_modes(
            [&] { return computed(p, made(xs, p.x, dtype), made(ws, p.w, dtype), made(dys, p.y, dtype)); });
        CHECK((testing::doubles(results[0]) == right.y));
        CHECK((testing::doubles(results[1]) == right.dx));
        CHECK((testing::doubles(results[2]) == right.dw));
      }
    }
}

TEST_CASE("A transposed convolution from many outputs a row, which takes several parts, is right") {
  const Problem p({"", {1, 1, 512, 512}, {8, 1, 4, 4}, {.stride = 2, .padding = 1}}, tf::DataFormat::nchw);
  const auto xs = integers(p.x.num_elements(), 1), ws = integers(p.w.num_elements(), 2);
  const auto dys = integers(p.y.num_elements(), 3);
  const tf::EagerMode eager;
  const tf::Tensor dx =
      tf::conv2d_transpose(made(dys, p.y, tf::float64), made(ws, p.w, tf::float64), {.stride = 2, .padding = 1});
  CHECK((testing::doubles(dx) == p.sums(xs, ws, dys).dx));
}

TEST_CASE("Convolutions have the same bits for any number of threads") {
  const int before = tf::num_threads();
  const tf::EagerMode eager;
  for (const Kind& kind : kKinds)
    for (const tf::DataFormat format : {tf::DataFormat::nchw, tf::DataFormat::nhwc}) {
      INFO(kind.label << ", " << tf::print_field(format));
      const Problem p(kind, format);
      const tf::Tensor x = tf::random_normal(p.x), w = tf::random_normal(p.w), dy = tf::random_normal(p.y);
      tf::set_num_threads(1);
      const auto one = computed(p, x, w, dy);
      tf::set_num_threads(3);
      const auto three = computed(p, x, w, dy);
      for (size_t i = 0; i < one.size(); ++i) CHECK(testing::same_bits(one[i], three[i]));
    }
  tf::set_num_threads(before);
}

TEST_CASE("What is not finite in a weight or in dy reaches the inputs that the formula has it for, and no others") {
  // Kernels that meet the image in part, with zeros in dy: inf times 0 is NaN where both meet, and nowhere else.
  constexpr double inf = std::numeric_limits<double>::infinity();
  const Kind kinds[] = {{"wide", {2, 1, 6, 40}, {9, 1, 3, 40}},
                        {"wide, padded", {2, 1, 5, 33}, {10, 1, 2, 31}, {.padding = {1, 15}}},
                        {"stride 2", {2, 1, 16, 16}, {64, 1, 4, 4}, {.stride = 2, .padding = 1}},
                        {"3x3, stride 2", {2, 2, 15, 16}, {64, 2, 3, 3}, {.stride = 2, .padding = "same"}}};
  size_t finite = 0, infinite = 0, nan = 0;
  for (const Kind& kind : kinds)
    for (const tf::DataFormat format : {tf::DataFormat::nchw, tf::DataFormat::nhwc})
      for (const tf::DType dtype : {tf::float32, tf::float64}) {
        INFO(kind.label << ", " << tf::print_field(format) << ", " << tf::name_of(dtype));
        const Problem p(kind, format);
        auto ws = integers(p.w.num_elements(), 2), dys = integers(p.y.num_elements(), 3);
        ws[1] = inf, ws[ws.size() - 1] = -inf, dys[0] = inf, dys[dys.size() / 2] = std::nan("");
        const std::vector<double> xs(static_cast<size_t>(p.x.num_elements()), 1);
        const auto right = p.sums(xs, ws, dys).dx;
        const auto results = testing::in_both_modes(
            [&] { return computed(p, made(xs, p.x, dtype), made(ws, p.w, dtype), made(dys, p.y, dtype)); });
        const auto got = testing::doubles(results[1]);
        for (size_t i = 0; i < right.size(); ++i) {
          INFO("element " << i << ": " << got[i] << ", right is " << right[i]);
          REQUIRE((std::isnan(right[i]) ? std::isnan(got[i]) : got[i] == right[i]));
          ++(std::isnan(right[i]) ? nan : std::isinf(right[i]) ? infinite : finite);
        }
      }
  CHECK(std::min({finite, infinite, nan}) > 0);
}
