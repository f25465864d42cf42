// The switches between exactness and speed.
#include <algorithm>
#include <cmath>
#include <vector>

#include <twofold/lib/op/numerics.h>
#include <twofold/twofold.h>

#include "both_modes.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

/// Both switches as they are at first, again at its end.
struct Switches {
  ~Switches() {
    tf::set_math_mode(tf::MathMode::strict);
    tf::set_deterministic(true);
  }
};

Tensor random(const tf::Shape& shape, int64_t seed, tf::DType dtype = tf::float32) {
  return tf::eagerly([&] { return tf::random_normal(shape, {.dtype = dtype, .seed = seed}).to("/gpu:0"); });
}

/// |a - b| / |b|, by norms.
double distance(const Tensor& a, const Tensor& b) {
  const auto x = testing::doubles(a), y = testing::doubles(b);
  REQUIRE(x.size() == y.size());
  double apart = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) apart += (x[i] - y[i]) * (x[i] - y[i]), size += y[i] * y[i];
  return std::sqrt(apart / size);
}

/// A convolution, and its gradients by image and filter.
std::vector<Tensor> convolve(const Tensor& x, const Tensor& w, int64_t padding = 1) {
  tf::GradientTape tape({.persistent = true});
  tape.watch(x), tape.watch(w);
  const Tensor y = tf::conv2d(x, w, {.padding = padding});
  return {y, tape.gradient(y * y, x), tape.gradient(y * y, w)};
}

}  // namespace

TEST_CASE("gpu: float32 products are strict at first and may round to TF32 when asked") {
  if (testing::lacks_gpu()) return;
  CHECK(tf::math_mode() == tf::MathMode::strict);
  CHECK(tf::deterministic());
  const Switches switches;
  const tf::EagerMode eager;
  const Tensor a = random({256, 300}, 1), b = random({300, 512}, 2), x = random({8, 16, 14, 14}, 3),
               w = random({32, 16, 3, 3}, 4), a64 = random({65, 70}, 5, tf::float64);
  const auto compute = [&] {
    std::vector<Tensor> all = convolve(x, w);
    all.push_back(tf::matmul(a, b));
    all.push_back(tf::matmul(a64, a64, {.transpose_b = true}));
    return all;
  };
  const auto strict = compute();
  tf::set_math_mode(tf::MathMode::tf32);
  CHECK(tf::math_mode() == tf::MathMode::tf32);
  const auto fast = compute(), again = compute();
  tf::set_math_mode(tf::MathMode::strict);
  const auto strict_again = compute();
  for (size_t i = 0; i < strict.size(); ++i) {
    INFO("result " << i);
    CHECK(distance(fast[i], strict[i]) < 2e-2);
    CHECK(testing::same_bits(fast[i], again[i]));
    CHECK(testing::same_bits(strict[i], strict_again[i]));
  }
  CHECK_FALSE(testing::same_bits(fast[3], strict[3]));
  CHECK(testing::same_bits(fast[4], strict[4]));  // float64 is as it was

  // Strict means float32's own accuracy, which TF32's 10 bits are far from.
  const Tensor exact = tf::matmul(tf::cast(a, tf::float64), tf::cast(b, tf::float64));
  CHECK(distance(strict[3], exact) < 1e-6);
  CHECK(distance(fast[3], exact) > 1e-5);
}

TEST_CASE("gpu: 3x3 convolutions of any shape are as exact as the switch says") {
  if (testing::lacks_gpu()) return;
  struct WithoutTiming {  // which might find cuDNN faster than our own kernels
    WithoutTiming() { ::setenv("TWOFOLD_AUTOTUNE", "0", 1); }
    ~WithoutTiming() { ::unsetenv("TWOFOLD_AUTOTUNE"); }
  };
  const WithoutTiming without_timing;
  const Switches switches;
  const tf::EagerMode eager;
  struct Case {
    tf::Shape image;
    int64_t outputs, padding;
  };
  const Case cases[] = {
      {{1, 5, 5}, 1, 0},   {{3, 7, 5}, 4, 1}, {{8, 4, 30}, 9, 1},    {{5, 3, 131}, 17, 1}, {{9, 1, 64}, 33, 1},
      {{16, 9, 9}, 16, 2}, {{4, 2, 2}, 8, 1}, {{17, 28, 28}, 70, 0}, {{100, 6, 61}, 3, 3}, {{24, 13, 12}, 65, 1},
  };
  for (const Case& c : cases) {
    const Tensor w = random({c.outputs, c.image[0], 3, 3}, 2);
    const int64_t rows = c.image[1] + 2 * c.padding - 2, columns = c.image[2] + 2 * c.padding - 2;
    const int64_t products = w.num_elements() * rows * columns, many = 1 << 22;
    for (const int64_t images : {int64_t{1}, many / products + 1}) {
      const bool large = images * products >= many;
      const Tensor x = random({images, c.image[0], c.image[1], c.image[2]}, 1);
      const auto exact = convolve(tf::cast(x, tf::float64), tf::cast(w, tf::float64), c.padding);
      const auto strict = convolve(x, w, c.padding);
      tf::set_math_mode(tf::MathMode::tf32);
      const auto fast = convolve(x, w, c.padding);
      tf::set_math_mode(tf::MathMode::strict);
      for (size_t i = 0; i < exact.size(); ++i) {
        INFO("x " << x.shape() << ", " << c.outputs << " channels of y, result " << i);
        CHECK(distance(strict[i], exact[i]) < 2e-6);
        CHECK(distance(fast[i], exact[i]) < 2e-3);
      }
      if (large)
        CHECK(distance(fast[0], exact[0]) > 1e-5);
      else
        CHECK(testing::same_bits(fast[0], strict[0]));
    }
  }
}

TEST_CASE("gpu: sessions plan anew when a switch is thrown, captured or not, and modes agree") {
  if (testing::lacks_gpu()) return;
  const Switches switches;
  FreshGraph fresh;
  const Tensor left = random({128, 200}, 1), right = random({200, 64}, 2);
  const Tensor a = tf::placeholder(tf::float32, {128, 200}), y = tf::matmul(a, right);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize, .device = "/gpu:0"});
    const auto call = session.make_callable(y, {a});
    for (const tf::MathMode mode : {tf::MathMode::strict, tf::MathMode::tf32, tf::MathMode::strict}) {
      tf::set_math_mode(mode);
      const Tensor wanted = tf::eagerly([&] { return tf::matmul(left, right); });
      for (int run = 0; run < 3; ++run) {
        CHECK(testing::same_bits(session.run(y, {{a, left}}), wanted));
        CHECK(testing::same_bits(call(left), wanted));
      }
    }
    CHECK(session.num_plans() == 2);
  }
}

TEST_CASE("gpu: without determinism results are as good") {
  if (testing::lacks_gpu()) return;
  const Switches switches;
  const tf::EagerMode eager;
  const Tensor x = random({16, 8, 28, 28}, 3), w = random({16, 8, 3, 3}, 4);
  const auto strict = convolve(x, w);
  const auto again = convolve(x, w);
  tf::set_deterministic(false);
  CHECK_FALSE(tf::deterministic());
  const auto loose = convolve(x, w);
  for (size_t i = 0; i < strict.size(); ++i) {
    INFO("result " << i);
    CHECK(testing::same_bits(strict[i], again[i]));
    CHECK(distance(loose[i], strict[i]) < 1e-4);
  }
}

namespace {

/// Of NCHW or NHWC images, by square kernels that keep the size.
struct Masked {
  tf::Shape x;
  int64_t outputs, kernel, groups;
  bool last;  ///< NHWC

  tf::Conv2dOptions options() const {
    return {.padding = kernel / 2, .groups = groups, .data_format = last ? tf::DataFormat::nhwc : tf::DataFormat::nchw};
  }
  int64_t height() const { return x[last ? 1 : 2]; }
  int64_t width() const { return x[last ? 2 : 3]; }
  tf::Shape weight() const { return {outputs, x[last ? 3 : 1] / groups, kernel, kernel}; }
  tf::Shape y() const {
    return last ? tf::Shape{x[0], height(), width(), outputs} : tf::Shape{x[0], outputs, height(), width()};
  }
  /// (1, 1, h, w) or (1, h, w, 1): 1 in the middle.
  Tensor middle() const {
    std::vector<float> one(static_cast<size_t>(height() * width()));
    one[static_cast<size_t>(height() / 2 * width() + width() / 2)] = 1;
    return tf::tensor(one, last ? tf::Shape{1, height(), width(), 1} : tf::Shape{1, 1, height(), width()}).to("/gpu:0");
  }
};
/// Small and large ones, for kernels of the library and for others.
const Masked kMasked[] = {
    {{8, 32, 32, 32}, 64, 3, 1, false}, {{8, 32, 32, 32}, 64, 3, 1, true},  {{16, 128, 28, 28}, 128, 3, 1, false},
    {{8, 32, 32, 32}, 64, 3, 2, false}, {{8, 32, 32, 32}, 32, 5, 1, false}, {{2, 16, 9, 9}, 17, 3, 1, false},
};

/// y, dx and dw, for dy.
std::vector<Tensor> passes(const Masked& m, const Tensor& x, const Tensor& w, const Tensor& dy) {
  tf::GradientTape tape({.persistent = true});
  tape.watch(x), tape.watch(w);
  const Tensor y = tf::conv2d(x, w, m.options()), loss = tf::sum(y * dy);
  return {y, tape.gradient(loss, x), tape.gradient(loss, w)};
}

}  // namespace

TEST_CASE("gpu: what a mask covers leaves no trace, under any math mode") {
  if (testing::lacks_gpu()) return;
  const Switches switches;
  const tf::EagerMode eager;
  for (const Masked& m : kMasked) {
    std::vector<float> before(static_cast<size_t>(m.kernel * m.kernel));
    std::fill_n(before.begin(), before.size() / 2, 1.f);
    const Tensor mask = tf::tensor(before, {1, 1, m.kernel, m.kernel}).to("/gpu:0"), w = random(m.weight(), 2) * mask;
    const Tensor pixel = m.middle(), other = 1.f - pixel;
    const Tensor x = random(m.x, 1) * other, dy = random(m.y(), 3) * other, huge = pixel * 1e7f;
    // Which elements have the pixel among their terms: found with ones, in one channel.
    const Masked one{m.last ? tf::Shape{1, m.height(), m.width(), 1} : tf::Shape{1, 1, m.height(), m.width()}, 1,
                     m.kernel, 1, m.last};
    const auto meets = passes(one, pixel, mask, pixel);
    for (const tf::MathMode mode : {tf::MathMode::strict, tf::MathMode::tf32, tf::MathMode::pedantic}) {
      tf::set_math_mode(mode);
      const auto wanted = passes(m, x, w, dy), got = passes(m, x + huge, w, dy + huge);
      for (size_t i = 0; i < 2; ++i) {
        INFO("x " << m.x << ", " << m.outputs << " channels of y, result " << i << ", mode " << static_cast<int>(mode));
        const Tensor without = tf::equal(meets[i], 0.f);
        CHECK(testing::same_bits(tf::where(without, got[i], 0.f), tf::where(without, wanted[i], 0.f)));
      }
    }
  }
}

TEST_CASE("gpu: a float32 convolution's error is bounded by its terms, in the strict and the pedantic mode") {
  if (testing::lacks_gpu()) return;
  const Switches switches;
  const tf::EagerMode eager;
  for (const Masked& m : kMasked) {
    const auto rarely_huge = [](const tf::Shape& shape, int64_t seed) {
      const Tensor rare = tf::cast(random(shape, seed + 10) > 1.5f, tf::float32);
      return random(shape, seed) * (rare * 1e7f + 1.f);
    };
    const Tensor x = rarely_huge(m.x, 1), w = random(m.weight(), 2), dy = rarely_huge(m.y(), 3);
    const auto wide = [](const Tensor& t) { return tf::cast(t, tf::float64); };
    const auto exact = passes(m, wide(x), wide(w), wide(dy));
    const auto magnitudes = passes(m, tf::abs(wide(x)), tf::abs(wide(w)), tf::abs(wide(dy)));
    const int64_t taps = m.kernel * m.kernel;
    const int64_t terms[] = {m.weight()[1] * taps, m.outputs / m.groups * taps, m.x[0] * m.height() * m.width()};
    for (const tf::MathMode mode : {tf::MathMode::strict, tf::MathMode::pedantic}) {
      tf::set_math_mode(mode);
      const auto got = passes(m, x, w, dy);
      for (size_t i = 0; i < 3; ++i) {
        INFO("x " << m.x << ", " << m.outputs << " channels of y, result " << i << ", mode " << static_cast<int>(mode));
        const Tensor error = tf::abs(wide(got[i]) - exact[i]) / magnitudes[i];
        CHECK(tf::max(error).item<double>() <= 0x1p-24 * static_cast<double>(terms[i]));
      }
    }
  }
}
