// What masked kernels of convolutions let through: nothing of what the mask covers.
#include <cmath>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

#include "../both_modes.h"
#include "conv_sums.h"

namespace tf = twofold;
using namespace op_test;
using tf::Shape;
using tf::Tensor;

namespace {

using Mask = bool (*)(int64_t p, int64_t q, int64_t h, int64_t w);
/// The taps that are kept.
constexpr std::pair<const char*, Mask> kMasks[] = {
    {"the centre", [](auto p, auto q, auto h, auto w) { return p == h / 2 && q == w / 2; }},
    {"what is before the centre", [](auto p, auto q, auto h, auto w) { return p * w + q < h / 2 * w + w / 2; }},
    {"that and the centre", [](auto p, auto q, auto h, auto w) { return p * w + q <= h / 2 * w + w / 2; }},
    {"all but the last row", [](auto p, auto, auto h, auto) { return p < h - 1; }},
    {"all but the first column", [](auto, auto q, auto, auto) { return q > 0; }},
    {"all but a corner", [](auto p, auto q, auto, auto) { return p + q > 0; }},
    {"none", [](auto, auto, auto, auto) { return false; }},
};

/// Weights that are not zero where the mask keeps them, for those that `of(output, input)` says; elsewhere for all.
Values masked(const Shape& shape, Mask keeps, bool (*of)(int64_t o, int64_t c)) {
  Values w = draw(shape, eighths, 2);
  for (size_t i = 0; i < w.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t q = at % shape[3], p = at / shape[3] % shape[2], kernel = at / shape[3] / shape[2];
    if (w[i] == 0) w[i] = 1;
    if (of(kernel / shape[1], kernel % shape[1]) && !keeps(p, q, shape[2], shape[3])) w[i] = i % 2 == 0 ? 0. : -0.;
  }
  return w;
}

/// `image` with `number` in one pixel of all channels of the first image, and where that is.
std::pair<Values, Values> with_pixel(Values image, double number, const Shape& s, bool last) {
  Values there(image.size(), 0);
  const int64_t channels = s[last ? 3 : 1], h = s[last ? 1 : 2], w = s[last ? 2 : 3];
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t row = h / 2, column = w / 2;
    const auto at = static_cast<size_t>(last ? (row * w + column) * channels + c : (c * h + row) * w + column);
    image[at] = number, there[at] = 1;
  }
  return {image, there};
}

/// How many elements are not what they should be: exactly the sum where the pixel is not among the terms, which `meets`
/// tells; else within float32's rounding of it, or not finite, as it is.
int64_t wrong(const Tensor& got, const Sums& wanted, const Sums& meets) {
  const Values values = testing::doubles(got);
  int64_t n = values.size() == wanted.value.size() ? 0 : 1;
  for (size_t i = 0; n == 0 && i < values.size(); ++i) {
    if (meets.magnitude[i] == 0)
      n += values[i] != wanted.value[i];
    else if (!std::isfinite(wanted.value[i]))
      n += std::isfinite(values[i]);
    else
      n += !(std::fabs(values[i] - wanted.value[i]) <=
             kUnit * static_cast<double>(wanted.terms[i]) * wanted.magnitude[i]);
  }
  return n;
}
int64_t wrong(const Tensor& got, const Convolution& conv, Part into, const Values& image, const Values& there,
              const Values& w) {
  return wrong(got, Sums(conv, into, image, w), Sums(conv, into, there, w));
}

/// The transposed convolution that takes conv's y to its x.
tf::Conv2dTransposeOptions transposed(const Convolution& conv) {
  const tf::Conv2dOptions& o = conv.o;
  const auto more = [](const op_test::Axis& a, int64_t before, int64_t after) {
    return a.in - ((a.out - 1) * a.stride - before - after + op_test::span_of(a.kernel, a.dilation));
  };
  const tf::Padding2d& p = o.padding;
  return {.stride = o.stride,
          .padding = p,
          .output_padding =
              p.same ? tf::Pair2d(0) : tf::Pair2d(more(conv.v, p.top, p.bottom), more(conv.h, p.left, p.right)),
          .groups = o.groups,
          .dilation = o.dilation,
          .data_format = o.data_format};
}

}  // namespace

TEST_CASE("What a mask covers leaves no trace in a convolution, nor in its gradient by the image") {
  for (const Case& c : kVaried)
    for (const auto& [name, keeps] : kMasks) {
      const Convolution conv(c.options, c.x, c.w);
      const Values w = masked(c.w, keeps, [](int64_t, int64_t) { return true; });
      const Values plain_x = draw(c.x, eighths, 1), plain_dy = draw(conv.y(), eighths, 3);
      const Sums meets_y(conv, Part::y, with_pixel(plain_x, 1, c.x, conv.last()).second, w);
      const Sums meets_x(conv, Part::x, with_pixel(plain_dy, 1, conv.y(), conv.last()).second, w);
      for (const double number : {1e7, kInf, kNaN}) {
        const Values x = with_pixel(plain_x, number, c.x, conv.last()).first;
        const Values dy = with_pixel(plain_dy, number, conv.y(), conv.last()).first;
        const Sums wanted_y(conv, Part::y, x, w), wanted_x(conv, Part::x, dy, w);
        for (const tf::DType dtype : {tf::float32, tf::float64}) {
          if (dtype == tf::float64 && !std::isnan(number)) continue;
          INFO("x " << c.x << ", weight " << c.w << ", a mask that keeps " << name << ", " << number);
          const auto got = testing::in_both_modes([&] {
            auto all = passes(c, x, w, dy, conv.y(), dtype);
            all.push_back(tf::conv2d_transpose(make(dy, conv.y(), dtype), make(w, c.w, dtype), transposed(conv)));
            const Tensor bias = tf::zeros({c.w[0]}, dtype);
            all.push_back(tf::conv2d(make(x, c.x, dtype), make(w, c.w, dtype), bias, c.options));
            return std::vector{all[0], all[1], all[3], all[4]};
          });
          CHECK(wrong(got[0], wanted_y, meets_y) == 0);
          CHECK(wrong(got[1], wanted_x, meets_x) == 0);
          CHECK(wrong(got[2], wanted_x, meets_x) == 0);
          CHECK(wrong(got[3], wanted_y, meets_y) == 0);
        }
      }
    }
}

TEST_CASE("Nor do masks of some channels let large numbers through") {
  for (const Case& c : kVaried)
    for (const auto& [name, keeps] : kMasks) {
      INFO("x " << c.x << ", weight " << c.w << ", a mask that keeps " << name);
      const Convolution conv(c.options, c.x, c.w);
      const auto [x, in_x] = with_pixel(draw(c.x, eighths, 1), 1e7, c.x, conv.last());
      const auto [dy, in_dy] = with_pixel(draw(conv.y(), eighths, 3), 1e7, conv.y(), conv.last());
      const Values outputs = masked(c.w, keeps, [](int64_t o, int64_t) { return o % 3 == 1; });
      const Values inputs = masked(c.w, keeps, [](int64_t, int64_t i) { return i % 3 == 0; });
      const auto got = testing::in_both_modes([&] {
        return std::vector{passes(c, x, outputs, dy, conv.y())[0], passes(c, x, inputs, dy, conv.y())[1]};
      });
      CHECK(wrong(got[0], conv, Part::y, x, in_x, outputs) == 0);
      CHECK(wrong(got[1], conv, Part::x, dy, in_dy, inputs) == 0);
    }
}

TEST_CASE("What is not finite reaches no result that it is no term of") {
  for (const Case& c : kVaried)
    for (const double number : {kInf, -kInf, kNaN}) {
      INFO("x " << c.x << ", weight " << c.w << ", " << number);
      const Convolution conv(c.options, c.x, c.w);
      const auto [x, in_x] = with_pixel(draw(c.x, eighths, 1), number, c.x, conv.last());
      const auto [dy, in_dy] = with_pixel(draw(conv.y(), eighths, 3), number, conv.y(), conv.last());
      const Values w = masked(c.w, nullptr, [](int64_t, int64_t) { return false; });
      const auto got = testing::in_both_modes([&] { return passes(c, x, w, dy, conv.y()); });
      CHECK(wrong(got[0], conv, Part::y, x, in_x, w) == 0);
      CHECK(wrong(got[1], conv, Part::x, dy, in_dy, w) == 0);
    }
}

TEST_CASE("A mask gives the same bits for any number of threads") {
  const int before = tf::num_threads();
  const Case& c = kVaried[1];
  const Convolution conv(c.options, c.x, c.w);
  const Values x = draw(c.x, uniform, 1), dy = draw(conv.y(), uniform, 2);
  for (const auto& [name, keeps] : kMasks) {
    const Values w = masked(c.w, keeps, [](int64_t o, int64_t) { return o % 2 == 0; });
    std::vector<std::vector<Tensor>> got;
    for (const int threads : {1, 2, 5}) {
      tf::set_num_threads(threads);
      got.push_back(tf::eagerly([&] { return passes(c, x, w, dy, conv.y()); }));
      for (size_t i = 0; i < 3; ++i) CHECK(testing::same_bits(got.back()[i], got[0][i]));
    }
  }
  tf::set_num_threads(before);
}
