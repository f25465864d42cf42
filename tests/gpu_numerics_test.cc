// The switches between exactness and speed.
#include <cmath>

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
    tf::math_mode(tf::MathMode::strict);
    tf::deterministic(true);
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
  tf::math_mode(tf::MathMode::tf32);
  CHECK(tf::math_mode() == tf::MathMode::tf32);
  const auto fast = compute(), again = compute();
  tf::math_mode(tf::MathMode::strict);
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
      tf::math_mode(tf::MathMode::tf32);
      const auto fast = convolve(x, w, c.padding);
      tf::math_mode(tf::MathMode::strict);
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
      tf::math_mode(mode);
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
  tf::deterministic(false);
  CHECK_FALSE(tf::deterministic());
  const auto loose = convolve(x, w);
  for (size_t i = 0; i < strict.size(); ++i) {
    INFO("result " << i);
    CHECK(testing::same_bits(strict[i], again[i]));
    CHECK(distance(loose[i], strict[i]) < 1e-4);
  }
}
