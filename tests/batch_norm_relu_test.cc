// Batch normalisation takes over the relu that follows it, in a session that optimises, and changes no bit by it.
#include <bit>
#include <cmath>
#include <iostream>
#include <limits>
#include <random>
#include <sstream>

#include <twofold/kernels/batch_norm/flat.h>
#include <twofold/twofold.h>

#include "both_modes.h"
#include "fresh_graph.h"
#include "gpu.h"

namespace tf = twofold;
using tf::Tensor;

namespace {

constexpr int64_t kChannels = 10;
constexpr float kDenormal = 1e-45f, kNan = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

/// Numbers, of which channel 6 has a NaN and channel 7 an infinity, and channels 8 and 9 one number each.
Tensor numbers(const tf::Shape& shape, int axis) {
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  std::vector<float> v(static_cast<size_t>(shape.num_elements()));
  for (size_t i = 0; i < v.size(); ++i) {
    const int64_t channel = static_cast<int64_t>(i) / inner % kChannels;
    v[i] = channel < 8 ? 0.37f * static_cast<float>(i % 29) - 3.1f : 0.7f;
    if (channel == 6 && i < static_cast<size_t>(inner * kChannels)) v[i] = kNan;
    if (channel == 7 && i < static_cast<size_t>(inner * kChannels)) v[i] = -kInfinity;
  }
  return tf::eagerly([&] { return tf::reshape(tf::tensor(v), shape); });
}

/// relu(batch_norm(x)) and a loss. Of the channels' y one is 0 and -0, one rounds to denormal numbers and both zeros,
/// and the last two are one negative and one positive number.
struct RectifiedNorm {
  explicit RectifiedNorm(const tf::Shape& shape, int axis = 1, tf::DType dtype = tf::float32,
                         const std::string& on = "/cpu:0")
      : device(on),
        fed(tf::eagerly([&] { return tf::cast(numbers(shape, axis), dtype); })),
        x(tf::placeholder(dtype, shape)),
        norm(tf::batch_norm(
            x, tf::cast(tf::constant({1.f, -0.5f, 0.f, 2.f, kDenormal, -3.f, 1.f, -1.f, 1.f, 1.f}), dtype),
            tf::cast(tf::constant({0.1f, 0.2f, -0.f, 0.f, 0.f, -1.f, 0.f, 0.f, -1.f, 1.f}), dtype), {.axis = axis})),
        y(tf::relu(norm.y)),
        loss(tf::sum(y * tf::sin(x))) {}

  /// What the pass changes, once the fetches are checked to be the same to the bit without it and without any.
  int64_t changes(const std::vector<Tensor>& fetches, std::vector<std::string> disabled = {}) const {
    const auto results = [&](bool optimize, std::vector<std::string> passes) {
      tf::Session session({.optimize = optimize, .disabled_passes = std::move(passes), .device = device});
      return session.run(fetches, {{x, fed}});
    };
    const auto plain = results(false, {}), without = results(true, {"batch_norm"});
    tf::Ledger ledger;
    const auto recording = ledger.record();
    const auto fused = results(true, std::move(disabled));
    for (size_t i = 0; i < fetches.size(); ++i) {
      INFO("fetch " << i);
      CHECK(testing::same_bits(plain[i], without[i]));
      CHECK(testing::same_bits(plain[i], fused[i]));
    }
    return ledger.passes().at("batch_norm");
  }

  std::string device;
  Tensor fed, x;
  tf::BatchNormResult norm;
  Tensor y, loss;
};

void check_both_ways(const std::string& device) {
  struct Layout {
    tf::Shape shape;
    int axis;
  };
  for (const Layout& l : {Layout{{6, kChannels, 5, 7}, 1}, Layout{{9, kChannels}, 1}, Layout{{40, kChannels, 3, 3}, 1},
                          Layout{{5, 6, 7, kChannels}, 3}, Layout{{2, kChannels, 100, 100}, 1}})
    for (const tf::DType dtype : {tf::float32, tf::float64}) {
      INFO(device << ' ' << l.shape.str() << ' ' << tf::name_of(dtype));
      const FreshGraph graph;
      const RectifiedNorm n(l.shape, l.axis, dtype, device);
      CHECK(n.changes({n.y}) == 1);
      CHECK(n.changes({n.y, n.norm.mean, n.norm.variance}) == 1);
      const Tensor dx = tf::gradients(n.loss, {n.x})[0];
      CHECK(n.changes({n.y, n.loss, dx}) == 2);
      CHECK(n.changes({dx}, {"cse", "dce", "fuse"}) == 2);
    }
}

/// `flat_of` against y itself, at numbers around the ends of what it says.
template <class T>
void check_flat(double centre, double a, double b) {
  const tf::Flat<T> flat = tf::flat_of<T>(centre, a, b);
  constexpr T kMax = std::numeric_limits<T>::max();
  std::vector<T> xs = {0, -T{0}, 1, -1, kMax, -kMax, std::numeric_limits<T>::denorm_min(), static_cast<T>(centre)};
  for (const T end : {flat.lo, flat.hi, static_cast<T>(centre - b / a)}) {
    T up = end, down = end;
    for (int i = 0; i < 4; ++i) {
      xs.push_back(up), xs.push_back(down);
      up = std::nextafter(up, kMax), down = std::nextafter(down, -kMax);
    }
  }
  for (const T x : xs) {
    if (!std::isfinite(x)) continue;
    INFO("x " << x << ", centre " << centre << ", a " << a << ", b " << b);
    if (flat.holds(x) != (tf::normalised(x, centre, a, b) <= 0)) FAIL("flat from " << flat.lo << " to " << flat.hi);
  }
}

}  // namespace

TEST_CASE("passes: batch normalisation takes over a relu, forward and backward") { check_both_ways("/cpu:0"); }

TEST_CASE("gpu: batch normalisation takes over a relu, forward and backward") {
  if (testing::lacks_gpu()) return;
  check_both_ways("/gpu:0");
}

TEST_CASE("passes: a relu is taken over only where nobody else reads what it rectifies") {
  const FreshGraph graph;
  const RectifiedNorm n({6, kChannels, 5, 7});
  CHECK(n.changes({n.y, n.norm.y}) == 0);
  CHECK(n.changes({n.y + n.norm.y}) == 0);
  CHECK(n.changes({n.y, tf::relu(n.norm.y * 2.f)}) == 0);
  CHECK(n.changes({tf::relu(n.norm.mean)}) == 0);
  CHECK(n.changes({tf::relu(n.y)}) == 1);
  CHECK(n.changes({n.y * n.y, n.y + 1.f}) == 1);  // of the rectified there may be many readers
  std::ostringstream printed;
  std::streambuf* const usual = std::cout.rdbuf(printed.rdbuf());
  CHECK(n.changes({tf::relu(tf::print(n.norm.y))}) == 0);
  std::cout.rdbuf(usual);
  const auto grads = tf::gradients(n.loss, {n.x, n.norm.y});  // the second is what ReluGrad makes
  CHECK(n.changes({grads[0], grads[1]}) == 1);
}

TEST_CASE("passes: a relu's gradient is taken over only beside a normalisation of the same x") {
  const FreshGraph graph;
  const RectifiedNorm n({6, kChannels, kChannels, 7});
  const tf::BatchNormResult other = tf::batch_norm(n.x, tf::ones({kChannels}), tf::zeros({kChannels}));
  const Tensor z = tf::relu(other.y);
  CHECK(n.changes({tf::gradients(tf::sum(n.y * tf::sin(n.x)) + tf::sum(z * n.x), {n.x})[0]}) == 4);
  const Tensor by_other = tf::relu_grad(tf::sin(n.x), z);
  CHECK(n.changes({n.y, z, tf::gradients({n.norm.y}, {n.x}, {by_other})[0]}) == 3);
  const Tensor twice = tf::relu(tf::batch_norm(n.x * 2.f, other.mean, other.mean).y);
  const Tensor by_another = tf::relu_grad(tf::sin(n.x), twice);
  CHECK(n.changes({n.y, twice, tf::gradients({n.norm.y}, {n.x}, {by_another})[0]}) == 2);
  const Tensor across = tf::relu(tf::batch_norm(n.x, other.mean, other.mean, {.axis = 2}).y);
  const Tensor by_axis = tf::relu_grad(tf::sin(n.x), across);
  CHECK(n.changes({n.y, across, tf::gradients({n.norm.y}, {n.x}, {by_axis})[0]}) == 2);
}

TEST_CASE("passes: a relu is taken over through what hands its input on") {
  for (const std::string off : {"fold", "cse"}) {
    const FreshGraph graph;
    const RectifiedNorm n({6, kChannels, 5, 7});
    const Tensor y = tf::with_effects(n.norm.y, {tf::assert_that(n.norm.mean[0] < 100.f)});
    const Tensor rectified = tf::relu(tf::identity(y));
    CHECK(n.changes({rectified * 3.f}, {off}) == 1);
    CHECK(n.changes({rectified, y}, {off}) == 0);
    CHECK(n.changes({rectified, tf::gradients(tf::sum(rectified * n.x), {n.x})[0]}) == 2);
  }
}

TEST_CASE("Where a rectified y is flat is told exactly") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> mantissa(-2, 2);
  const auto any = [&](int exponents) {
    return std::ldexp(mantissa(random), static_cast<int>(random() % static_cast<uint64_t>(2 * exponents)) - exponents);
  };
  for (int i = 0; i < 20000; ++i) {
    const int exponents = i % 4 == 0 ? 140 : i % 4 == 1 ? 20 : 3;
    const double centre = any(exponents), a = any(exponents), b = any(exponents);
    check_flat<float>(centre, a, b), check_flat<double>(centre, a, b);
    check_flat<float>(centre, a, centre * a), check_flat<double>(centre, a, centre * a);  // 0 is near the end
  }
  for (const double centre : {0., -0., 1., -3e38})
    for (const double a : {0., -0., 1., -1., 1e-300, -1e300, std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
      for (const double b : {0., -0., 1., -1., 1e-320, -1e308, std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
        check_flat<float>(centre, a, b), check_flat<double>(centre, a, b);
}
