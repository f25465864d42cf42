// Records of strided slices, reversal and padding.
#include <algorithm>
#include <cstdlib>

#include <twofold/kernels/pad/pad.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/kernels/sum_slices/sum_slices.h>
#include <twofold/lib/op/backward.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

const std::vector<DType> kAll = {float32, float64, int32, int64, uint8, bool_};

/// The indices that Python's range(*slice(begin, end, stride).indices(n)) gives.
std::vector<int64_t> indices_of(int64_t n, int64_t begin, int64_t end, int64_t stride) {
  const int64_t low = stride < 0 ? -1 : 0, high = stride < 0 ? n - 1 : n;
  const auto clip = [&](int64_t v) { return std::min(std::max(v < 0 ? v + n : v, low), high); };
  int64_t at = begin == omitted ? (stride < 0 ? high : low) : clip(begin);
  const int64_t stop = end == omitted ? (stride < 0 ? low : high) : clip(end);
  std::vector<int64_t> all;
  for (; stride > 0 ? at < stop : at > stop; at += stride) all.push_back(at);
  return all;
}

struct Case {
  const char* label;
  Axes begin, end, strides;
  std::vector<Shape> shapes;
};

std::vector<std::vector<int64_t>> taken(const Case& c, const Shape& x) {
  std::vector<std::vector<int64_t>> all;
  for (int i = 0; i < x.rank(); ++i)
    all.push_back(i >= c.begin.size() ? indices_of(x[i], omitted, omitted, 1)
                                      : indices_of(x[i], c.begin[i], c.end[i], c.strides.empty() ? 1 : c.strides[i]));
  return all;
}

Shape taken_shape(const Case& c, const Shape& x) {
  Shape y;
  for (const auto& indices : taken(c, x)) y.push_back(static_cast<int64_t>(indices.size()));
  return y;
}

Array slice_of(const Case& c, const Array& x) {
  const auto from = taken(c, x.shape);
  return generate(x.dtype, taken_shape(c, x.shape), [&](Index i) {
    for (size_t k = 0; k < i.size(); ++k) i[k] = from[k][static_cast<size_t>(i[k])];
    return at(x, i);
  });
}

Array spread_of(const Case& c, const Array& dy, const Shape& to) {
  const auto from = taken(c, to);
  std::vector<std::vector<int64_t>> places;  // of each axis and index, where it is taken to, or -1
  for (size_t k = 0; k < from.size(); ++k) {
    places.emplace_back(static_cast<size_t>(to[static_cast<int>(k)]), -1);
    for (size_t n = 0; n < from[k].size(); ++n) places[k][static_cast<size_t>(from[k][n])] = static_cast<int64_t>(n);
  }
  return generate(dy.dtype, to, [&](Index i) {
    for (size_t k = 0; k < i.size(); ++k)
      if (i[k] = places[k][static_cast<size_t>(i[k])]; i[k] < 0) return 0.0;
    return at(dy, i);
  });
}

const Case kCases[] = {
    {"[1:-1]", {1}, {-1}, {}, {{3}, {2}, {1}, {5, 3}, {4, 0}, {3, 30011}}},
    {"[::-1]", {omitted}, {omitted}, {-1}, {{1}, {7}, {0}, {3, 4}, {70001}}},
    {"[:, ::2]", {omitted, omitted}, {omitted, omitted}, {1, 2}, {{3, 5}, {2, 1}, {0, 4}, {2, 3, 2}, {129, 541}}},
    {"[-2:0:-1, 1:5:3]", {-2, 1}, {0, 5}, {-1, 3}, {{4, 4}, {3, 9}, {1, 2}, {2, 5, 3}, {301, 5}}},
    {"[::-2, ::-1, ::-3]",
     {omitted, omitted, omitted},
     {omitted, omitted, omitted},
     {-2, -1, -3},
     {{3, 2, 4}, {4, 1, 3}, {17, 33, 65}}},
    {"[100:-100:-7, 2:2]", {100, 2}, {-100, 2}, {-7, 1}, {{9, 3}, {70, 5}}},
    {"[-100:100:1000000007]", {-100}, {100}, {1000000007}, {{5}, {3, 2}}},
};

void add_strided_slices(std::vector<Record>& all) {
  for (const Case& c : kCases) {
    Record r{.op = "StridedSlice", .label = c.label};
    r.call = [c](auto in) { return Tensors{strided_slice(in[0], c.begin, c.end, c.strides)}; };
    r.reference = [c](auto in) { return Arrays{slice_of(c, in[0])}; };
    for (const Shape& s : c.shapes) r.shapes.push_back({s});
    r.dtypes = kAll;
    r.gradient_of = {0};
    r.exact = true;
    all.push_back(r);

    // Its adjoint: the slice in its place, twice, so that sums are seen.
    Record g = r;
    g.op = "SumSlices";
    g.call = [c](auto in) {
      const SlicePlace place{c.begin, c.strides};
      return Tensors{sum_slices(std::vector{in[0], in[1]}, std::vector{place, place}, in[2])};
    };
    g.reference = [c](auto in) {
      Array sum = spread_of(c, in[0], in[2].shape);
      const Array second = spread_of(c, in[1], in[2].shape);
      for (size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += second.values[i];
      return Arrays{sum};
    };
    g.shapes.clear();
    for (const Shape& s : c.shapes) g.shapes.push_back({taken_shape(c, s), taken_shape(c, s), s});
    g.dtypes = {float32, float64};
    g.gradient_of = {0, 1};
    g.exact = false;
    all.push_back(g);
  }
}

void add_reversals(std::vector<Record>& all) {
  const auto add = [&](const char* label, const Axes& axes, std::vector<std::vector<Shape>> shapes) {
    Record r{.op = "ReverseV2", .label = label};
    r.call = [axes](auto in) { return Tensors{reverse(in[0], axes)}; };
    r.reference = [axes](std::span<const Array> in) -> Arrays {
      const Shape& s = in[0].shape;
      return {generate(in[0].dtype, s, [&](Index i) {
        for (int64_t a : axes) {
          const auto k = static_cast<size_t>(a < 0 ? a + s.rank() : a);
          i[k] = s[static_cast<int>(k)] - 1 - i[k];
        }
        return at(in[0], i);
      })};
    };
    r.shapes = std::move(shapes);
    r.dtypes = kAll;
    r.gradient_of = {0};
    r.exact = true;
    all.push_back(r);
  };
  add("0", 0, {{{1}}, {{5}}, {{3, 4}}, {{0, 2}}, {{70001}}, {{300, 129}}});
  add("-1, 0", {-1, 0}, {{{3, 4}}, {{2, 3, 4}}, {{33, 17, 65}}});
  add("none", {}, {{Shape{}}, {{3}}});
}

using Paddings = std::vector<std::pair<int64_t, int64_t>>;

void add_paddings(std::vector<Record>& all) {
  const auto add = [&](const char* op, std::string label, const Paddings& paddings, PadOptions o,
                       std::vector<std::vector<Shape>> shapes) {
    Record r{.op = op, .label = std::move(label)};
    r.call = [paddings, o](auto in) { return Tensors{pad(in[0], paddings, o)}; };
    r.reference = [paddings, o](std::span<const Array> in) -> Arrays {
      const Shape& x = in[0].shape;
      Shape y;
      for (int i = 0; i < x.rank(); ++i)
        y.push_back(x[i] + paddings[static_cast<size_t>(i)].first + paddings[static_cast<size_t>(i)].second);
      return {generate(in[0].dtype, y, [&](Index i) {
        for (size_t k = 0; k < i.size(); ++k) {
          const int64_t n = x[static_cast<int>(k)], edge = o.mode == PadMode::reflect ? 0 : 1;
          i[k] -= paddings[k].first;
          if (i[k] >= 0 && i[k] < n) continue;
          if (o.mode == PadMode::constant) return o.value.value();
          i[k] = i[k] < 0 ? -i[k] - edge : 2 * n - 2 - i[k] + edge;
        }
        return at(in[0], i);
      })};
    };
    r.shapes = std::move(shapes);
    r.dtypes = kAll;
    if (o.value != 0) r.dtypes.pop_back();
    r.gradient_of = {0};
    r.exact = true;
    all.push_back(r);
  };
  const std::vector<std::vector<Shape>> matrices = {{{3, 4}}, {{2, 3}}, {{4, 7}}, {{129, 541}}};
  add("Pad", "(1, 2)", {{1, 2}}, {}, {{{3}}, {{0}}, {{70001}}});
  add("Pad", "(0, 2), (1, 0)", {{0, 2}, {1, 0}}, {.value = 5}, {{{3, 4}}, {{0, 2}}, {{2, 0}}, {{129, 541}}});
  add("Pad", "(2, 1), (0, 0)", {{2, 1}, {0, 0}}, {}, {{{3, 4}}, {{2, 0}}, {{3, 40001}}});
  add("Pad", "(1, 0), (0, 1), (0, 0)", {{1, 0}, {0, 1}, {0, 0}}, {}, {{{2, 3, 2}}, {{5, 17, 33}}});
  add("Pad", "none", {}, {}, {{Shape{}}});
  add("ReverseV2", "pad, reflect", {{1, 1}, {0, 2}}, {.mode = PadMode::reflect}, matrices);
  add("ReverseV2", "pad, symmetric", {{2, 0}, {1, 3}}, {.mode = PadMode::symmetric}, matrices);
}

}  // namespace

void add_slicing_records(std::vector<Record>& all) {
  add_strided_slices(all);
  add_reversals(all);
  add_paddings(all);
}

}  // namespace op_test
