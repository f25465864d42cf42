// Records of running sums, of top_k and of check_numerics.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <twofold/kernels/check_numerics/check_numerics.h>
#include <twofold/kernels/cumsum/cumsum.h>
#include <twofold/kernels/top_k/top_k.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

const std::vector<DType> kNumbers = {float32, float64, int32, int64, uint8};

void add_cumsum(std::vector<Record>& all, int64_t axis, CumsumOptions o, std::vector<std::vector<Shape>> shapes) {
  Record r{.op = "Cumsum", .label = "axis " + std::to_string(axis)};
  if (o.exclusive) r.label += ", exclusive";
  if (o.reverse) r.label += ", reverse";
  r.call = [axis, o](auto in) { return Tensors{cumsum(in[0], axis, o)}; };
  r.reference = [axis, o](std::span<const Array> in) -> Arrays {
    const Array& x = in[0];
    const auto k = static_cast<size_t>(axis < 0 ? axis + x.shape.rank() : axis);
    const auto sum = [&](const Index& i, bool magnitude) {
      const int64_t n = x.shape[static_cast<int>(k)], out = o.exclusive ? 1 : 0;
      double total = 0;
      Index j = i;
      for (j[k] = o.reverse ? i[k] + out : 0; j[k] < (o.reverse ? n : i[k] + 1 - out); ++j[k])
        total += magnitude ? std::abs(at(x, j)) : at(x, j);
      return total;
    };
    Array y = generate(x.dtype, x.shape, [&](const Index& i) { return sum(i, false); });
    y.magnitude = generate(float64, x.shape, [&](const Index& i) { return sum(i, true); }).values;
    return {y};
  };
  r.shapes = std::move(shapes);
  r.dtypes = kNumbers;
  r.gradient_of = {0};
  all.push_back(r);
}

void add_top_k(std::vector<Record>& all, int64_t k, std::vector<std::vector<Shape>> shapes) {
  Record r{.op = "TopK", .label = std::to_string(k)};
  r.call = [k](auto in) {
    const TopKResult best = top_k(in[0], k);
    return Tensors{best.values, best.indices};
  };
  r.reference = [k](std::span<const Array> in) -> Arrays {
    const Array& x = in[0];
    Shape s = x.shape;
    const int64_t n = s[s.rank() - 1];
    s.set(s.rank() - 1, k);
    Array values{x.dtype, s, {}}, indices{int32, s, {}};
    for (auto row = x.values.begin(); n > 0 && row != x.values.end(); row += n) {
      std::vector<int64_t> order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return above(row[a], row[b]); });
      for (int64_t i = 0; i < k; ++i) {
        values.values.push_back(row[order[static_cast<size_t>(i)]]);
        indices.values.push_back(static_cast<double>(order[static_cast<size_t>(i)]));
      }
    }
    return {values, indices};
  };
  r.shapes = std::move(shapes);
  r.dtypes = kNumbers;
  r.exact = true;
  all.push_back(r);
  r.label += ", values";
  r.call = [k](auto in) { return Tensors{top_k(in[0], k).values}; };
  r.reference = [whole = r.reference](auto in) { return Arrays{whole(in)[0]}; };
  r.gradient_of = {0};
  all.push_back(r);
}

void add_check_numerics(std::vector<Record>& all) {
  Record r{.op = "CheckNumerics", .label = ""};
  r.call = [](auto in) { return Tensors{check_numerics(in[0], "x")}; };
  r.reference = [](auto in) { return Arrays{in[0]}; };
  r.shapes = {{Shape{}}, {{5}}, {{0, 3}}, {{2, 3}}, {{70001}}};
  r.dtypes = {float32, float64};
  r.gradient_of = {0};
  r.exact = true;
  all.push_back(r);
}

}  // namespace

void add_scan_records(std::vector<Record>& all) {
  add_cumsum(all, 0, {}, {{{1}}, {{7}}, {{0}}, {{3, 5}}, {{257, 31}}, {{3, 0}}});
  add_cumsum(all, -1, {.exclusive = true}, {{{4}}, {{3, 5}}, {{2, 3, 2}}, {{33, 129}}});
  add_cumsum(all, 1, {.reverse = true}, {{{3, 5}}, {{2, 3, 4}}, {{5, 31, 301}}});
  add_cumsum(all, -2, {.exclusive = true, .reverse = true}, {{{3, 5}}, {{2, 3, 4}}, {{17, 65, 3}}});
  add_top_k(all, 1, {{{1}}, {{5}}, {{3, 4}}, {{2, 2, 3}}, {{0, 2}}, {{70001}}});
  add_top_k(all, 3, {{{3}}, {{5}}, {{4, 6}}, {{2, 3, 4}}, {{301, 129}}});
  add_check_numerics(all);
  add_top_k(all, 0, {{{3}}, {{2, 0}}});
}

}  // namespace op_test
