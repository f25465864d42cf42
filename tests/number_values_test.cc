// Numbers at the ends of their dtypes, given to functions as options, bounds, limits and literals in lists.
#include <twofold/twofold.h>

#include <cmath>
#include <cstdint>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Shape;
using tf::Tensor;
using List = std::vector<double>;
using Longs = std::vector<int64_t>;

namespace {

constexpr int64_t kLeast = INT64_MIN, kMost = INT64_MAX;
constexpr int64_t kOdd = 9007199254740993;  // 2^53 + 1, which no double is

Longs longs(const Tensor& t) {
  const auto data = t.data<int64_t>();
  return {data.begin(), data.end()};
}

Tensor bytes(std::vector<uint8_t> v) { return tf::constant(v); }

}  // namespace

TEST_CASE("range of floating numbers counts in float64 and stops short of its limit") {
  const auto all = in_both_modes([] {
    return std::vector{tf::range(0., 1., 0.01),
                       tf::range(0., 0.5, 0.1, {.dtype = tf::float64}),
                       tf::range(1., 1.3, 0.1, {.dtype = tf::float64}),
                       tf::range(1., -1., -0.5),
                       tf::range(0., -INFINITY, 1.),
                       tf::range(0., 1e39, 1e38),
                       tf::range(-1e308, 1e308, 1e308, {.dtype = tf::float64}),
                       tf::range(0, 3, 1, {.dtype = tf::float64})};
  });
  CHECK(all[0].shape() == Shape{100});
  for (int i = 0; i < 100; ++i) CHECK(all[0].data<float>()[static_cast<size_t>(i)] == static_cast<float>(i * 0.01));
  // numpy.arange(5) * 0.1
  CHECK(doubles(all[1]) == List{0, 0.1, 0.2, 0.30000000000000004, 0.4});
  CHECK(doubles(all[2]) == List{1, 1.1, 1.2});  // (1.3 - 1) / 0.1 is 3.0000000000000004
  CHECK(doubles(all[3]) == List{1, 0.5, 0, -0.5});
  CHECK(all[4].shape() == Shape{0});
  CHECK(all[5].shape() == Shape{4});  // 4e38 is beyond float32, as the limit is
  CHECK(doubles(all[6]) == List{-1e308, 0});
  CHECK(doubles(all[7]) == List{0, 1, 2});
}

TEST_CASE("range by a part of its limit has as many elements as parts, or one that is short of the limit still") {
  for (const double limit : {0.3, 1., 3.7, 123.456, 1e-5, 7e8})
    for (int parts = 1; parts <= 300; ++parts) {
      const Tensor narrow = tf::eagerly([&] { return tf::range(0., limit, limit / parts); });
      const Tensor wide = tf::eagerly([&] { return tf::range(0., limit, limit / parts, {.dtype = tf::float64}); });
      INFO("limit " << limit << ", parts " << parts);
      CHECK(narrow.shape() == Shape{parts});
      CHECK(narrow.data<float>().back() < static_cast<float>(limit));
      const int64_t more = wide.num_elements() - parts;
      CHECK((more == 0 || more == 1));
      CHECK(wide.data<double>().back() < limit);
      CHECK(wide.data<double>()[static_cast<size_t>(parts - 1)] == (parts - 1) * (limit / parts));
    }
}

TEST_CASE("range of whole numbers is exact over all of int64") {
  const auto all = in_both_modes([] {
    return std::vector{tf::range(kOdd, kOdd + 3),
                       tf::range(kMost - 2, kMost),
                       tf::range(kMost, kLeast, kLeast),
                       tf::range(kLeast, kMost, kMost),
                       tf::range(256, {.dtype = tf::uint8}),
                       tf::range(16777216, 16777220, 1, {.dtype = tf::float32})};
  });
  CHECK(longs(all[0]) == Longs{kOdd, kOdd + 1, kOdd + 2});
  CHECK(longs(all[1]) == Longs{kMost - 2, kMost - 1});
  CHECK(longs(all[2]) == Longs{kMost, -1});
  CHECK(longs(all[3]) == Longs{kLeast, -1, kMost - 1});
  CHECK((all[4].shape() == Shape{256} && all[4].data<uint8_t>()[255] == 255));
  CHECK(doubles(all[5]) == List{16777216, 16777216, 16777218, 16777220});
}

TEST_CASE("range refuses what it cannot give, before it takes memory") {
  for (const bool eager : {true, false}) {
    const FreshGraph fresh;
    const auto check = [] {
      CHECK_ERROR(tf::range(0., INFINITY, 1.), InvalidArgument, "range() from 0 to inf by 1 has no end");
      CHECK_ERROR(tf::range(0., NAN, 1.), InvalidArgument, "range() from 0 to nan by 1");
      CHECK_ERROR(tf::range(NAN, 1., 1.), InvalidArgument, "range() from nan to 1 by 1");
      CHECK_ERROR(tf::range(0., 1., NAN), InvalidArgument, "range() from 0 to 1 by nan");
      CHECK_ERROR(tf::range(0., 1., INFINITY), InvalidArgument, "range() from 0 to 1 by inf");
      CHECK_ERROR(tf::range(-INFINITY, 1., 1.), InvalidArgument, "range() from -inf to 1 by 1");
      CHECK_ERROR(tf::range(0, 5, -0.0), InvalidArgument, "range() with steps of 0");
      CHECK_ERROR(tf::range(kMost), ResourceExhausted, "range() of 9223372036854775807 numbers");
      CHECK_ERROR(tf::range(kLeast, kMost), ResourceExhausted, "range() of 18446744073709551615 numbers");
      CHECK_ERROR(tf::range(0., 1e300, 1e-5), ResourceExhausted, "range() of 1e+305 numbers");
      CHECK_ERROR(tf::range(0., 1e18, 1.), ResourceExhausted, "range() of 1e+18 numbers");
      CHECK_ERROR(tf::range(257, {.dtype = tf::uint8}), InvalidArgument, "reaches 256, which uint8 does not hold");
      CHECK_ERROR(tf::range(0., 2., 0.5, {.dtype = tf::int32}), InvalidArgument, "does not fit dtype int32");
      CHECK_ERROR(tf::range(2, {.dtype = tf::bool_}), InvalidArgument, "range() of bool");
    };
    eager ? tf::eagerly(check) : check();
  }
}

TEST_CASE("clip takes bounds beyond the dtype, open ones, and ones beyond 2^53") {
  const auto all = in_both_modes([] {
    const Tensor wide = tf::constant({-5, 7}, {.dtype = tf::int64}), ends = tf::constant(Longs{kLeast, kMost});
    const Tensor narrow = tf::constant({-5, 7}), byte = bytes({0, 5, 255});
    return std::vector{tf::clip(wide, 0, INFINITY),
                       tf::clip(ends, -INFINITY, INFINITY),
                       tf::clip(ends, kLeast + 1, kMost - 1),
                       tf::clip(tf::constant(Longs{kOdd - 1, kOdd + 2}), kOdd, kOdd + 1),
                       tf::clip(narrow, -1e300, 3),
                       tf::clip(byte, -4, 6),
                       tf::clip(byte, 7, 300),
                       tf::clip(ends, 0, UINT64_MAX)};
  });
  CHECK(longs(all[0]) == Longs{0, 7});
  CHECK(longs(all[1]) == Longs{kLeast, kMost});
  CHECK(longs(all[2]) == Longs{kLeast + 1, kMost - 1});
  CHECK(longs(all[3]) == Longs{kOdd, kOdd + 1});
  CHECK(doubles(all[4]) == List{-5, 3});
  CHECK(doubles(all[5]) == List{0, 5, 6});
  CHECK(doubles(all[6]) == List{7, 7, 255});
  CHECK(longs(all[7]) == Longs{0, kMost});
}

TEST_CASE("clip of floating numbers: open bounds, NaN, and gradients of both orders") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({-INFINITY, -2.f, 0.5f, 3.f, INFINITY, NAN});
    tf::GradientTape outer({.persistent = true});
    outer.watch(x);
    tf::GradientTape inner;
    inner.watch(x);
    const Tensor y = tf::clip(x, -1, INFINITY), slope = inner.gradient(tf::sum(tf::square(y)), x);
    return std::vector{y, slope, outer.gradient(tf::sum(slope), x), tf::clip(x, 0.1, 0.1)};
  });
  const List y = doubles(all[0]), slope = doubles(all[1]), second = doubles(all[2]);
  CHECK(List(y.begin(), y.end() - 1) == List{-1, -1, 0.5, 3, INFINITY});
  CHECK(std::isnan(y.back()));
  CHECK(List(slope.begin(), slope.end() - 1) == List{0, 0, 1, 6, INFINITY});
  CHECK(List(second.begin(), second.end() - 1) == List{0, 0, 2, 2, 2});
  CHECK(all[3].data<float>()[0] == 0.1f);
  const Tensor x = tf::tensor({1.f});
  for (const Tensor& t : {x, tf::tensor({1}), tf::eagerly([] { return bytes({1}); })}) {
    CHECK_ERROR(tf::clip(t, NAN, 1), InvalidArgument, "clip() cannot be from nan to 1");
    CHECK_ERROR(tf::clip(t, 0, NAN), InvalidArgument, "clip() cannot be from 0 to nan");
    CHECK_ERROR(tf::clip(t, kOdd, kOdd - 1), InvalidArgument, "clip() cannot be from 9007199254740993 to");
  }
  CHECK_ERROR(tf::clip(tf::eagerly([] { return bytes({1}); }), 300, 400), InvalidArgument, "uint8 has no such number");
  CHECK_ERROR(tf::clip(tf::tensor({1}), -INFINITY, kLeast), InvalidArgument, "int32 has no such number");
  CHECK_ERROR(tf::clip(tf::tensor({1}), 0, 0.5), InvalidArgument, "tf::cast(x, tf::float32)");
}

TEST_CASE("options hold whole numbers exactly and refuse those that the dtype does not hold") {
  const auto all = in_both_modes([] {
    const Tensor at = tf::constant({0});
    return std::vector{tf::one_hot(at, 2, {.on = kMost, .off = kLeast, .dtype = tf::int64}),
                       tf::one_hot(at, 2, {.on = kOdd, .off = 0.1, .dtype = tf::float64}),
                       tf::one_hot(at, 2, {.dtype = tf::bool_}),
                       tf::pad(tf::constant(Longs{1}), {{1, 0}}, {.value = kOdd}),
                       tf::pad(tf::constant(List{1}), {{1, 0}}, {.value = 0.1}),
                       tf::pad(bytes({1}), {{0, 1}}, {.value = 255}),
                       tf::random_uniform({50}, {.low = kOdd, .high = kOdd + 1, .dtype = tf::int64}),
                       tf::full({1}, 0.1, {.dtype = tf::float64}),
                       tf::full({1}, kMost)};
  });
  CHECK(longs(all[0]) == Longs{kMost, kLeast});
  CHECK(doubles(all[1]) == List{9007199254740992, 0.1});  // rounded once, to the even
  CHECK((all[2].dtype() == tf::bool_ && doubles(all[2]) == List{1, 0}));
  CHECK(longs(all[3]) == Longs{kOdd, 1});
  CHECK(doubles(all[4]) == List{0.1, 1});
  CHECK(doubles(all[5]) == List{1, 255});
  CHECK(longs(all[6]) == Longs(50, kOdd));
  CHECK(doubles(all[7]) == List{0.1});
  CHECK(longs(all[8]) == Longs{kMost});
  const Tensor at = tf::tensor({0});
  CHECK_ERROR(tf::one_hot(at, 2, {.on = 300, .dtype = tf::uint8}), InvalidArgument, "one_hot() of 300, which uint8");
  CHECK_ERROR(tf::one_hot(at, 2, {.off = 0.5, .dtype = tf::int32}), InvalidArgument, "one_hot() of 0.5, which int32");
  CHECK_ERROR(tf::one_hot(at, 2, {.on = NAN, .dtype = tf::int64}), InvalidArgument, "one_hot() of nan, which int64");
  CHECK_ERROR(tf::pad(at, {{1, 0}}, {.value = int64_t{1} << 31}), InvalidArgument, "int32 cannot be padded with");
  CHECK_ERROR(tf::pad(at, {{1, 0}}, {.value = INFINITY}), InvalidArgument, "int32 cannot be padded with inf");
  CHECK_ERROR(tf::random_uniform({2}, {.low = 0, .high = 1e39}), InvalidArgument, "high - low must be finite");
  CHECK_ERROR(tf::random_normal({2}, {.mean = -1e39}), InvalidArgument, "mean and stddev must be finite");
  CHECK_ERROR(tf::random_uniform({2}, {.low = 0, .high = INFINITY, .dtype = tf::int64}), InvalidArgument,
              "Integers cannot be drawn from [0, inf)");
}

TEST_CASE("literals in a list take the tensors' dtype, not rounded on the way") {
  const auto all = in_both_modes([] {
    const Tensor wide = tf::constant(0.25, {.dtype = tf::float64}), byte = tf::constant(3, {.dtype = tf::uint8});
    const Tensor list = tf::reshape(wide, {1}), whole = tf::constant(kOdd);
    const tf::Variable v(0.5, {.dtype = tf::float64});
    return std::vector{tf::stack({wide, 0.1}),
                       tf::stack({0.1, wide}),
                       tf::stack({0.1, v}),
                       tf::concat({{0.1}, list}, 0),
                       tf::einsum("i,->i", {list, 0.1}),
                       tf::einsum(",i->i", {0.1, list}),
                       tf::stack({byte, 5}),
                       tf::stack({whole, 1}),
                       tf::stack({tf::cast(byte, tf::float32), wide, 0.1}),
                       tf::stack({byte, 0.5})};
  });
  CHECK(doubles(all[0]) == List{0.25, 0.1});
  CHECK(doubles(all[1]) == List{0.1, 0.25});
  CHECK(doubles(all[2]) == List{0.1, 0.5});
  CHECK(doubles(all[3]) == List{0.1, 0.25});
  CHECK(doubles(all[4]) == List{0.25 * 0.1});
  CHECK(doubles(all[5]) == List{0.25 * 0.1});
  CHECK((all[6].dtype() == tf::uint8 && doubles(all[6]) == List{3, 5}));
  CHECK(longs(all[7]) == Longs{kOdd, 1});
  CHECK(doubles(all[8]) == List{3, 0.25, 0.1});
  CHECK((all[9].dtype() == tf::float32 && doubles(all[9]) == List{3, 0.5}));
  const Tensor byte = tf::eagerly([] { return tf::constant(3, {.dtype = tf::uint8}); });
  CHECK_ERROR(tf::stack({byte, 300}), InvalidArgument, "The literal 300 does not fit dtype uint8");
  CHECK_ERROR(tf::stack({byte, Tensor()}), InvalidArgument, "stack");
}

TEST_CASE("a feed's whole numbers become floating ones only where that is exact") {
  const FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32), wide = tf::placeholder(tf::float64);
  const tf::Session session;
  const auto y = tf::identity(x), z = tf::identity(wide);
  CHECK(session.run(y, {{x, 16777216}}).item<float>() == 16777216);
  CHECK(session.run(z, {{wide, 16777217}}).item<double>() == 16777217);
  CHECK(session.run(y, {{x, -16777218}}).item<float>() == -16777218);
  CHECK_ERROR(session.run(y, {{x, 16777217}}), InvalidArgument, "Cannot feed the int32 value 16777217 for Tensor");
  CHECK_ERROR(session.run(y, {{x, {1, 16777217}}}), InvalidArgument, "Cannot feed the int32 value 16777217");
  CHECK_ERROR(session.run(y, {{x, {{1.5, 2}, {3, -16777217}}}}), InvalidArgument, "the int32 value -16777217");
  CHECK_ERROR(session.run(y, {{x, std::vector{16777217}}}), InvalidArgument, "Cannot feed the int32 value 16777217");
  CHECK_ERROR(session.run(z, {{wide, kOdd}}), InvalidArgument, "Cannot feed the int64 value 9007199254740993");
  CHECK_ERROR(session.run(y, {{x, kMost}}), InvalidArgument, "Cannot feed the int64 value 9223372036854775807");
}

TEST_CASE("variance with more correction than elements is not negative") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant(List{5, 7}), one = tf::constant({4.f});
    return std::vector{tf::variance(x, {}, {.correction = 1}),   tf::variance(x, {}, {.correction = 2}),
                       tf::variance(x, {}, {.correction = 3}),   tf::variance(one, {}, {.correction = 1}),
                       tf::variance(x, {}, {.correction = 1.5}), tf::variance(x, {}, {.correction = -2})};
  });
  // sum((x - 6)^2) = 2, over 1, 0, 0, and of one element 0 / 0; over 0.5 and 4
  CHECK(doubles(all[0]) == List{2});
  CHECK(doubles(all[1]) == List{INFINITY});
  CHECK(doubles(all[2]) == List{INFINITY});
  CHECK(std::isnan(doubles(all[3])[0]));
  CHECK(doubles(all[4]) == List{4});
  CHECK(doubles(all[5]) == List{0.5});
  CHECK_ERROR(tf::variance(tf::tensor({1.f}), {}, {.correction = NAN}), InvalidArgument, "correction of nan");
}
