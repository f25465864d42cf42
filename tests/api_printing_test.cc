// Printing follows NumPy: every text below was made by NumPy itself (data/numpy_prints.py), save that a whole floating
// scalar prints without ".0".
#include <limits>
#include <sstream>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"

namespace tf = twofold;
using namespace twofold;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

/// Elements as the table writes them.
struct Elements {
  std::vector<double> floating;
  std::vector<int64_t> integer;
};
Elements floats(std::vector<double> v) { return {std::move(v), {}}; }
Elements integers(std::vector<int64_t> v) { return {{}, std::move(v)}; }
Elements ramp(double start, double step, int64_t n) {
  Elements e;
  for (int64_t i = 0; i < n; ++i) e.floating.push_back(start + static_cast<double>(i) * step);
  return e;
}

struct Case {
  DType dtype;
  Shape shape;
  Elements elements;
  const char* text;
};

Tensor tensor_of(const Case& c) {
  // Through cast, since literals of one kind do not turn into another.
  return c.elements.integer.empty() ? cast(tensor(c.elements.floating, c.shape), c.dtype)
                                    : cast(tensor(c.elements.integer, c.shape), c.dtype);
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
#include "data/numpy_prints.inc"
  };
  return all;
}

}  // namespace

TEST_CASE("Values print as NumPy prints them") {
  CHECK(cases().size() > 300);
  for (const Case& c : cases()) {
    INFO(c.dtype << " " << c.shape);
    CHECK(to_string(tensor_of(c)) == c.text);
  }
}

TEST_CASE("Streams print what to_string gives") {
  std::ostringstream out;
  out << tf::tensor({1.5f, 2.f}) << ' ' << tf::tensor(3);
  CHECK(out.str() == "[1.5 2. ] 3");
}

TEST_CASE("repr adds dtype, shape and device, and indents what follows the first line") {
  CHECK(tf::repr(tf::tensor({1.f, 2.f})) == "Tensor([1. 2.], shape=(2,), dtype=float32, device=/cpu:0)");
  CHECK(tf::repr(tf::tensor(5)) == "Tensor(5, shape=(), dtype=int32, device=/cpu:0)");
  CHECK(tf::repr(tf::tensor({{1, 2}, {3, 4}})) ==
        "Tensor([[1 2]\n        [3 4]], shape=(2, 2), dtype=int32, device=/cpu:0)");
  CHECK(tf::repr(tf::Tensor()) == "None");
}
