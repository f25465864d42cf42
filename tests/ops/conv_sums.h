// Convolutions, their three passes, and the exact sums that these are held to.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <twofold/twofold.h>

#include "convolution.h"

namespace op_test {

namespace tf = twofold;
using tf::Tensor;

inline constexpr double kUnit = 0x1p-24;  ///< float32's unit roundoff
inline constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();

using Values = std::vector<double>;
using Draw = double (*)(std::mt19937& bits);

inline Values draw(const Shape& shape, Draw f, uint32_t seed) {
  std::mt19937 bits(seed);
  Values v(static_cast<size_t>(shape.num_elements()));
  for (double& e : v) e = static_cast<float>(f(bits));
  return v;
}
inline double uniform(std::mt19937& bits) { return static_cast<double>(bits()) * 0x1p-31 - 1; }
/// Eighths in [-1, 1]: sums of a few thousand products are exact in float32.
inline double eighths(std::mt19937& bits) { return static_cast<double>(bits() % 17) / 8 - 1; }

inline Tensor make(const Values& v, const Shape& shape, tf::DType dtype = tf::float32) {
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

struct Case {
  Shape x, w;
  tf::Conv2dOptions options;
};
/// Layouts, groups, strides, dilation: the ways that kernels go by.
inline const std::vector<Case> kVaried = {
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

/// y, dx and dw of a convolution, for dy.
inline std::vector<Tensor> passes(const Case& c, const Values& x, const Values& w, const Values& dy,
                                  const Shape& y_shape, tf::DType dtype = tf::float32) {
  const Tensor tx = make(x, c.x, dtype), tw = make(w, c.w, dtype), tdy = make(dy, y_shape, dtype);
  tf::GradientTape tape({.persistent = true});
  tape.watch(tx), tape.watch(tw);
  const Tensor y = tf::conv2d(tx, tw, c.options), loss = tf::sum(y * tdy);
  return {y, tape.gradient(loss, tx), tape.gradient(loss, tw)};
}

}  // namespace op_test
