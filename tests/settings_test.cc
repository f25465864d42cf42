// Switches of arithmetic that another thread throws while something is being planned or made ready.
#include <cmath>
#include <utility>
#include <vector>

#include <twofold/lib/op/launch.h>
#include <twofold/twofold.h>

#include "catch.h"
#include "same_bits.h"

namespace tf = twofold;
using tf::MathMode;
using tf::Tensor;

namespace {

/// Has the next shape rule or hash that is asked for throw the switch: in the middle of what it is part of.
bool g_armed = false;
void spring() {
  if (std::exchange(g_armed, false)) tf::set_math_mode(MathMode::pedantic);
}

const tf::OpDef& conv2d_op() { return *tf::find_op("Conv2D"); }

/// A convolution with a trap in it.
const tf::OpDef& trapped_op() {
  static const tf::OpDef op = [] {
    tf::OpDef o = conv2d_op();
    o.infer = [](tf::InferContext& c) {
      spring();
      conv2d_op().infer(c);
    };
    return o;
  }();
  return op;
}

/// Strict arithmetic does it by Winograd's algorithm, and pedantic arithmetic does not: other bits.
constexpr int64_t kChannels = 16;
const tf::Conv2dOptions kOptions = {.padding = 1};
Tensor numbers(const tf::Shape& shape) {
  std::vector<float> v(static_cast<size_t>(shape.num_elements()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(std::sin(0.7 * static_cast<double>(i * i % 1009)));
  return tf::tensor(v, shape);
}
Tensor image(int64_t height) { return numbers({1, kChannels, height, 8}); }
Tensor weight() { return numbers({kChannels, kChannels, 3, 3}); }
Tensor trapped(const Tensor& x, const Tensor& w) {
  return tf::apply(trapped_op(), {&x, &w}, kOptions, std::source_location::current());
}

/// What eager mode computes for the image of this height by `mode`.
Tensor wanted(int64_t height, MathMode mode) {
  tf::set_math_mode(mode);
  const Tensor y = tf::eagerly([&] { return tf::conv2d(image(height), weight(), kOptions); });
  tf::set_math_mode(MathMode::strict);
  return y;
}

/// Holds `f`, which gives that image's result, to the mode that it begins in: strict, with the switch thrown in the
/// middle of it; pedantic; strict again.
template <class F>
void check_strict(int64_t height, const F& f) {
  const Tensor strict = wanted(height, MathMode::strict), pedantic = wanted(height, MathMode::pedantic);
  REQUIRE_FALSE(testing::same_bits(strict, pedantic));
  g_armed = true;
  CHECK(testing::same_bits(f(), strict));
  CHECK_FALSE(g_armed);
  CHECK(tf::math_mode() == MathMode::pedantic);
  CHECK(testing::same_bits(f(), pedantic));
  tf::set_math_mode(MathMode::strict);
  CHECK(testing::same_bits(f(), strict));
}

/// Attributes with a trap in their hash.
tf::AttrsView trapped_options() {
  static const tf::AttrsType type = [] {
    tf::AttrsType t = tf::internal::kAttrsType<tf::Conv2dOptions>;
    t.hash = [](const void* attrs) {
      spring();
      return tf::internal::kAttrsType<tf::Conv2dOptions>.hash(attrs);
    };
    return t;
  }();
  return {&type, &kOptions};
}

}  // namespace

TEST_CASE("A switch thrown while a session plans leaves it no plan of another mode") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {1, kChannels, -1, 8});
  const Tensor w = tf::placeholder(tf::float32, {kChannels, kChannels, 3, 3});
  const Tensor y = trapped(x, w);
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    check_strict(8, [&] { return session.run(y, {{x, image(8)}, {w, weight()}}); });
    const auto call = session.make_callable(y, {x, w});
    check_strict(9, [&] { return call(image(9), weight()); });
  }
}

TEST_CASE("A switch thrown while a run plans a body leaves none of another mode") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor x = tf::placeholder(tf::float32, {1, kChannels, -1, 8});
  const Tensor w = tf::placeholder(tf::float32, {kChannels, kChannels, 3, 3});
  const Tensor y = tf::cond(
      tf::sum(x) < 1e30f, [&] { return trapped(x, w); }, [&] { return x; });
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    check_strict(10, [&] { return session.run(y, {{x, image(10)}, {w, weight()}}); });
  }
}

TEST_CASE("A switch thrown while constants are folded leaves none of another mode") {
  const tf::Graph graph;
  const auto scope = graph.as_default();
  const Tensor y = trapped(tf::constant(image(11)), tf::constant(weight()));
  const tf::Session session;
  check_strict(11, [&] { return session.run(y); });
}

TEST_CASE("A switch thrown while a kernel is made ready leaves none of another mode in the process's cache") {
  const auto ready = [](tf::AttrsView attrs) {
    const tf::TensorSpec in[] = {{tf::float32, {1, kChannels, 12, 8}}, {tf::float32, {kChannels, kChannels, 3, 3}}};
    const tf::TensorSpec out[] = {{tf::float32, {1, kChannels, 12, 8}}};
    return tf::prepare(conv2d_op(), attrs, in, out, {}, tf::internal::numerics_word());
  };
  const size_t strict = ready(kOptions)->workspace;
  tf::set_math_mode(MathMode::pedantic);
  const size_t pedantic = ready(kOptions)->workspace;
  tf::set_math_mode(MathMode::strict);
  REQUIRE(strict != pedantic);
  g_armed = true;
  CHECK(ready(trapped_options())->workspace == strict);
  CHECK(tf::math_mode() == MathMode::pedantic);
  CHECK(ready(trapped_options())->workspace == pedantic);
  tf::set_math_mode(MathMode::strict);
  CHECK(ready(trapped_options())->workspace == strict);
}
