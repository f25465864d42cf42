#include <algorithm>
#include <cmath>
#include <vector>

#include <twofold/kernels/random/transform.h>
#include <twofold/twofold.h>

#include "both_modes.h"
#include "errors.h"

namespace tf = twofold;

namespace {

std::vector<uint32_t> words(const tf::PhiloxBlock& b) { return {b.word, b.word + 4}; }

template <class T>
std::vector<T> elements(const tf::Tensor& t) {
  const auto data = t.data<T>();
  return {data.begin(), data.end()};
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the published vectors") {
  CHECK(words(tf::philox({{0, 0, 0, 0}}, 0, 0)) ==
        std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(words(tf::philox({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u)) ==
        std::vector<uint32_t>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(words(tf::philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0)) ==
        std::vector<uint32_t>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Normal pairs agree with the library's functions") {
  double worst_log = 0, worst_pair = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    const tf::PhiloxBlock b = tf::random_block(3, 1, i);
    const uint64_t radius = tf::internal::join(b.word[0], b.word[1]) >> 11;
    const uint64_t angle = tf::internal::join(b.word[2], b.word[3]) >> 11;
    const double x = std::ldexp(1 + static_cast<double>(b.word[0]) * 0x1p-32, -static_cast<int>(i % 60) - 1);
    worst_log = std::max(worst_log, std::abs(tf::internal::log_of(x) / std::log(x) - 1));
    double z0, z1;
    tf::internal::normal_pair(radius, angle, z0, z1);
    const double r = std::sqrt(-2 * std::log(1 - static_cast<double>(radius >> 1) * 0x1p-52));
    const double turn = 6.283185307179586477 * static_cast<double>(angle >> 1) * 0x1p-52;
    worst_pair = std::max({worst_pair, std::abs(z0 - r * std::cos(turn)), std::abs(z1 - r * std::sin(turn))});
  }
  CHECK(worst_log < 1e-14);
  CHECK(worst_pair < 2e-14);
}

TEST_CASE("Random numbers have their distribution's moments and bounds") {
  tf::EagerMode eager;
  const auto u = elements<float>(tf::random_uniform({100003}, {.low = -1, .high = 3, .seed = 5}));
  const auto z =
      elements<double>(tf::random_normal({100003}, {.mean = 2, .stddev = 3, .dtype = tf::float64, .seed = 5}));
  double mean = 0, square = 0;
  for (float v : u) {
    REQUIRE((v >= -1 && v < 3));
    mean += v / 100003.0;
  }
  CHECK(std::abs(mean - 1) < 0.02);
  mean = 0;
  for (double v : z) mean += v / 100003.0, square += (v - 2) * (v - 2) / 100003.0;
  CHECK(std::abs(mean - 2) < 0.05);
  CHECK(std::abs(square - 9) < 0.2);
}

TEST_CASE("A uniform number stays below its upper bound where rounding would reach it") {
  const float last = std::nextafter(2.f, 1.f);
  tf::PhiloxBlock ones{{~0u, ~0u, ~0u, ~0u}};
  float out[4];
  tf::uniform_block(ones, 1.0, 2.0, last, out);
  CHECK(out[0] == last);
}

TEST_CASE("Ops of different seeds draw different numbers") {
  tf::EagerMode eager;
  const auto few = elements<float>(tf::random_normal({7}, {.seed = 11}));
  CHECK(few.size() == 7);
  CHECK(few != elements<float>(tf::random_normal({7}, {.seed = 12})));
}

TEST_CASE("truncated_normal stays within two standard deviations and has the moments of what is left") {
  tf::EagerMode eager;
  tf::set_random_seed(1);
  const auto z =
      elements<double>(tf::truncated_normal({100003}, {.mean = 2, .stddev = 3, .dtype = tf::float64, .seed = 5}));
  const auto f = elements<float>(tf::truncated_normal({100001}, {.seed = 5}));
  double mean = 0, square = 0, tails = 0;
  for (double v : z) {
    REQUIRE(std::abs(v - 2) <= 6);
    mean += v / 100003.0, square += (v - 2) * (v - 2) / 100003.0;
    tails += std::abs(v - 2) > 5.7;
  }
  CHECK(std::abs(mean - 2) < 0.03);
  CHECK(std::abs(square / 9 - 0.7737) < 0.01);         // 1 - 4 phi(2) / (2 Phi(2) - 1)
  CHECK(std::abs(tails / 100003.0 - 0.0126) < 0.002);  // no heap at the ends
  double widest = 0;
  for (float v : f) widest = std::max(widest, std::abs(static_cast<double>(v)));
  CHECK((widest <= 2 && widest > 1.99));
  // Elements that are not drawn anew are random_normal's.
  tf::set_random_seed(1);
  const auto whole =
      elements<double>(tf::random_normal({100003}, {.mean = 2, .stddev = 3, .dtype = tf::float64, .seed = 5}));
  int same = 0;
  for (size_t i = 0; i < z.size(); ++i) same += z[i] == whole[i];
  CHECK(std::abs(same / 100003.0 - 0.9545) < 0.005);
}

TEST_CASE("Random integers are uniform, to the ends of their range") {
  CHECK(tf::internal::upper_product(~uint64_t{0}, ~uint64_t{0}) == ~uint64_t{0} - 1);
  CHECK(tf::internal::upper_product(uint64_t{1} << 63, 6) == 3);
  tf::EagerMode eager;
  const auto dice = elements<int32_t>(tf::random_uniform_int({60000}, 1, 7, {.seed = 3}));
  int counts[8] = {};
  for (int32_t v : dice) {
    REQUIRE((v >= 1 && v < 7));
    ++counts[v];
  }
  for (int v = 1; v < 7; ++v) CHECK(std::abs(counts[v] - 10000) < 400);
  const auto all = elements<int64_t>(tf::random_uniform_int({1000}, INT64_MIN, INT64_MAX, {.dtype = tf::int64}));
  CHECK(std::ranges::count_if(all, [](int64_t v) { return v < 0; }) > 400);
  const auto bits =
      elements<int32_t>(tf::random_uniform({1000}, {.low = -2147483648.0, .high = 2147483648.0, .dtype = tf::int32}));
  CHECK(std::ranges::count_if(bits, [](int32_t v) { return v > 0; }) > 400);
  CHECK_ERROR(tf::random_uniform_int({2}, 3, 3), InvalidArgument, "Need low < high, got 3 >= 3");
  CHECK_ERROR(tf::random_uniform_int({2}, 0, int64_t{1} << 40), InvalidArgument, "within int32");
  CHECK_ERROR(tf::random_uniform_int({2}, 0, 2, {.dtype = tf::uint8}), InvalidArgument, "int32 or int64, not uint8");
  CHECK_ERROR(tf::random_uniform({2}, {.dtype = tf::int32}), InvalidArgument, "Must specify high for integer dtype");
  CHECK_ERROR(tf::random_uniform({2}, {.high = 2.5, .dtype = tf::int32}), InvalidArgument, "[0, 2.5)");
}

TEST_CASE("random_shuffle permutes the first axis") {
  const auto all = testing::in_both_modes([] {
    const tf::Tensor x = tf::range(1000);
    tf::GradientTape tape;
    const tf::Tensor rows = tf::constant({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
    tape.watch(rows);
    const tf::Tensor shuffled = tf::random_shuffle(rows);
    return std::vector{tf::random_shuffle(x), tf::random_permutation(5), shuffled,
                       tape.gradient(shuffled * shuffled, rows), tf::random_shuffle(tf::tensor({1, 2, 3}))};
  });
  auto numbers = elements<int32_t>(all[0]);
  CHECK_FALSE(std::ranges::is_sorted(numbers));
  std::ranges::sort(numbers);
  for (int32_t i = 0; i < 1000; ++i) REQUIRE(numbers[static_cast<size_t>(i)] == i);
  CHECK(testing::doubles(all[3]) == std::vector<double>{2, 4, 6, 8, 10, 12});
  const tf::Graph graph;
  const auto scope = graph.as_default();
  CHECK(tf::random_shuffle(tf::placeholder(tf::float32, {4, -1})).shape() == tf::Shape{4, -1});
  int first[3] = {};
  tf::EagerMode eager;
  for (int i = 0; i < 3000; ++i) ++first[tf::random_permutation(3)[0].item<int32_t>()];
  for (int n : first) CHECK(std::abs(n - 1000) < 120);
  CHECK_ERROR(tf::random_permutation(-1), InvalidArgument, "random_permutation() of -1 numbers");
  CHECK_ERROR(tf::random_shuffle(tf::tensor(1)), InvalidArgument, "random_shuffle() of a scalar");
}

TEST_CASE("Bad parameters of random ops are errors") {
  tf::EagerMode eager;
  CHECK_THROWS_AS(tf::random_normal({2}, {.stddev = -1}), tf::Error);
  CHECK_THROWS_AS(tf::random_uniform({2}, {.low = 2, .high = 1}), tf::Error);
  CHECK_THROWS_AS(tf::random_normal({2}, {.dtype = tf::int32}), tf::Error);
  CHECK_THROWS_AS(tf::random_uniform({-1, 2}), tf::Error);
  CHECK(tf::random_uniform({0, 3}).shape() == tf::Shape{0, 3});
}
