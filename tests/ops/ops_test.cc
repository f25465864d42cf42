// Every op, from its record: right values, and the same bits however it is run.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <twofold/lib/autodiff/gradient_tape.h>
#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/pointwise/record.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>

#include "../catch.h"
#include "cases.h"
#include "errors.h"

using namespace op_test;
namespace tf = twofold;

TEST_CASE("Every op gives its reference's values") {
  for_each_case([](const Record& r, const auto& shapes, DType dtype, Random& random) {
    const Arrays inputs = sample(r, shapes, dtype, false, random);
    const Arrays wanted = r.reference(inputs);
    INFO(describe(r, shapes, dtype));
    Tensors got;
    REQUIRE_NOTHROW(got = run_eagerly(r.call, to_tensors(inputs)));
    REQUIRE(got.size() == wanted.size());
    for (size_t i = 0; i < got.size(); ++i) CHECK(difference(got[i], wanted[i], r) == "");
  });
}

TEST_CASE("Every pointwise op gives its record's example, exactly where it can be") {
  for (const tf::PointwiseRecord& p : tf::pointwise_records())
    for (int i = 0; i < tf::kDTypeCount; ++i) {
      const auto dtype = static_cast<DType>(i);
      const bool held = std::all_of(p.example, p.example + 3, [&](double v) { return stored(v, dtype) == v; });
      if (!supports(p.dtypes, dtype) || !held) continue;
      INFO(p.function << " " << dtype);
      const auto operand = [&](int k) { return to_tensor({dtype, {}, {p.example[k]}}); };
      const Tensor got = p.arity == 1 ? p.unary(operand(0)) : p.binary(operand(0), operand(1));
      Record nearly{.op = p.op, .label = "", .tolerance32 = 1e-6, .tolerance64 = 1e-15};
      CHECK(difference(got, {p.makes_bool ? tf::bool_ : dtype, {}, {p.example[2]}}, nearly) == "");
    }
}

TEST_CASE("Pointwise ops treat zeros, infinities, NaN and the ends of the range as their references") {
  for_each_special_case([](const Record& r, DType dtype, const Arrays& inputs) {
    const Arrays wanted = r.reference(inputs);
    const Tensors got = run_eagerly(r.call, to_tensors(inputs));
    INFO(r.op << " " << dtype);
    for (size_t i = 0; i < got.size(); ++i) CHECK(difference(got[i], wanted[i], r) == "");
  });
}

TEST_CASE("Integers are divided by 0 and by -1 without a trap") {
  const int32_t least = std::numeric_limits<int32_t>::min();
  const Tensor a = tf::tensor({7, -7, least, least}), b = tf::tensor({0, 0, -1, 3});
  const auto ints = [](const Tensor& t) {
    const auto data = t.data<int32_t>();
    return std::vector<int32_t>(data.begin(), data.end());
  };
  CHECK(ints(tf::floor_divide(a, b)) == std::vector<int32_t>{0, 0, least, -715827883});
  CHECK(ints(tf::mod(a, b)) == std::vector<int32_t>{0, 0, 0, 1});
  CHECK(tf::floor_divide(tf::tensor(std::vector<uint8_t>{255}), tf::tensor(std::vector<uint8_t>{255}))[0]
            .item<uint8_t>() == 1);
}

TEST_CASE("Functions made of others: clip, leaky_relu, elu") {
  const double nan = std::nan("");
  const Tensor x = tf::tensor(std::vector<double>{-2, -1, 0, 1, 2, nan});
  const auto values = [](const Tensor& t) {
    const auto data = t.data<double>();
    return std::vector<double>(data.begin(), data.end() - 1);
  };
  CHECK(values(tf::clip(x, -1, 1)) == std::vector<double>{-1, -1, 0, 1, 1});
  CHECK(values(tf::leaky_relu(x, 0.5)) == std::vector<double>{-1, -0.5, 0, 1, 2});
  CHECK(values(tf::elu(x, 2)) == std::vector<double>{2 * std::expm1(-2), 2 * std::expm1(-1), 0, 1, 2});
  for (const Tensor& y : {tf::clip(x, -1, 1), tf::leaky_relu(x), tf::elu(x)}) CHECK(std::isnan(y[5].item<double>()));
  CHECK(tf::clip(tf::tensor({1, 5, 9}), 2, 6)[2].item<int>() == 6);
  const tf::EagerMode eager;
  tf::GradientTape tape({.persistent = true});
  tape.watch(x);
  CHECK(values(tape.gradient(tf::clip(x, -1, 1), x)) == std::vector<double>{0, 1, 1, 1, 0});
  CHECK(values(tape.gradient(tf::leaky_relu(x, 0.5), x)) == std::vector<double>{0.5, 0.5, 0.5, 1, 1});
  CHECK(values(tape.gradient(tf::elu(x), x)) == std::vector<double>{std::exp(-2), std::exp(-1), 1, 1, 1});
  CHECK_ERROR(tf::clip(x, 2, 1), InvalidArgument, "clip() cannot be from 2 to 1");
  CHECK_ERROR(tf::clip(tf::tensor({1}), 0.5, 1), InvalidArgument, "clip() from 0.5 to 1 of a tensor of dtype int32");
}

TEST_CASE("Reductions made of others: argmin, any, all, the unbiased variance") {
  const Tensor x = tf::tensor({{3, 1, 2}, {1, 1, -5}});
  const auto index = [](const Tensor& t, int64_t i) { return t[i].item<int64_t>(); };
  CHECK((index(tf::argmin(x, 1), 0) == 1 && index(tf::argmin(x, 1), 1) == 2 && index(tf::argmin(x), 1) == 0));
  const std::vector<uint8_t> bytes{255, 0, 7};
  const std::vector<int64_t> longs{0, std::numeric_limits<int64_t>::min()};
  const std::vector<float> floats{2.5f, -1.f, -1.f};
  for (const Tensor& least :
       {tf::argmin(tf::tensor(bytes)), tf::argmin(tf::tensor(longs)), tf::argmin(tf::tensor(floats))})
    CHECK(least.item<int64_t>() == 1);
  const Tensor b = tf::tensor({{true, false}, {true, true}});
  const Tensor columns = tf::all(b, 0), kept = tf::any(b, 1, {.keepdims = true});
  const Tensor nothing = tf::tensor(std::vector<bool>{});
  CHECK(tf::any(b).item<bool>());
  CHECK_FALSE(tf::all(b).item<bool>());
  CHECK(columns[0].item<bool>());
  CHECK_FALSE(columns[1].item<bool>());
  CHECK(kept.rank() == 2);
  CHECK_FALSE(tf::any(nothing).item<bool>());
  CHECK(tf::all(nothing).item<bool>());
  CHECK_ERROR(tf::any(x), InvalidArgument, "any() takes a bool tensor, not int32");
  const Tensor unbiased = tf::variance(tf::tensor({1., 2., 4., 7.}), {}, {.correction = 1});
  CHECK(unbiased.item<double>() == 7);
  const double inf = std::numeric_limits<double>::infinity();
  const auto log_sum = [](const std::vector<double>& v) { return tf::logsumexp(tf::tensor(v)).item<double>(); };
  const std::vector<double> low(2, -inf), high{1, inf}, large(2, 1000);
  CHECK(log_sum(low) == -inf);
  CHECK(log_sum(high) == inf);
  CHECK(log_sum(large) == 1000 + std::log(2.));
}

TEST_CASE("gather refuses what it cannot take") {
  const Tensor x = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  const auto take = [&](const std::vector<int32_t>& indices, int64_t axis, int64_t batch_dims) {
    return tf::gather(x, tf::tensor(indices), {axis, batch_dims});
  };
  CHECK_ERROR(take({0, 2}, 0, 0), OutOfRange, "was given the index 2, which is out of range");
  CHECK_ERROR(take({-1}, 0, 0), OutOfRange, "was given the index -1, which is out of range");
  CHECK_ERROR(take({0}, 2, 0), InvalidArgument, "Axis 2 is out of range for rank 2");
  CHECK_ERROR(take({0}, 0, 1), InvalidArgument, "batch_dims 1 is beyond axis 0");
  CHECK_ERROR(take({0}, 1, -2), InvalidArgument, "batch_dims -2 is beyond the rank of indices, 1");
  CHECK_ERROR(take({0, 1, 2}, 1, 1), InvalidArgument, "Batch axis 0 has extents 2 and 3");
  const Tensor fraction = tf::tensor({0.f}), zero = tf::tensor({0}), row = tf::tensor({{1, 2}});
  CHECK_ERROR(tf::gather(x, fraction), InvalidArgument, "Indices must be int32 or int64, not float32");
  CHECK_ERROR(tf::scatter_add(x, zero, row), InvalidArgument, "Updates must have the shape (1, 3) but have (1, 2)");
}

TEST_CASE("Every op gives the same bits in both modes, on any threads, at any address, within its output") {
  for_each_case([](const Record& r, const auto& shapes, DType dtype, Random& random) {
    const Arrays inputs = sample(r, shapes, dtype, false, random);
    INFO(describe(r, shapes, dtype));
    CHECK(check_parity(r.call, inputs, run_eagerly(r.call, to_tensors(inputs))) == "");
  });
}

namespace {

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (size_t i = 0; i < a.data<double>().size(); ++i) sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}

/// Compares the claimed gradients of `f` by input `which` with central differences, element by element.
std::string against_differences(const std::function<double(const Arrays&)>& f, const Arrays& inputs, size_t which,
                                const Tensor& claimed) {
  constexpr double kTolerance = 2e-6;
  for (size_t e = 0; e < inputs[which].values.size(); ++e) {
    Arrays moved = inputs;
    const double x = inputs[which].values[e], h = 1e-5 * std::max(1.0, std::abs(x));
    moved[which].values[e] = x + h;
    const double above = f(moved);
    moved[which].values[e] = x - h;
    const double numeric = (above - f(moved)) / (2 * h);
    const double analytic = claimed.defined() ? claimed.data<double>()[e] : 0;
    if (!(std::abs(numeric - analytic) <= kTolerance * std::max(1.0, std::abs(numeric))))
      return "element " + std::to_string(e) + " of input " + std::to_string(which) + ": " + std::to_string(analytic) +
             ", by central differences " + std::to_string(numeric);
  }
  return "";
}

}  // namespace

TEST_CASE("First and second gradients agree with central differences in float64") {
  for_each_case([](const Record& r, const auto& shapes, DType dtype, Random& random) {
    if (r.gradient_of.empty() || dtype != tf::float64 || elements(shapes) > 64) return;
    if (r.op == "Cast") return;  // to float32, whose rounding hides any difference; its gradient is checked for parity
    INFO(describe(r, shapes, dtype));
    const Arrays inputs = sample(r, shapes, dtype, true, random);
    const GradientProgram program = program_for(r, inputs, random);
    Tensors gradients;
    REQUIRE_NOTHROW(gradients = run_eagerly(std::ref(program), to_tensors(inputs)));
    const size_t n = r.gradient_of.size();
    REQUIRE(gradients.size() == 2 * n);
    const auto value = [&](const Arrays& at) {
      const Tensors ys = run_eagerly(r.call, to_tensors(at));
      double sum = 0;
      for (size_t i = 0; i < ys.size(); ++i) sum += dot(ys[i], program.ws[i]);
      return sum;
    };
    const auto slope = [&](const Arrays& at) {
      const Tensors g = run_eagerly(std::ref(program), to_tensors(at));
      double sum = 0;
      for (size_t i = 0; i < n; ++i) sum += dot(g[i], program.vs[i]);
      return sum;
    };
    for (size_t k = 0; k < n; ++k) {
      const auto which = static_cast<size_t>(r.gradient_of[k]);
      REQUIRE(gradients[k].defined());
      CHECK(gradients[k].shape() == inputs[which].shape);
      CHECK(against_differences(value, inputs, which, gradients[k]) == "");
      INFO("second gradient");
      CHECK(against_differences(slope, inputs, which, gradients[n + k]) == "");
    }
  });
}

TEST_CASE("Gradients give the same bits in both modes, on any threads, at any address, within their outputs") {
  for_each_case([](const Record& r, const auto& shapes, DType dtype, Random& random) {
    if (r.gradient_of.empty() || !tf::is_floating(dtype)) return;
    INFO(describe(r, shapes, dtype));
    const Arrays inputs = sample(r, shapes, dtype, true, random);
    const GradientProgram program = program_for(r, inputs, random);
    const Call gradients = program.defined_ones();
    Tensors expected;
    REQUIRE_NOTHROW(expected = run_eagerly(gradients, to_tensors(inputs)));
    CHECK(check_parity(gradients, inputs, expected, r.gradient_needs_rank) == "");
  });
}
