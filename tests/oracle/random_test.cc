// Random numbers: their range, their distribution, the ends of their parameters.
#include <algorithm>
#include <cmath>

#include "oracle.h"

using namespace oracle;

namespace {

constexpr int64_t kMany = 200000;

/// Kolmogorov and Smirnov's largest distance of the sample from the distribution; 1.95 / sqrt(n) is exceeded once in a
/// thousand, and the seeds are fixed.
double distance(Reals sample, const std::function<real(real)>& share_below) {
  std::sort(sample.begin(), sample.end());
  real worst = 0;
  const auto n = static_cast<real>(sample.size());
  for (size_t i = 0; i < sample.size(); ++i) {
    const real f = share_below(sample[i]);
    worst = std::max({worst, std::fabs(f - static_cast<real>(i) / n), std::fabs(f - static_cast<real>(i + 1) / n)});
  }
  return static_cast<double>(worst * std::sqrt(n));
}
real normal(real x) { return std::erfc(-x / std::sqrt(2.0L)) / 2; }
const auto eager = [](auto f) { return tf::eagerly(f); };

}  // namespace

ORACLE(random_normal, truncated_normal, random_normal_like) {
  for (const DType t : {tf::float32, tf::float64}) {
    const auto sample = [&](int kind, double mean, double stddev) {
      return eager([&] {
        return kind == 0   ? tf::random_normal({kMany}, {.mean = mean, .stddev = stddev, .dtype = t, .seed = 3})
               : kind == 1 ? tf::truncated_normal({kMany}, {.mean = mean, .stddev = stddev, .dtype = t, .seed = 4})
                           : tf::random_normal_like(tf::zeros({kMany}, t), {.mean = mean, .stddev = stddev, .seed = 5});
      });
    };
    CHECK(distance(values_of(sample(0, 5, 2)), [](real x) { return normal((x - 5) / 2); }) < 1.95);
    CHECK(distance(values_of(sample(2, -1, 3)), [](real x) { return normal((x + 1) / 3); }) < 1.95);
    const real cut = normal(-2), rest = 1 - 2 * cut;
    CHECK(distance(values_of(sample(1, 0, 1)), [=](real x) { return (normal(x) - cut) / rest; }) < 1.95);
    CHECK(std::ranges::all_of(values_of(sample(1, 0, 1)), [](real v) { return v >= -2 && v <= 2; }));
    for (const int kind : {0, 1, 2}) {
      CHECK(std::ranges::all_of(values_of(sample(kind, 7, 0)), [](real v) { return v == 7; }));  // no spread
      CHECK(sample(kind, 0, 1).dtype() == t);
    }
    CHECK(off(eager([&] { return tf::random_normal({0, 3}, {.dtype = t}); }), t, {0, 3}, {}) == "");
    CHECK(eager([&] { return tf::random_normal({}, {.dtype = t}); }).rank() == 0);
  }
  eager([] {
    const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
    for (const double wrong : {-1.0, nan, inf}) {
      CHECK_ERROR(tf::random_normal({2}, {.stddev = wrong}), InvalidArgument, "");
      CHECK_ERROR(tf::truncated_normal({2}, {.stddev = wrong}), InvalidArgument, "");
      CHECK_ERROR(tf::random_normal_like(tf::tensor({1.f}), {.stddev = wrong}), InvalidArgument, "");
    }
    CHECK_ERROR(tf::random_normal({2}, {.dtype = tf::int32}), InvalidArgument, "");
    CHECK_ERROR(tf::random_normal({-1}), InvalidArgument, "");
    return 0;
  });
}

ORACLE(random_uniform, random_uniform_like, random_uniform_int, random_permutation, random_shuffle, set_random_seed) {
  for (const DType t : {tf::float32, tf::float64}) {
    const auto sample = [&](double low, double high) {
      return eager([&] { return tf::random_uniform({kMany}, {.low = low, .high = high, .dtype = t, .seed = 6}); });
    };
    CHECK(distance(values_of(sample(-1, 3)), [](real x) { return (x + 1) / 4; }) < 1.95);
    for (const auto& [low, high] : {std::pair{-1.0, 3.0}, {0.0, 1.0}, {1.0, 1.0000001}, {0.0, 1e-300}, {1e9, 1e9 + 1}})
      for (const real v : values_of(sample(low, high)))
        // [low, high), as the dtype holds the two
        if (!(v >= low || v >= static_cast<float>(low)) || v > std::max<real>(high, static_cast<float>(high)))
          FAIL_CHECK(v << " in [" << low << ", " << high << ")");
    CHECK(std::ranges::all_of(values_of(sample(0, 1)), [](real v) { return v >= 0 && v < 1; }));
    CHECK(distance(values_of(eager([&] { return tf::random_uniform_like(tf::zeros({kMany}, t), {.seed = 7}); })),
                   [](real x) { return x; }) < 1.95);
    CHECK(off(eager([&] { return tf::random_uniform({2, 0}, {.dtype = t}); }), t, {2, 0}, {}) == "");
  }
  eager([] {
    // All of an integer dtype; both ends are met in a range of few.
    for (const auto& [low, high] :
         {std::pair{int64_t{-2}, int64_t{3}}, {INT64_MAX - 3, INT64_MAX}, {INT64_MIN, INT64_MIN + 2}}) {
      const Tensor x = tf::random_uniform_int({1000}, low, high, {.dtype = tf::int64, .seed = 8});
      std::set<int64_t> seen;
      for (const int64_t v : x.data<int64_t>()) seen.insert(v);
      CHECK(*seen.begin() == low);
      CHECK(*seen.rbegin() == high - 1);
      CHECK(static_cast<int64_t>(seen.size()) == high - low);
    }
    CHECK(tf::random_uniform_int({10}, 7, 8).data<int32_t>()[3] == 7);
    Reals wide;
    for (const int64_t v :
         tf::random_uniform_int({kMany}, INT64_MIN, INT64_MAX, {.dtype = tf::int64, .seed = 9}).data<int64_t>())
      wide.push_back(v);
    CHECK(distance(wide, [](real x) { return (x + 0x1p63L) / 0x1p64L; }) < 1.95);
    for (const auto& [low, high] : {std::pair{int64_t{3}, int64_t{3}},
                                    {int64_t{4}, int64_t{3}},
                                    {int64_t{0}, int64_t{INT32_MAX} + 2},
                                    {int64_t{INT32_MIN} - 1, int64_t{0}}})
      CHECK_ERROR(tf::random_uniform_int({2}, low, high), InvalidArgument, "");
    CHECK_ERROR(tf::random_uniform_int({2}, 0, 2, {.dtype = tf::uint8}), InvalidArgument, "");
    CHECK_ERROR(tf::random_uniform({2}, {.dtype = tf::int32}), InvalidArgument, "");
    for (const auto& [low, high] : {std::pair{1.0, 0.0},
                                    {double(NAN), 1.0},
                                    {0.0, double(NAN)},
                                    {0.0, double(INFINITY)},
                                    {-double(INFINITY), 0.0}}) {
      CHECK_ERROR(tf::random_uniform({2}, {.low = low, .high = high}), InvalidArgument, "");
      CHECK_ERROR(tf::random_uniform_like(tf::tensor({1.f}), {.low = low, .high = high}), InvalidArgument, "");
    }

    std::vector<int32_t> order;
    for (const int32_t v : tf::random_permutation(1000, {.seed = 2}).data<int32_t>()) order.push_back(v);
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    for (int32_t i = 0; i < 1000; ++i) REQUIRE(order[static_cast<size_t>(i)] == i);
    CHECK(off(tf::random_permutation(0), tf::int32, {0}, {}) == "");
    CHECK(off(tf::random_permutation(1), tf::int32, {1}, {0}) == "");
    CHECK_ERROR(tf::random_permutation(-1), InvalidArgument, "");
    CHECK_ERROR(tf::random_permutation(int64_t{INT32_MAX} + 2), InvalidArgument, "");
    // Each of the six orders of three, equally often: chi squared of five degrees is beyond 20.5 once in a thousand.
    std::map<std::vector<int32_t>, int> counts;
    const int draws = 6000;
    for (int i = 0; i < draws; ++i) {
      const Tensor p = tf::random_permutation(3, {.seed = 1});  // its count goes on
      counts[std::vector<int32_t>(p.data<int32_t>().begin(), p.data<int32_t>().end())]++;
    }
    double chi = 0;
    for (const auto& [what, n] : counts) chi += (n - draws / 6.0) * (n - draws / 6.0) / (draws / 6.0);
    CHECK(counts.size() == 6);
    CHECK(chi < 20.5);

    const Tensor rows = make(tf::float64, {3, 2}, {kNaN, -0.0L, kInf, 5e-324L, 1, 2});
    Reals got = values_of(tf::random_shuffle(rows, {.seed = 3}));
    Reals firsts;
    for (size_t i = 0; i < 6; i += 2) firsts.push_back(got[i]);
    CHECK(std::count_if(firsts.begin(), firsts.end(), [](real v) { return std::isnan(v); }) == 1);
    CHECK(std::count(firsts.begin(), firsts.end(), kInf) == 1);
    CHECK(std::count(firsts.begin(), firsts.end(), real(1)) == 1);
    CHECK(off(tf::random_shuffle(make(tf::float32, {0, 2}, {})), tf::float32, {0, 2}, {}) == "");
    CHECK_ERROR(tf::random_shuffle(tf::tensor(1)), InvalidArgument, "");

    // The same seed, the same numbers; another one, others; with both ends of the seeds.
    for (const int64_t seed : {int64_t{0}, int64_t{1}, INT64_MAX, INT64_MIN}) {
      tf::set_random_seed(seed);
      const Reals first = values_of(tf::random_uniform({100}));
      tf::set_random_seed(seed);
      CHECK(values_of(tf::random_uniform({100})) == first);
      tf::set_random_seed(seed ^ 2);
      CHECK(values_of(tf::random_uniform({100})) != first);
    }
    return 0;
  });
}
