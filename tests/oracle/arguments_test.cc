// Arguments at their ends: axes, counts and sizes of the least and the largest int64, and numbers that a dtype holds
// only rounded, or not at all.
#include <algorithm>

#include "oracle.h"

using namespace oracle;

namespace {

const Tensor kX = tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});
constexpr int64_t kWrongAxes[] = {2, -3, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1};

struct ByAxis {
  const char* name;
  Tensor (*call)(const Tensor& x, int64_t axis);
};
const ByAxis kByAxis[] = {
    {"sum", [](const Tensor& x, int64_t a) { return tf::sum(x, a); }},
    {"mean", [](const Tensor& x, int64_t a) { return tf::mean(x, a); }},
    {"prod", [](const Tensor& x, int64_t a) { return tf::prod(x, a); }},
    {"max", [](const Tensor& x, int64_t a) { return tf::max(x, a); }},
    {"min", [](const Tensor& x, int64_t a) { return tf::min(x, a); }},
    {"any", [](const Tensor& x, int64_t a) { return tf::any(x > 0, a); }},
    {"all", [](const Tensor& x, int64_t a) { return tf::all(x > 0, a); }},
    {"logsumexp", [](const Tensor& x, int64_t a) { return tf::logsumexp(x, a); }},
    {"norm", [](const Tensor& x, int64_t a) { return tf::norm(x, a); }},
    {"variance", [](const Tensor& x, int64_t a) { return tf::variance(x, a); }},
    {"argmax", [](const Tensor& x, int64_t a) { return tf::argmax(x, a); }},
    {"argmin", [](const Tensor& x, int64_t a) { return tf::argmin(x, a); }},
    {"softmax", [](const Tensor& x, int64_t a) { return tf::softmax(x, a); }},
    {"log_softmax", [](const Tensor& x, int64_t a) { return tf::log_softmax(x, a); }},
    {"cumsum", [](const Tensor& x, int64_t a) { return tf::cumsum(x, a); }},
    {"reverse", [](const Tensor& x, int64_t a) { return tf::reverse(x, a); }},
    {"transpose", [](const Tensor& x, int64_t a) { return tf::transpose(x, {0, a}); }},
    {"squeeze", [](const Tensor& x, int64_t a) { return tf::squeeze(x, a); }},
    {"concat", [](const Tensor& x, int64_t a) { return tf::concat({x, x}, a); }},
    {"gather", [](const Tensor& x, int64_t a) { return tf::gather(x, tf::tensor({0}), {.axis = a}); }},
    {"layer_norm",
     [](const Tensor& x, int64_t a) { return tf::layer_norm(x, tf::tensor({1.f}), tf::tensor({1.f}), a); }},
    {"flatten from", [](const Tensor& x, int64_t a) { return tf::flatten(x, a); }},
    {"flatten to", [](const Tensor& x, int64_t a) { return tf::flatten(x, 0, a); }},
};
// These see x where the graph is built.
const ByAxis kOfKnown[] = {
    {"unstack", [](const Tensor& x, int64_t a) { return tf::unstack(x, a)[0]; }},
    {"split", [](const Tensor& x, int64_t a) { return tf::split(x, 1, a)[0]; }},
};
// A new axis may be behind the last.
const ByAxis kNewAxis[] = {
    {"expand_dims", [](const Tensor& x, int64_t a) { return tf::expand_dims(x, a); }},
    {"stack", [](const Tensor& x, int64_t a) { return tf::stack({x, x}, a); }},
};

/// The code of the error that f throws, "" if it throws none.
std::string code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const tf::Error& e) {
    return std::string(name_of(e.code()));
  }
  return "";
}
/// `call` refuses this axis at once, when a graph is built that knows x's shape or rank, and in a run of one that does
/// not.
void refuses_axis(const ByAxis& f, int64_t axis, bool of_known) {
  INFO(f.name << " along " << axis);
  CHECK(code_of([&] { tf::eagerly([&] { return f.call(kX, axis); }); }) == "InvalidArgument");
  for (const Shape& known : {kX.shape(), Shape::of_rank(2), tf::unknown_shape}) {
    if (of_known && known != kX.shape()) continue;
    const tf::Graph graph;
    const auto scope = graph.as_default();
    const tf::DeferredMode deferred;
    const Tensor p = tf::placeholder(tf::float32, known);
    CHECK(code_of([&] { tf::Session(graph).run(f.call(p, axis), {{p, kX}}); }) == "InvalidArgument");
  }
}

}  // namespace

TEST_CASE("oracle: an axis that a tensor does not have is refused, whenever its rank is known") {
  for (const ByAxis& f : kByAxis)
    for (const int64_t axis : kWrongAxes) refuses_axis(f, axis, false);
  for (const ByAxis& f : kOfKnown)
    for (const int64_t axis : kWrongAxes) refuses_axis(f, axis, true);
  for (const ByAxis& f : kNewAxis)
    for (const int64_t axis : {int64_t{3}, int64_t{-4}, INT64_MAX, INT64_MIN}) refuses_axis(f, axis, false);
}

TEST_CASE("oracle: counts and sizes at the ends of int64") {
  for (const int64_t wrong : {int64_t{-1}, INT64_MIN, INT64_MAX, int64_t{4}})
    CHECK_ERROR(tf::top_k(kX, wrong), InvalidArgument, "");
  for (const int64_t wrong : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX})
    CHECK_ERROR(tf::split(kX, wrong), InvalidArgument, "");
  for (const int64_t wrong : {int64_t{-2}, INT64_MIN, INT64_MAX}) {
    CHECK_ERROR(tf::split(kX, {wrong, 1}, 1), InvalidArgument, "");
    CHECK_ERROR(tf::slice(kX, {0, 0}, {wrong, 1}), InvalidArgument, "");
    CHECK_ERROR(tf::max_pool2d(tf::zeros({1, 1, 2, 2}), wrong), InvalidArgument, "");
    CHECK_ERROR(tf::avg_pool2d(tf::zeros({1, 1, 2, 2}), 1, {.padding = wrong}), InvalidArgument, "");
  }
}

TEST_CASE("oracle: numbers beyond float32 are infinite in it, and those below it 0, wherever a number is given") {
  const auto is = [](const std::function<Tensor()>& f, const Reals& wanted) {
    CHECK(off_list(tf::reshape(tf::eagerly(f), {-1}), tf::float32, wanted) == "");
  };
  const Tensor x = tf::tensor({1.f, -INFINITY, -2.f});
  is([] { return tf::constant({1e300, -1e39, 1e-50, -1e-50}); }, {kInf, -kInf, 0, -0.0L});
  is([] { return tf::full({2}, 1e300); }, {kInf, kInf});
  is([&] { return x + 1e300; }, {kInf, kNaN, kInf});
  is([&] { return x * 1e-300; }, {0, kNaN, -0.0L});
  is([&] { return tf::minimum(x, -1e300); }, {-kInf, -kInf, -kInf});
  is([&] { return tf::clip(x, -1e300, 1e300); }, {1, -kInf, -2});
  is([&] { return tf::where(tf::tensor({true, false, false}), x, 1e300); }, {1, kInf, kInf});
  is([&] { return tf::pad(x, {{1, 0}}, {.value = -1e300}); }, {-kInf, 1, -kInf, -2});
  is([] { return tf::one_hot(tf::tensor({1}), 2, {.on = 1e300, .off = -1e-50}); }, {-0.0L, kInf});
  is([] { return tf::constant(16777217, {.dtype = tf::float32}); }, {16777216});
  // Exactly half of the way between two float32 goes to the even one.
  is([] { return tf::constant({1 + 0x1p-24, 1 + 3 * 0x1p-24, 0x1p-150, 3 * 0x1p-150}); },
     {1, 1 + 0x1p-22L, 0, 0x1p-148L});
  is([] { return tf::constant({3.4028235677973366e38, 3.4028235677973362e38}); }, {kInf, 0x1.fffffep127L});
}

TEST_CASE("oracle: int64 numbers keep all of their digits, wherever a number is given") {
  const int64_t most = INT64_MAX, odd = (int64_t{1} << 53) + 1;
  const auto is = [](const std::function<Tensor()>& f, const Reals& wanted) {
    CHECK(off_list(tf::reshape(tf::eagerly(f), {-1}), tf::int64, wanted) == "");
  };
  const Tensor x = tf::tensor(std::vector<int64_t>{odd, most, -odd});
  is([&] { return tf::constant({odd, most - 1, INT64_MIN}); }, {real(odd), real(most) - 1, real(INT64_MIN)});
  is([&] { return x - odd; }, {0, real(most) - real(odd), -2 * real(odd)});
  is([&] { return tf::clip(x, -odd + 1, most - 1); }, {real(odd), real(most) - 1, -real(odd) + 1});
  is([&] { return tf::maximum(x, odd + 2); }, {real(odd) + 2, real(most), real(odd) + 2});
  is([&] { return tf::where(tf::tensor({true, false, false}), x, most - 2); },
     {real(odd), real(most) - 2, real(most) - 2});
  is([&] { return tf::pad(x, {{0, 1}}, {.value = most - 3}); }, {real(odd), real(most), -real(odd), real(most) - 3});
  is([&] { return tf::one_hot(tf::tensor({1}), 2, {.on = odd, .off = INT64_MIN, .dtype = tf::int64}); },
     {real(INT64_MIN), real(odd)});
  is([&] { return tf::full({1}, odd, {.dtype = tf::int64}); }, {real(odd)});
  CHECK(off_list(tf::eagerly([&] { return tf::equal(x, odd); }), tf::bool_, {1, 0, 0}) == "");
  CHECK(off_list(tf::eagerly([&] { return x < odd + 1; }), tf::bool_, {1, 0, 1}) == "");
}

TEST_CASE("oracle: random numbers between bounds that are as far apart as float32 has them") {
  tf::eagerly([] {
    const real low = -3e38L, high = 3e38L;
    const Tensor x = tf::random_uniform({1000}, {.low = -3e38, .high = 3e38, .seed = 1});
    real least = kInf, most = -kInf;
    for (const real v : values_of(x)) least = std::min(least, v), most = std::max(most, v);
    CHECK((least >= low && most < high && least < 0.9L * low && most > 0.9L * high));
    CHECK_ERROR(tf::random_uniform({2}, {.low = -1.7e308, .high = 1.7e308, .dtype = tf::float64}), InvalidArgument,
                "high - low");
    CHECK_ERROR(tf::random_uniform({2}, {.low = 0, .high = 1e39}), InvalidArgument, "finite");
    CHECK_ERROR(tf::random_normal({2}, {.mean = 1e39}), InvalidArgument, "finite");
  });
}
