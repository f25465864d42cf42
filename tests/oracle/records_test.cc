// The ops' records (tests/ops) over all that their dtypes hold.
#include <algorithm>
#include <iostream>

#include <twofold/lib/op/opdef.h>

#include "../ops/cases.h"
#include "oracle.h"

using namespace oracle;

namespace {

/// Exact ends of a dtype, as doubles; of int64 those that a double holds.
std::vector<double> ends(DType t) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  switch (t) {
    case DType::float32:
      return {0,
              -0.0,
              1,
              inf,
              -inf,
              nan,
              std::numeric_limits<float>::max(),
              std::numeric_limits<float>::lowest(),
              std::numeric_limits<float>::min(),
              std::numeric_limits<float>::denorm_min()};
    case DType::float64:
      return {0,
              -0.0,
              1,
              inf,
              -inf,
              nan,
              std::numeric_limits<double>::max(),
              std::numeric_limits<double>::lowest(),
              std::numeric_limits<double>::min(),
              std::numeric_limits<double>::denorm_min()};
    case DType::int32: return {0, 1, -1, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()};
    case DType::int64: return {0, 1, -1, 0x1p62, -0x1p63};
    case DType::uint8: return {0, 1, 255, 254};
    case DType::boolean: break;
  }
  return {0, 1};
}

}  // namespace

namespace {

/// Where one element in ten is an end of its dtype; not where an input has one dtype always, as indices have.
op_test::Arrays with_ends(const op_test::Record& r, op_test::Arrays inputs, op_test::Random& random,
                          size_t inputs_changed, const std::function<bool(double)>& fits) {
  for (size_t k = 0; k < std::min(inputs.size(), inputs_changed); ++k) {
    if (k < r.fixed.size() && r.fixed[k]) continue;
    auto from = ends(inputs[k].dtype);
    std::erase_if(from, [&](double v) { return !fits(v); });
    for (double& v : inputs[k].values)
      if (random.uniform() < 0.1) v = from[random.next() % from.size()];
  }
  return inputs;
}

std::string run(const op_test::Record& r, const op_test::Arrays& inputs) {
  const op_test::Arrays wanted = r.reference(inputs);
  const Tensors got = everyway(r.call, op_test::to_tensors(inputs));
  for (size_t i = 0; i < got.size(); ++i)
    if (const std::string d = op_test::difference(got[i], wanted[i], r); !d.empty()) return d;
  return "";
}
bool any(double) { return true; }

}  // namespace

TEST_CASE("oracle: ops that move elements keep every bit of every dtype") {
  op_test::for_each_case(
      [&](const op_test::Record& r, const std::vector<Shape>& shapes, DType dtype, op_test::Random& random) {
        if (!r.exact || op_test::elements(shapes) > 2000 || tf::find_op(r.op)->flags.pointwise) return;
        INFO(op_test::describe(r, shapes, dtype));
        CHECK(run(r, with_ends(r, op_test::sample(r, shapes, dtype, false, random), random, 9, any)) == "");
      });
}

TEST_CASE("oracle: sums of products, and of elements, with zeros, subnormals, infinities and NaN among them") {
  // Not with the largest: there it is the order of the terms that decides what overflows. (reduce_test.cc,
  // linear_test.cc)
  const auto moderate = [](double v) { return std::fabs(v) < 2 || std::isinf(v); };
  const auto or_nan = [&](double v) { return moderate(v) || std::isnan(v); };
  const std::set<std::string> sums = {"MatMul",    "Conv2D",        "Conv2DBackpropInput", "Conv2DBackpropFilter",
                                      "AvgPool2D", "AvgPool2DGrad", "ScatterAdd",          "Sum",
                                      "Mean",      "SumTo",         "SumToLike",           "Cumsum"};
  op_test::for_each_case([&](const op_test::Record& r, const std::vector<Shape>& shapes, DType dtype,
                             op_test::Random& random) {
    if (!sums.contains(r.op) || !tf::is_floating(dtype) || op_test::elements(shapes) > 2000) return;
    if (r.label.find("layer_norm") != std::string::npos || r.label.find("variance") != std::string::npos ||
        r.label.find("logsumexp") != std::string::npos)
      return;
    if (r.label == "einsum ab,bc,cd->ad") return;  // inf * 0 comes or goes with the order of the two products
    INFO(op_test::describe(r, shapes, dtype));
    // Beyond an image's edge x is 0, which an infinite weight makes NaN of; by Winograd's algorithm a
    // sum that is infinite may be NaN (conv2d.h).
    const bool convolution = r.op.starts_with("Conv2D"), winograd = r.label.find("many channels") != std::string::npos;
    const std::function<bool(double)> finite = [](double v) { return std::fabs(v) < 2; };
    CHECK(run(r, with_ends(r, op_test::sample(r, shapes, dtype, false, random), random, convolution ? 1 : 9,
                           winograd ? finite : or_nan)) == "");
  });
}
