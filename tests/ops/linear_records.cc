// Records of the matrix product.
#include <cmath>

#include <twofold/kernels/matmul/matmul.h>
#include <twofold/lib/op/apply.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

Array product(const Array& a, const Array& b, bool transpose_a, bool transpose_b) {
  const auto leading = [](const Shape& s) {
    Shape lead;
    for (int i = 0; i + 2 < s.rank(); ++i) lead.push_back(s[i]);
    return lead;
  };
  const int ra = a.shape.rank(), rb = b.shape.rank();
  Shape y = broadcast(leading(a.shape), leading(b.shape));
  y.push_back(a.shape[transpose_a ? ra - 1 : ra - 2]);
  y.push_back(b.shape[transpose_b ? rb - 2 : rb - 1]);
  const int64_t depth = a.shape[transpose_a ? ra - 2 : ra - 1];
  Array result{a.dtype, y, {}, {}};
  for_each_index(y, [&](const Index& i) {
    Index ia = i, ib = i;
    const size_t row = i.size() - 2, column = i.size() - 1;
    int64_t& ka = ia[transpose_a ? row : column];
    int64_t& kb = ib[transpose_b ? column : row];
    ia[transpose_a ? column : row] = i[row];
    ib[transpose_b ? row : column] = i[column];
    double sum = 0, magnitude = 0;
    for (int64_t k = 0; k < depth; ++k) {
      ka = k, kb = k;
      const double term = at(a, ia) * at(b, ib);
      sum += term, magnitude += std::abs(term);
    }
    result.values.push_back(stored(sum, a.dtype));
    result.magnitude.push_back(magnitude);
  });
  return result;
}

Shape swapped(Shape s) {
  const int64_t last = s[s.rank() - 1];
  s.set(s.rank() - 1, s[s.rank() - 2]);
  s.set(s.rank() - 2, last);
  return s;
}

}  // namespace

void add_linear_records(std::vector<Record>& all) {
  for (const MatMulOptions o : {MatMulOptions{}, {true, false}, {false, true}, {true, true}}) {
    Record r{.op = "MatMul", .label = std::string(o.transpose_a ? "a^T" : "a") + (o.transpose_b ? " b^T" : " b")};
    r.call = [o](auto in) { return Tensors{matmul(in[0], in[1], o)}; };
    r.reference = [o](auto in) { return Arrays{product(in[0], in[1], o.transpose_a, o.transpose_b)}; };
    r.shapes = {{{1, 1}, {1, 1}},          {{2, 3}, {3, 2}},          {{3, 0}, {0, 2}},        {{0, 3}, {3, 2}},
                {{1, 7}, {7, 1}},          {{5, 1}, {1, 6}},          {{2, 2, 3}, {2, 3, 2}},  {{2, 3}, {4, 3, 2}},
                {{3, 1, 2, 3}, {2, 3, 1}}, {{33, 65}, {65, 17}},      {{129, 301}, {301, 97}}, {{1, 700}, {700, 33}},
                {{257, 3}, {3, 130}},      {{3, 40, 50}, {1, 50, 30}}};
    for (auto& s : r.shapes) {
      if (o.transpose_a) s[0] = swapped(s[0]);
      if (o.transpose_b) s[1] = swapped(s[1]);
    }
    r.dtypes = {float32, float64, int32, int64};
    r.gradient_of = {0, 1};
    all.push_back(r);
  }
  Record flat{.op = "FlattenBatch", .label = ""};
  flat.call = [](auto in) {
    return Tensors{apply(*find_op("FlattenBatch"), {&in[0], &in[1]}, std::source_location::current())};
  };
  flat.reference = [](auto in) {
    Shape y = in[0].shape;
    if (in[1].shape.rank() == 2 && y.rank() > 2) {
      int64_t rows = 1;
      for (int i = 0; i + 1 < y.rank(); ++i) rows *= y[i];
      y = {rows, y[y.rank() - 1]};
    }
    return Arrays{{in[0].dtype, y, in[0].values}};
  };
  flat.shapes = {
      {{2, 3, 4}, {4, 5}}, {{2, 0, 3, 4}, {4, 5}}, {{2, 3, 4}, {2, 4, 5}}, {{3, 4}, {4, 5}}, {{2, 3, 0}, {0, 1}}};
  flat.dtypes = {float32, float64, int32, int64};
  flat.gradient_of = {0};
  flat.exact = true;
  all.push_back(flat);
}

}  // namespace op_test
