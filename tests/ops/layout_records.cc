// Records of the ops that move or reshape elements.
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pad/pad.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

const std::vector<DType> kAll = {float32, float64, int32, int64, uint8, bool_};
using Reference = std::function<Array(std::span<const Array>)>;

Record moves(const char* op, std::string label, std::function<Tensor(std::span<const Tensor>)> call,
             Reference reference, std::vector<std::vector<Shape>> shapes, std::vector<int> gradient_of = {0}) {
  Record r{.op = op, .label = std::move(label)};
  r.call = [call](auto in) { return Tensors{call(in)}; };
  r.reference = [reference](auto in) { return Arrays{reference(in)}; };
  r.shapes = std::move(shapes);
  r.dtypes = kAll;
  r.gradient_of = std::move(gradient_of);
  r.exact = true;
  return r;
}

Array under(const Array& x, const Shape& shape) { return {x.dtype, shape, x.values}; }

Reference reshaped(std::function<Shape(const Shape&)> to) {
  return [to](std::span<const Array> in) { return under(in[0], to(in[0].shape)); };
}

/// y[index] = x[index permuted], axis i of y being axis p[i] of x.
Reference transposed(std::vector<int> p) {
  return [p](std::span<const Array> in) {
    Shape y;
    for (int from : p) y.push_back(in[0].shape[from]);
    return generate(in[0].dtype, y, [&](const Index& i) {
      Index from(i.size());
      for (size_t k = 0; k < p.size(); ++k) from[static_cast<size_t>(p[k])] = i[k];
      return at(in[0], from);
    });
  };
}

Reference filled(double v) {
  return [v](std::span<const Array> in) { return generate(in[0].dtype, in[0].shape, [&](const Index&) { return v; }); };
}

Reference sliced(Index begin, Shape to) {
  return [begin, to](std::span<const Array> in) {
    return generate(in[0].dtype, to, [&](Index i) {
      for (size_t k = 0; k < i.size(); ++k) i[k] += begin[k];
      return at(in[0], i);
    });
  };
}

Reference concatenated(size_t axis) {
  return [axis](std::span<const Array> in) {
    Shape y = in[0].shape;
    for (size_t k = 1; k < in.size(); ++k)
      y.set(static_cast<int>(axis), y[static_cast<int>(axis)] + in[k].shape[static_cast<int>(axis)]);
    return generate(in[0].dtype, y, [&](Index i) {
      size_t k = 0;
      while (i[axis] >= in[k].shape[static_cast<int>(axis)]) i[axis] -= in[k++].shape[static_cast<int>(axis)];
      return at(in[k], i);
    });
  };
}

Tensor part(std::span<const Tensor> in, int64_t axis, int64_t which) {
  std::vector<const Tensor*> inputs;
  for (const Tensor& t : in) inputs.push_back(&t);
  return apply(*find_op("ConcatPart"), inputs, ConcatPartAttrs{axis, which}, std::source_location::current());
}

const Shape kLarge{129, 541};

void add_reshapes(std::vector<Record>& all) {
  const std::vector<std::vector<Shape>> any = {{Shape{}}, {{1}}, {{0, 3}}, {{3, 5}}, {{2, 3, 4}}, {kLarge}};
  all.push_back(moves(
      "Reshape", "to a vector", [](auto in) { return reshape(in[0], {-1}); },
      reshaped([](const Shape& s) { return Shape{s.num_elements()}; }), any));
  all.push_back(moves("Reshape", "to (4, -1, 3)", [](auto in) { return reshape(in[0], {4, -1, 3}); },
                      reshaped([](const Shape& s) { return Shape{4, s.num_elements() / 12, 3}; }),
                      {{{2, 6}}, {{24}}, {{12, 0}}, {{3, 4, 5}}}));
  all.push_back(moves(
      "Reshape", "to another's shape", [](auto in) { return reshape(in[0], shape(in[1])); },
      [](auto in) { return under(in[0], in[1].shape); }, {{{6}, {2, 3}}, {{}, {1, 1}}, {{2, 0}, {0}}}));
  all.push_back(moves(
      "ReshapeLike", "", [](auto in) { return reshape_like(in[0], in[1]); },
      [](auto in) { return under(in[0], in[1].shape); },
      {{{6}, {2, 3}}, {{}, {1, 1}}, {{2, 0}, {0}}, {{2, 3}, {2, 3}}}));
  all.push_back(moves(
      "ExpandDims", "0, -1", [](auto in) { return expand_dims(in[0], {0, -1}); }, reshaped([](const Shape& s) {
        Shape y{1};
        for (int64_t d : s) y.push_back(d);
        y.push_back(1);
        return y;
      }),
      any));
  all.push_back(moves("Squeeze", "all", [](auto in) { return squeeze(in[0]); }, reshaped([](const Shape& s) {
                        Shape y;
                        for (int64_t d : s)
                          if (d != 1) y.push_back(d);
                        return y;
                      }),
                      {{Shape{}}, {{1}}, {{1, 3, 1}}, {{2, 3}}, {{1, 0}}}));
  all.push_back(moves("Squeeze", "-2", [](auto in) { return squeeze(in[0], -2); },
                      reshaped([](const Shape& s) { return Shape{s[0], s[2]}; }), {{{3, 1, 1}}, {{2, 1, 5}}}));
  const auto same = [](std::span<const Array> in) { return in[0]; };
  all.push_back(moves("Identity", "", [](auto in) { return identity(in[0]); }, same, any));
  all.push_back(moves("StopGradient", "", [](auto in) { return stop_gradient(in[0]); }, same, any, {}));
  all.push_back(moves(
      "WithEffects", "",
      [](auto in) {
        const Tensor* x = &in[0];
        return apply(*find_op("WithEffects"), {x}, std::source_location::current());
      },
      same, any));
  all.push_back(moves("ZerosLike", "", [](auto in) { return zeros_like(in[0]); }, filled(0), any, {}));
  all.push_back(moves("OnesLike", "", [](auto in) { return ones_like(in[0]); }, filled(1), any, {}));
  all.push_back(moves(
      "Shape", "", [](auto in) { return shape(in[0]); },
      [](auto in) {
        const Shape& s = in[0].shape;
        return generate(int32, {s.rank()}, [&](const Index& i) { return s[static_cast<int>(i[0])]; });
      },
      any, {}));
}

void add_moves(std::vector<Record>& all) {
  all.push_back(moves("Transpose", "reversed", [](auto in) { return transpose(in[0]); }, transposed({1, 0}),
                      {{{3, 5}}, {{1, 7}}, {{0, 3}}, {{33, 65}}, {kLarge}}));
  all.push_back(moves("Transpose", "0 2 1", [](auto in) { return transpose(in[0], {0, 2, 1}); }, transposed({0, 2, 1}),
                      {{{2, 3, 4}}, {{1, 1, 1}}, {{2, 0, 3}}, {{5, 17, 33}}, {{3, 129, 211}}}));
  all.push_back(moves("Transpose", "-1 0 2 1", [](auto in) { return transpose(in[0], {-1, 0, 2, 1}); },
                      transposed({3, 0, 2, 1}), {{{2, 3, 2, 3}}, {{7, 5, 3, 11}}}));
  all.push_back(moves(
      "BroadcastTo", "(2, 3, 5)", [](auto in) { return broadcast_to(in[0], {2, 3, 5}); },
      [](auto in) { return generate(in[0].dtype, {2, 3, 5}, [&](const Index& i) { return at(in[0], i); }); },
      {{Shape{}}, {{5}}, {{1}}, {{3, 1}}, {{2, 1, 5}}, {{2, 3, 5}}}));
  all.push_back(moves(
      "BroadcastTo", "(0, 70001)", [](auto in) { return broadcast_to(in[0], {-1, 70001}); },
      [](auto in) {
        return generate(in[0].dtype, {in[0].shape[0], 70001}, [&](const Index& i) { return at(in[0], i); });
      },
      {{{0, 1}}, {{2, 1}}}));
  all.push_back(moves(
      "BroadcastLike", "", [](auto in) { return broadcast_like(in[0], in[1]); },
      [](auto in) { return generate(in[0].dtype, in[1].shape, [&](const Index& i) { return at(in[0], i); }); },
      {{Shape{}, {2, 3}}, {{3, 1}, {3, 4}}, {{1, 3}, {2, 3}}, {{2, 3}, {2, 3}}, {{1, 3}, {0, 3}}, {{129, 1}, kLarge}}));
  all.push_back(moves("ConcatV2", "along 0", [](auto in) { return concat(in, 0); }, concatenated(0),
                      {{{3}, {4}}, {{2, 3}, {1, 3}, {4, 3}}, {{0, 3}, {2, 3}}, {{1}, {1}}, {{30001}, {40000}}},
                      {0, 1}));
  all.push_back(moves("ConcatV2", "along -1", [](auto in) { return concat(in, -1); }, concatenated(1),
                      {{{2, 3}, {2, 1}}, {{2, 0}, {2, 5}}, {{0, 2}, {0, 3}}, {{129, 301}, {129, 240}}}, {0, 1}));
  all.push_back(moves("ConcatV2", "forty", [](auto in) { return concat(in, 0); }, concatenated(0),
                      {std::vector<Shape>(40, Shape{1}), std::vector<Shape>(40, Shape{0, 2})}, {0, 39}));
  all.push_back(moves(
      "ConcatPart", "1 along 1", [](auto in) { return part(in, 1, 1); },
      [](std::span<const Array> in) {
        return generate(in[0].dtype, in[2].shape, [&](Index i) {
          i[1] += in[1].shape[1];
          return at(in[0], i);
        });
      },
      {{{2, 5}, {2, 3}, {2, 2}}, {{2, 3}, {2, 3}, {2, 0}}, {{1, 2}, {1, 1}, {1, 1}}}));
  all.push_back(moves(
      "Slice", "(1, 0, 2) of (-1, 3, 2)", [](auto in) { return slice(in[0], {1, 0, -3}, {-1, 3, 2}); },
      [](std::span<const Array> in) {
        const Shape& s = in[0].shape;
        return sliced({1, 0, s[2] - 3}, {s[0] - 1, 3, 2})(in);
      },
      {{{2, 3, 3}}, {{1, 3, 4}}, {{4, 5, 6}}, {{300, 77, 5}}}));
  all.push_back(moves(
      "Slice", "rows", [](auto in) { return slice(in[0], 1, 2); },
      [](std::span<const Array> in) {
        Shape y = in[0].shape;
        y.set(0, 2);
        Index begin(static_cast<size_t>(y.rank()), 0);
        begin[0] = 1;
        return sliced(begin, y)(in);
      },
      {{{3}}, {{5, 3}}, {{4, 0}}, {{3, 30011}}}));
  all.push_back(moves(
      "PadLike", "", [](auto in) { return pad_like(in[0], in[1], {1, 0}); },
      [](std::span<const Array> in) {
        return generate(in[0].dtype, in[1].shape, [&](Index i) {
          i[0] -= 1;
          const bool inside = i[0] >= 0 && i[0] < in[0].shape[0] && i[1] < in[0].shape[1];
          return inside ? at(in[0], i) : 0.0;
        });
      },
      {{{1, 2}, {3, 3}}, {{2, 3}, {3, 3}}, {{0, 2}, {2, 2}}, {{100, 540}, kLarge}}));
}

/// x in zeros of `to`, from `begin` on.
Array padded(const Array& x, const Index& begin, const Shape& to) {
  return generate(x.dtype, to, [&](Index i) {
    for (size_t k = 0; k < i.size(); ++k) {
      i[k] -= begin[k];
      if (i[k] < 0 || i[k] >= x.shape[k]) return 0.0;
    }
    return at(x, i);
  });
}

// Extents and places that are other tensors' extents.
void add_extents(std::vector<Record>& all) {
  const auto rows = [](const Tensor& t) { return shape(t)[0]; };
  all.push_back(moves(
      "Extents", "", [=](auto in) { return Extents{rows(in[0]), 7, rows(in[1]) * 2}.tensor(); },
      [](std::span<const Array> in) {
        const int64_t numbers[] = {in[0].shape[0], 7, in[1].shape[0] * 2};
        return generate(int64, {3}, [&](const Index& i) { return static_cast<double>(numbers[i[0]]); });
      },
      {{{3}, {2, 5}}, {{0}, {1}}}, {}));
  all.push_back(moves(
      "SliceAt", "", [=](auto in) { return slice(in[0], {rows(in[1]), -rows(in[2])}, {-1, rows(in[1])}); },
      [](std::span<const Array> in) {
        const int64_t skipped = in[1].shape[0], back = in[2].shape[0];
        return sliced({skipped, in[0].shape[1] - back}, {in[0].shape[0] - skipped, skipped})(in);
      },
      {{{3, 5}, {1}, {2}}, {{4, 4}, {3}, {4}}, {{2, 3}, {0}, {1}}, {{129, 541}, {17}, {300}}}));
  all.push_back(moves(
      "PadAt", "",
      [](auto in) {
        const Tensor begin = shape(in[2]);
        return apply(*find_op("PadAt"), {&in[0], &in[1], &begin}, std::source_location::current());
      },
      [](std::span<const Array> in) { return padded(in[1], {in[2].shape[0], in[2].shape[1]}, in[0].shape); },
      {{{4, 6}, {2, 3}, {1, 2}}, {{2, 3}, {2, 3}, {0, 0}}, {{3, 2}, {0, 2}, {1, 0}}}, {1}));
  all.back().dtypes = {float32, float64};  // what has gradients
  all.push_back(moves(
      "PadBy", "", [=](auto in) { return pad(in[0], {{rows(in[1]), 0}, {1, rows(in[2])}}); },
      [](std::span<const Array> in) {
        const int64_t above = in[1].shape[0], behind = in[2].shape[0];
        return padded(in[0], {above, 1}, {in[0].shape[0] + above, in[0].shape[1] + 1 + behind});
      },
      {{{2, 3}, {1}, {2}}, {{1, 1}, {0}, {0}}, {{0, 2}, {2}, {1}}}));
  const auto same = [](std::span<const Array> in) { return in[0]; };
  all.push_back(moves(
      "EnsureShape", "", [](auto in) { return ensure_shape(in[0], {-1, 3}); }, same, {{{2, 3}}, {{0, 3}}}));
  all.push_back(moves(
      "CheckShape", "", [](auto in) { return internal::shape_checked({&in[0]}, {.words = "", .wanted = {{-1, 3}}}, {}); },
      same, {{{2, 3}}, {{0, 3}}}));
}

}  // namespace

void add_layout_records(std::vector<Record>& all) {
  add_reshapes(all);
  add_extents(all);
  add_moves(all);
}

}  // namespace op_test
