// Records of gather and its adjoint.
#include <twofold/kernels/gather/gather.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

/// Where element `i` of what is taken lies in params; reads the index from `indices`.
Index place(const Index& i, const Array& indices, int axis, int batch) {
  const auto k = static_cast<size_t>(axis), own = static_cast<size_t>(indices.shape.rank() - batch);
  Index of_index(i.begin(), i.begin() + batch);
  of_index.insert(of_index.end(), i.begin() + axis, i.begin() + static_cast<std::ptrdiff_t>(k + own));
  Index at_params(i.begin(), i.begin() + axis);
  at_params.push_back(static_cast<int64_t>(at(indices, of_index)));
  at_params.insert(at_params.end(), i.begin() + static_cast<std::ptrdiff_t>(k + own), i.end());
  return at_params;
}

Shape taken_shape(const Shape& params, const Shape& indices, int axis, int batch) {
  Shape y;
  for (int i = 0; i < axis; ++i) y.push_back(params[i]);
  for (int i = batch; i < indices.rank(); ++i) y.push_back(indices[i]);
  for (int i = axis + 1; i < params.rank(); ++i) y.push_back(params[i]);
  return y;
}

size_t offset(const Shape& s, const Index& i) {
  int64_t at = 0;
  for (int k = 0; k < s.rank(); ++k) at = at * s[k] + i[static_cast<size_t>(k)];
  return static_cast<size_t>(at);
}

struct Case {
  std::string label;
  GatherOptions options;
  DType indices;
  double most;  ///< the largest index
  std::vector<std::vector<Shape>> shapes;
};

}  // namespace

void add_gather_records(std::vector<Record>& all) {
  const Case cases[] = {
      {"axis 0",
       {},
       int32,
       4,
       {{{5}, {3}}, {{5, 3}, {}}, {{5, 3}, {2, 2}}, {{7, 0}, {3}}, {{7}, {0}}, {{33, 301}, {257}}, {{70001}, {70003}}}},
      {"one slice", {}, int64, 0, {{{1}, {1}}, {{1, 3}, {4}}}},
      {"last axis", {.axis = -1}, int64, 2, {{{5, 3}, {4}}, {{2, 4, 3}, {2, 5}}, {{0, 3}, {2}}, {{301, 17}, {33}}}},
      {"axis 1 of 3", {.axis = 1}, int32, 3, {{{2, 4, 3}, {5}}, {{3, 4, 1}, {}}, {{9, 5, 257}, {7}}}},
      {"one of each row",
       {.axis = 1, .batch_dims = 1},
       int64,
       2,
       {{{4, 3}, {4}}, {{1, 3}, {1}}, {{0, 3}, {0}}, {{301, 5}, {301}}}},
      {"one of each row, from the end",
       {.axis = -1, .batch_dims = -1},
       int32,
       2,
       {{{4, 3}, {4, 2}}, {{301, 5}, {301, 3}}}},
      {"batches", {.axis = 2, .batch_dims = 1}, int32, 2, {{{2, 4, 3, 5}, {2, 6}}, {{3, 1, 3}, {3, 2, 2}}}},
  };
  for (const Case& c : cases) {
    const auto axis_of = [c](const Shape& params) {
      return static_cast<int>(c.options.axis < 0 ? c.options.axis + params.rank() : c.options.axis);
    };
    const int batch = static_cast<int>(c.options.batch_dims < 0 ? 1 : c.options.batch_dims);  // that of matrices
    Record r{.op = "Gather", .label = c.label};
    r.call = [c](auto in) { return Tensors{gather(in[0], in[1], c.options)}; };
    r.reference = [=](std::span<const Array> in) -> Arrays {
      const int axis = axis_of(in[0].shape);
      return {generate(in[0].dtype, taken_shape(in[0].shape, in[1].shape, axis, batch),
                       [&](const Index& i) { return at(in[0], place(i, in[1], axis, batch)); })};
    };
    r.shapes = c.shapes;
    r.dtypes = {float32, float64, int32, int64, uint8, bool_};
    r.fixed = {{}, c.indices};
    r.samples = {{-3, 3}, {0, c.most}};
    r.gradient_of = {0};
    r.exact = true;
    all.push_back(r);

    Record s{.op = "ScatterAdd", .label = c.label};
    s.call = [c](auto in) { return Tensors{scatter_add(in[0], in[1], in[2], c.options)}; };
    s.reference = [=](std::span<const Array> in) -> Arrays {
      const int axis = axis_of(in[0].shape);
      Array y = in[0];
      y.magnitude = std::vector<double>(y.values.size(), 0);
      size_t next = 0;
      for_each_index(in[2].shape, [&](const Index& i) {
        const size_t to = offset(y.shape, place(i, in[1], axis, batch));
        y.magnitude[to] += std::abs(in[2].values[next]);
        y.values[to] += in[2].values[next++];
      });
      for (size_t i = 0; i < y.values.size(); ++i) y.values[i] = stored(y.values[i], y.dtype);
      return {y};
    };
    for (const auto& shapes : c.shapes)
      s.shapes.push_back({shapes[0], shapes[1], taken_shape(shapes[0], shapes[1], axis_of(shapes[0]), batch)});
    s.dtypes = {float32, float64, int32, int64, uint8};
    s.fixed = {{}, c.indices, {}};
    s.samples = {{-3, 3}, {0, c.most}, {-3, 3}};
    s.gradient_of = {0, 2};
    s.tolerance32 = 1e-5;  // of sums of thousands, one by one
    all.push_back(s);
  }

  for (const DType indices : {int32, int64}) {
    Record c{.op = "CheckIndices", .label = std::string(name_of(indices))};
    c.call = [](auto in) { return Tensors{internal::checked_indices(in[0], in[1])}; };
    c.reference = [](std::span<const Array> in) -> Arrays { return {in[0]}; };
    c.shapes = {{{3}, {5}}, {{}, {5, 3}}, {{2, 2}, {5, 0}}, {{0}, {7, 2}}, {{257}, {5}}};
    c.dtypes = {float32};
    c.fixed = {indices, {}};
    c.samples = {{0, 4}, {-3, 3}};
    c.exact = true;
    all.push_back(c);
  }

  Record e{.op = "Gather", .label = "embedding"};
  e.call = [](auto in) { return Tensors{embedding(in[0], in[1])}; };
  e.reference = [](std::span<const Array> in) -> Arrays {
    return {generate(in[0].dtype, taken_shape(in[0].shape, in[1].shape, 0, 0),
                     [&](const Index& i) { return at(in[0], place(i, in[1], 0, 0)); })};
  };
  e.shapes = {{{5, 3}, {2, 4}}, {{5, 1}, {}}, {{5, 3}, {0}}};
  e.dtypes = {float32, float64};
  e.fixed = {{}, int32};
  e.samples = {{-3, 3}, {0, 4}};
  e.gradient_of = {0};
  e.exact = true;
  all.push_back(e);
}

}  // namespace op_test
