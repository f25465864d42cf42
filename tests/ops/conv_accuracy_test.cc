// How far float32 convolutions are from their exact sums, what masked kernels let through, and what a math mode
// changes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include <twofold/lib/op/numerics.h>
#include <twofold/twofold.h>

#include "../both_modes.h"
#include "convolution.h"

namespace tf = twofold;
using op_test::Convolution;
using tf::Shape;
using tf::Tensor;

namespace {

constexpr double kUnit = 0x1p-24;  ///< float32's unit roundoff
constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();

using Values = std::vector<double>;
using Draw = double (*)(std::mt19937& bits);

struct Mode {
  explicit Mode(tf::MathMode mode) { tf::set_math_mode(mode); }
  ~Mode() { tf::set_math_mode(tf::MathMode::strict); }
};

Values draw(const Shape& shape, Draw f, uint32_t seed) {
  std::mt19937 bits(seed);
  Values v(static_cast<size_t>(shape.num_elements()));
  for (double& e : v) e = static_cast<float>(f(bits));
  return v;
}
double uniform(std::mt19937& bits) { return static_cast<double>(bits()) * 0x1p-31 - 1; }
/// Eighths in [-1, 1]: sums of a few thousand products are exact in float32.
double eighths(std::mt19937& bits) { return static_cast<double>(bits() % 17) / 8 - 1; }
double rarely_huge(std::mt19937& bits) { return uniform(bits) * (bits() % 12 == 0 ? 1e7 : 1); }
double of_any_size(std::mt19937& bits) { return std::ldexp(uniform(bits), static_cast<int>(bits() % 40) - 20); }
double around_a_million(std::mt19937& bits) { return 1e6 + uniform(bits); }

Tensor make(const Values& v, const Shape& shape, tf::DType dtype = tf::float32) {
  if (dtype == tf::float64) return tf::constant(v, shape);
  return tf::constant(std::vector<float>(v.begin(), v.end()), shape);
}

enum class Part { x, w, y };

/// The products of a and b summed into a third part; those of weights that are zero count for nothing.
struct Sums {
  Values value, magnitude;
  std::vector<int64_t> terms;

  Sums(const Convolution& conv, Part into, const Values& a, const Values& b) {
    const Shape y = conv.y();
    const Shape& shape = into == Part::x ? conv.x : into == Part::w ? conv.w : y;
    const auto n = static_cast<size_t>(shape.num_elements());
    value.resize(n), magnitude.resize(n), terms.resize(n);
    conv.for_each_product([&](size_t in_x, size_t in_w, size_t in_y) {
      const size_t to = into == Part::x ? in_x : into == Part::w ? in_w : in_y;
      const double first = a[into == Part::x ? in_y : in_x], second = b[into == Part::w ? in_y : in_w];
      if (into != Part::w && second == 0) return;
      value[to] += first * second, magnitude[to] += std::fabs(first * second), ++terms[to];
    });
  }
};

/// The largest magnitude among `size` x `size` elements of a plane, from (row, column) on; zeros lie around it.
double largest(const double* plane, int64_t h, int64_t w, int64_t row, int64_t column, int64_t size) {
  double most = 0;
  for (int64_t i = std::max<int64_t>(row, 0); i < std::min(h, row + size); ++i)
    for (int64_t j = std::max<int64_t>(column, 0); j < std::min(w, column + size); ++j)
      most = std::max(most, std::fabs(plane[i * w + j]));
  return most;
}

/// For a convolution in NCHW by 3x3: for each element of one part, what Winograd's error is bounded by a multiple of
/// (conv2d.h). Of y: the sum over channels of max |w| max |x| under the kernel; of x likewise, of dy; of w: the sum
/// over tiles of max |x| max |dy|, those of 4x4 and 2x2.
struct Largest {
  const Convolution& c;
  int64_t outs = c.w[0] / c.o.groups, ins = c.w[1];

  Values of_product(bool gradient, const Values& source, const Values& w) const {
    const int64_t to = gradient ? ins : outs, from = gradient ? outs : ins, groups = c.o.groups;
    const int64_t h = gradient ? c.v.out : c.v.in, width = gradient ? c.h.out : c.h.in;
    const int64_t to_h = gradient ? c.v.in : c.v.out, to_w = gradient ? c.h.in : c.h.out;
    const int64_t top = gradient ? 2 - c.v.before : c.v.before, left = gradient ? 2 - c.h.before : c.h.before;
    Values bound;
    for (int64_t n = 0; n < c.x[0]; ++n)
      for (int64_t t = 0; t < groups * to; ++t)
        for (int64_t i = 0; i < to_h; ++i)
          for (int64_t j = 0; j < to_w; ++j) {
            double sum = 0;
            for (int64_t f = 0; f < from; ++f) {
              const int64_t channel = t / to * from + f;
              const int64_t kernel = gradient ? channel * ins + t % to : t * ins + f;
              sum += largest(&w[static_cast<size_t>(kernel * 9)], 3, 3, 0, 0, 3) *
                     largest(&source[static_cast<size_t>((n * groups * from + channel) * h * width)], h, width, i - top,
                             j - left, 3);
            }
            bound.push_back(sum);
          }
    return bound;
  }
  Values of_weight(const Values& x, const Values& dy) const {
    Values bound;
    for (int64_t o = 0; o < c.w[0]; ++o)
      for (int64_t f = 0; f < ins; ++f) {
        double sum = 0;
        for (int64_t n = 0; n < c.x[0]; ++n)
          for (int64_t i = 0; i < c.v.out; i += 2)
            for (int64_t j = 0; j < c.h.out; j += 2) {
              const int64_t channel = (n * c.o.groups + o / outs) * ins + f, of_y = n * c.w[0] + o;
              sum += largest(&x[static_cast<size_t>(channel * c.v.in * c.h.in)], c.v.in, c.h.in, i - c.v.before,
                             j - c.h.before, 4) *
                     largest(&dy[static_cast<size_t>(of_y * c.v.out * c.h.out)], c.v.out, c.h.out, i, j, 2);
            }
        bound.insert(bound.end(), 9, sum);
      }
    return bound;
  }
};

struct Case {
  Shape x, w;
  tf::Conv2dOptions options;
};
/// Such as go by Winograd's algorithm on the CPU: of odd extents, more than one block of channels and tiles, groups.
const std::vector<Case> kTransformed = {
    {{2, 16, 9, 10}, {17, 16, 3, 3}, {.padding = 1}},
    {{1, 70, 8, 10}, {16, 70, 3, 3}, {.padding = {3, 0, 0, 2}}},
    {{3, 32, 10, 13}, {34, 16, 3, 3}, {.padding = "same", .groups = 2}},
};
struct Numbers {
  const char* name;
  Draw x, w;
};
constexpr Numbers kNumbers[] = {
    {"moderate", uniform, uniform},
    {"x rarely huge", rarely_huge, uniform},
    {"weights rarely huge", uniform, rarely_huge},
    {"of any size", of_any_size, of_any_size},
    {"terms that cancel", around_a_million, uniform},
};

/// y, dx and dw of a convolution, for dy.
std::vector<Tensor> passes(const Case& c, const Values& x, const Values& w, const Values& dy, const Shape& y_shape,
                           tf::DType dtype = tf::float32) {
  const Tensor tx = make(x, c.x, dtype), tw = make(w, c.w, dtype), tdy = make(dy, y_shape, dtype);
  tf::GradientTape tape({.persistent = true});
  tape.watch(tx), tape.watch(tw);
  const Tensor y = tf::conv2d(tx, tw, c.options), loss = tf::sum(y * tdy);
  return {y, tape.gradient(loss, tx), tape.gradient(loss, tw)};
}

/// The largest |got - sums| in units of 2^-24 `scale`.
double worst(const Tensor& got, const Sums& sums, const Values& scale) {
  const Values values = testing::doubles(got);
  REQUIRE(values.size() == scale.size());
  double most = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if (const double error = std::fabs(values[i] - sums.value[i]); !(error <= 0))
      most = std::max(most, std::isnan(error) ? kInf : error / (kUnit * scale[i]));
  return most;
}

}  // namespace

TEST_CASE("Winograd's error is bounded by the largest numbers that meet, not by the terms") {
  double by_largest[3] = {}, by_terms = 0;
  for (const Case& c : kTransformed)
    for (const Numbers& numbers : kNumbers) {
      INFO(numbers.name << ", x " << c.x);
      const Convolution conv(c.options, c.x, c.w);
      const Largest met{conv};
      const Values x = draw(c.x, numbers.x, 1), w = draw(c.w, numbers.w, 2), dy = draw(conv.y(), numbers.x, 3);
      const auto got = testing::in_both_modes([&] { return passes(c, x, w, dy, conv.y()); });
      const Sums sums[] = {{conv, Part::y, x, w}, {conv, Part::x, dy, w}, {conv, Part::w, x, dy}};
      const Values scales[] = {met.of_product(false, x, w), met.of_product(true, dy, w), met.of_weight(x, dy)};
      const auto channels = static_cast<double>(met.ins), outs = static_cast<double>(met.outs);
      const auto count = static_cast<double>(c.x[0] * ((conv.v.out + 1) / 2) * ((conv.h.out + 1) / 2));
      const double proven[] = {64 * (44 + channels / 32), 64 * (44 + outs / 32), 36 * (12 + count)};  // conv2d.h
      for (size_t i = 0; i < 3; ++i) {
        const double here = worst(got[i], sums[i], scales[i]);
        INFO("pass " << i);
        CHECK(here <= proven[i]);
        by_largest[i] = std::max(by_largest[i], here);
      }
      by_terms = std::max(by_terms, worst(got[0], sums[0], sums[0].magnitude));
    }
  // As measured, which is much less; and more than any bound by terms, or this was not Winograd's algorithm.
  CHECK(by_largest[0] < 16);
  CHECK(by_largest[1] < 16);
  CHECK(by_largest[2] < 64);
  CHECK(by_terms * kUnit > 1e-3);
}

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

/// How many elements are not what they should be: exactly the sum where the pixel is not among the terms; else within
/// float32's rounding of it, or not finite, as it is.
int64_t wrong(const Tensor& got, const Convolution& conv, Part into, const Values& image, const Values& there,
              const Values& w) {
  const Sums wanted(conv, into, image, w), meets(conv, into, there, w);
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

const std::vector<Case> kMasked = {
    {{1, 16, 8, 9}, {16, 16, 3, 3}, {.padding = 1}},
    {{1, 34, 8, 9}, {34, 17, 3, 3}, {.padding = "same", .groups = 2}},
    {{1, 16, 10, 10}, {40, 16, 3, 3}, {}},
    {{1, 8, 9, 16}, {16, 16, 3, 3}, {.padding = 1, .data_format = tf::DataFormat::nhwc}},
    {{1, 16, 17, 16}, {16, 16, 3, 3}, {.stride = 2, .padding = 1}},
    {{1, 16, 12, 13}, {16, 16, 3, 3}, {.padding = 2, .dilation = 2}},
    {{1, 9, 9, 6}, {4, 3, 3, 3}, {.stride = {1, 2}, .padding = 1, .groups = 2, .data_format = tf::DataFormat::nhwc}},
    {{2, 3, 9, 9}, {5, 3, 5, 4}, {.padding = 2}},
    {{1, 4, 9, 9}, {4, 1, 3, 3}, {.padding = 1, .groups = 4}},
};

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
  for (const Case& c : kMasked)
    for (const auto& [name, keeps] : kMasks)
      for (const double number : {1e7, kInf, kNaN})
        for (const tf::DType dtype : {tf::float32, tf::float64}) {
          if (dtype == tf::float64 && !std::isnan(number)) continue;
          INFO("x " << c.x << ", weight " << c.w << ", a mask that keeps " << name << ", " << number);
          const Convolution conv(c.options, c.x, c.w);
          const Values w = masked(c.w, keeps, [](int64_t, int64_t) { return true; });
          const auto [x, in_x] = with_pixel(draw(c.x, eighths, 1), number, c.x, conv.last());
          const auto [dy, in_dy] = with_pixel(draw(conv.y(), eighths, 3), number, conv.y(), conv.last());
          const auto got = testing::in_both_modes([&] {
            auto all = passes(c, x, w, dy, conv.y(), dtype);
            all.push_back(tf::conv2d_transpose(make(dy, conv.y(), dtype), make(w, c.w, dtype), transposed(conv)));
            const Tensor bias = tf::zeros({c.w[0]}, dtype);
            all.push_back(tf::conv2d(make(x, c.x, dtype), make(w, c.w, dtype), bias, c.options));
            return std::vector{all[0], all[1], all[3], all[4]};
          });
          CHECK(wrong(got[0], conv, Part::y, x, in_x, w) == 0);
          CHECK(wrong(got[1], conv, Part::x, dy, in_dy, w) == 0);
          CHECK(wrong(got[2], conv, Part::x, dy, in_dy, w) == 0);
          CHECK(wrong(got[3], conv, Part::y, x, in_x, w) == 0);
        }
}

TEST_CASE("Nor do masks of some channels let large numbers through") {
  for (const Case& c : kMasked)
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
  for (const Case& c : kMasked)
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
  const Case& c = kMasked[1];
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

TEST_CASE("Under the pedantic mode a float32 convolution's error is bounded by its terms") {
  const Mode pedantic(tf::MathMode::pedantic);
  std::vector<Case> cases = kTransformed;
  cases.insert(cases.end(), kMasked.begin(), kMasked.end());
  for (const Case& c : cases)
    for (const Numbers& numbers : kNumbers) {
      INFO(numbers.name << ", x " << c.x << ", weight " << c.w);
      const Convolution conv(c.options, c.x, c.w);
      const Values x = draw(c.x, numbers.x, 1), w = draw(c.w, numbers.w, 2), dy = draw(conv.y(), numbers.x, 3);
      const auto got = testing::in_both_modes([&] { return passes(c, x, w, dy, conv.y()); });
      const Sums sums[] = {{conv, Part::y, x, w}, {conv, Part::x, dy, w}, {conv, Part::w, x, dy}};
      for (size_t i = 0; i < 3; ++i) {
        INFO("pass " << i);
        Values scale = sums[i].magnitude;
        for (size_t k = 0; k < scale.size(); ++k) scale[k] *= static_cast<double>(sums[i].terms[k]);
        CHECK(worst(got[i], sums[i], scale) <= 1);
      }
    }
}

TEST_CASE("A math mode holds from the next op and plan on") {
  const Case& c = kTransformed[0];
  const Convolution conv(c.options, c.x, c.w);
  const Values x = draw(c.x, rarely_huge, 1), w = draw(c.w, uniform, 2), dy = draw(conv.y(), rarely_huge, 3);
  const auto eagerly = [&] { return tf::eagerly([&] { return passes(c, x, w, dy, conv.y()); }); };
  const auto strict = eagerly();
  CHECK(tf::math_mode() == tf::MathMode::strict);
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const auto symbols = passes(c, x, w, dy, conv.y());
  for (const bool optimize : {false, true}) {
    const tf::Session session(graph, {.optimize = optimize});
    const auto call = session.make_callable(symbols[0], {});
    for (const tf::MathMode mode : {tf::MathMode::strict, tf::MathMode::pedantic, tf::MathMode::tf32,
                                    tf::MathMode::pedantic, tf::MathMode::strict}) {
      const Mode now(mode);
      const bool differs = mode == tf::MathMode::pedantic;
      const auto wanted = eagerly(), got = session.run(symbols);
      for (size_t i = 0; i < 3; ++i) {
        CHECK(testing::same_bits(got[i], wanted[i]));
        CHECK(testing::same_bits(got[i], strict[i]) != differs);  // on the CPU TF32 is strict
      }
      CHECK(testing::same_bits(call(), wanted[0]));
    }
  }
}
