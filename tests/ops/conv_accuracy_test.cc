// How far float32 convolutions are from their exact sums, and what a math mode changes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include <twofold/lib/op/numerics.h>
#include <twofold/twofold.h>

#include "../both_modes.h"
#include "conv_sums.h"

namespace tf = twofold;
using namespace op_test;
using tf::Shape;
using tf::Tensor;

namespace {

struct Mode {
  explicit Mode(tf::MathMode mode) { tf::set_math_mode(mode); }
  ~Mode() { tf::set_math_mode(tf::MathMode::strict); }
};

double rarely_huge(std::mt19937& bits) { return uniform(bits) * (bits() % 12 == 0 ? 1e7 : 1); }
double of_any_size(std::mt19937& bits) { return std::ldexp(uniform(bits), static_cast<int>(bits() % 40) - 20); }
double around_a_million(std::mt19937& bits) { return 1e6 + uniform(bits); }

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

TEST_CASE("Under the pedantic mode a float32 convolution's error is bounded by its terms") {
  const Mode pedantic(tf::MathMode::pedantic);
  std::vector<Case> cases = kTransformed;
  cases.insert(cases.end(), kVaried.begin(), kVaried.end());
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
