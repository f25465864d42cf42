// Records of the reductions.
#include <algorithm>
#include <cmath>
#include <limits>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/apply.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

const std::vector<DType> kNumbers = {float32, float64, int32, int64, uint8};
const std::vector<DType> kFloating = {float32, float64};

/// Which elements of x each element of the result is made of: x's shape with the reduced axes at 1, and the shape kept.
struct Reduced {
  Shape kept, result;

  Reduced(const Shape& x, const Axes& axes, bool keepdims) : kept(x) {
    std::vector<bool> gone(static_cast<size_t>(x.rank()), axes.empty());
    for (int64_t a : axes) gone[static_cast<size_t>(a < 0 ? a + x.rank() : a)] = true;
    for (int i = 0; i < x.rank(); ++i) {
      if (gone[static_cast<size_t>(i)]) kept.set(i, 1);
      if (!gone[static_cast<size_t>(i)] || keepdims) result.push_back(kept[i]);
    }
  }
  /// Folds x's elements, each into its place, by f(accumulator, element).
  template <class F>
  std::vector<double> fold(const Array& x, double start, F f) const {
    std::vector<double> y(static_cast<size_t>(kept.num_elements()), start);
    size_t next = 0;
    for_each_index(x.shape, [&](const Index& i) {
      int64_t place = 0;
      for (int k = 0; k < kept.rank(); ++k) place = place * kept[k] + (kept[k] == 1 ? 0 : i[static_cast<size_t>(k)]);
      double& into = y[static_cast<size_t>(place)];
      into = f(into, x.values[next++]);
    });
    return y;
  }
};

Array make(DType t, const Shape& shape, std::vector<double> values, std::vector<double> magnitude = {}) {
  for (double& v : values) v = stored(v, t);
  return {t, shape, std::move(values), std::move(magnitude)};
}

double lowest(DType t) {
  switch (t) {
    case DType::int32: return std::numeric_limits<int32_t>::lowest();
    case DType::int64: return -9223372036854775808.0;
    case DType::uint8: return 0;
    default: return -std::numeric_limits<double>::infinity();
  }
}

double highest(DType t) {
  switch (t) {
    case DType::int32: return std::numeric_limits<int32_t>::max();
    case DType::int64: return 9223372036854775807.0;
    default: return 255;
  }
}

Array sum_of(const Array& x, const Axes& axes, bool keepdims) {
  const Reduced r(x.shape, axes, keepdims);
  return make(x.dtype, r.result, r.fold(x, 0, [](double s, double v) { return s + v; }),
              r.fold(x, 0, [](double s, double v) { return s + std::abs(v); }));
}
Array mean_of(const Array& x, const Axes& axes, bool keepdims) {
  Array y = sum_of(x, axes, keepdims);
  const double count = static_cast<double>(x.values.size()) / static_cast<double>(y.values.size());
  for (double& v : y.values) v = x.values.empty() ? std::nan("") : v / count;
  for (double& m : y.magnitude) m /= count;
  return y;
}
Array max_of(const Array& x, const Axes& axes, bool keepdims) {
  const Reduced r(x.shape, axes, keepdims);
  return make(x.dtype, r.result, r.fold(x, lowest(x.dtype), [](double m, double v) { return std::max(m, v); }));
}

Array min_of(const Array& x, const Axes& axes, bool keepdims) {
  Array negated = x;
  for (double& v : negated.values) v = -v;
  negated.dtype = float64;
  Array y = max_of(negated, axes, keepdims);
  for (double& v : y.values) v = std::isinf(v) && !is_floating(x.dtype) ? highest(x.dtype) : -v;
  y.dtype = x.dtype;
  return y;
}
Array logsumexp_of(const Array& x, const Axes& axes, bool keepdims) {
  const Reduced r(x.shape, axes, keepdims);
  return make(x.dtype, r.result, r.fold(x, -std::numeric_limits<double>::infinity(), [](double a, double b) {
    return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
  }));
}
Array variance_of(const Array& x, const Axes& axes, bool keepdims) {
  Array squares = x;
  const Array mean = mean_of(x, axes, true);
  squares.values.clear();
  for_each_index(x.shape, [&](const Index& i) { squares.values.push_back(std::pow(at(x, i) - at(mean, i), 2)); });
  return mean_of(squares, axes, keepdims);
}

Array norm_of(const Array& x, const Axes& axes, bool keepdims) {
  const Reduced r(x.shape, axes, keepdims);
  return make(x.dtype, r.result, r.fold(x, 0, [](double s, double v) { return std::hypot(s, v); }));
}

struct Variant {
  const char* label;
  Axes axes;
  bool keepdims;
  std::vector<std::vector<Shape>> shapes;
};
const Variant kVariants[] = {
    {"all", {}, false, {{Shape{}}, {{1}}, {{7}}, {{3, 5}}, {{2, 3, 4}}, {{70001}}, {{257, 301}}, {{3, 5, 5003}}}},
    {"last", {-1}, false, {{{3}}, {{3, 5}}, {{2, 1}}, {{0, 3}}, {{257, 301}}, {{3, 40001}}}},
    {"first", {0}, false, {{{3}}, {{3, 5}}, {{1, 4}}, {{3, 0}}, {{301, 257}}, {{40001, 3}}}},
    {"0 and 2, kept", {0, -1}, true, {{{2, 3, 4}}, {{5, 1, 7}}, {{33, 17, 65}}, {{2, 0, 2}}}},
    {"1 of 3", {1}, false, {{{2, 3, 4}}, {{1, 1, 1}}, {{5, 301, 33}}}},
    {"all, kept", {}, true, {{{3, 5}}, {{1, 1}}}},
};

using ReduceFn = Tensor (*)(Operand, Axes, ReduceOptions);
using ReferenceFn = Array (*)(const Array&, const Axes&, bool);

void add(std::vector<Record>& all, const char* op, ReduceFn f, ReferenceFn reference, const std::vector<DType>& dtypes,
         const std::string& name = "") {
  for (const Variant& v : kVariants) {
    Record r{.op = op, .label = name + v.label};
    r.call = [f, v](auto in) { return Tensors{f(in[0], v.axes, {.keepdims = v.keepdims})}; };
    r.reference = [reference, v](auto in) { return Arrays{reference(in[0], v.axes, v.keepdims)}; };
    r.shapes = v.shapes;
    r.dtypes = dtypes;
    r.gradient_of = {0};
    if (!name.empty()) r.tolerance64 = 1e-12;  // what the reference loses in adding one by one
    all.push_back(r);
  }
  Record none{.op = op, .label = name + "no elements"};
  none.call = [f](auto in) { return Tensors{f(in[0], 0, {})}; };
  none.reference = [reference](auto in) { return Arrays{reference(in[0], 0, false)}; };
  none.shapes = {{{0}}, {{0, 3}}, {{0, 0}}};
  none.dtypes = dtypes;
  all.push_back(none);
}

void add_argmax(std::vector<Record>& all, int64_t axis, bool keepdims, std::vector<std::vector<Shape>> shapes) {
  Record r{.op = "ArgMax", .label = "axis " + std::to_string(axis) + (keepdims ? ", kept" : "")};
  r.call = [=](auto in) { return Tensors{argmax(in[0], axis, {.keepdims = keepdims})}; };
  r.reference = [=](std::span<const Array> in) -> Arrays {
    const Array& x = in[0];
    const auto k = static_cast<size_t>(axis < 0 ? axis + x.shape.rank() : axis);
    Shape all_kept = x.shape, result;
    all_kept.set(static_cast<int>(k), 1);
    for (int i = 0; i < x.shape.rank(); ++i)
      if (static_cast<size_t>(i) != k || keepdims) result.push_back(all_kept[i]);
    Array y = generate(int64, all_kept, [&](Index i) {
      int64_t best = 0;
      double most = at(x, i);
      for (i[k] = 1; i[k] < x.shape[static_cast<int>(k)]; ++i[k])
        if (at(x, i) > most) most = at(x, i), best = i[k];
      return static_cast<double>(best);
    });
    y.shape = result;
    return {y};
  };
  r.shapes = std::move(shapes);
  r.dtypes = kNumbers;
  r.exact = true;
  all.push_back(r);
}

Array summed_to(const Array& x, const Shape& to) {
  Axes axes;
  const int lead = x.shape.rank() - to.rank();
  for (int i = 0; i < x.shape.rank(); ++i)
    if (i < lead || to[i - lead] == 1) axes.push_back(i);
  Array y = axes.empty() ? x : sum_of(x, axes, true);
  y.shape = to;
  return y;
}

Array prod_of(const Array& x, const Axes& axes, bool keepdims) {
  const Reduced r(x.shape, axes, keepdims);
  return make(x.dtype, r.result, r.fold(x, 1, [](double p, double v) { return p * v; }));
}

/// The derivative along all directions of the product of all elements of a row but one, by its definition.
Array prod_grad_of(std::span<const Array> in) {
  const int64_t n = in[0].shape[1];
  return generate(in[0].dtype, in[0].shape, [&](const Index& i) {
    const std::function<double(size_t, std::vector<bool>)> rest = [&](size_t direction, std::vector<bool> used) {
      double sum = direction == in.size() ? 1 : 0;
      for (int64_t j = 0; j < n; ++j) {
        if (used[static_cast<size_t>(j)]) continue;
        if (direction == in.size()) {
          sum *= at(in[0], {i[0], j});
        } else {
          used[static_cast<size_t>(j)] = true;
          sum += at(in[direction], {i[0], j}) * rest(direction + 1, used);
          used[static_cast<size_t>(j)] = false;
        }
      }
      return sum;
    };
    std::vector<bool> used(static_cast<size_t>(n), false);
    used[static_cast<size_t>(i[1])] = true;
    return rest(1, used);
  });
}

void add_products(std::vector<Record>& all) {
  const size_t first = all.size();
  add(all, "Prod", prod, prod_of, kFloating);
  for (size_t i = first; i < all.size(); ++i) all[i].samples = {{0.9, 1.1}};
  Record whole{.op = "Prod", .label = "of integers"};
  whole.call = [](auto in) { return Tensors{prod(in[0], 1)}; };
  whole.reference = [](auto in) { return Arrays{prod_of(in[0], 1, false)}; };
  whole.shapes = {{{3, 5}}, {{2, 0}}, {{7, 11}}, {{129, 13}}};
  whole.dtypes = {int32, int64, uint8};
  all.push_back(whole);
  for (size_t directions = 0; directions < 3; ++directions) {
    Record r{.op = "ProdGrad", .label = std::to_string(directions) + " directions"};
    r.call = [](auto in) {
      std::vector<const Tensor*> inputs;
      for (const Tensor& t : in) inputs.push_back(&t);
      return Tensors{apply(*find_op("ProdGrad"), inputs, AxesAttrs{{-1}}, std::source_location::current())};
    };
    r.reference = [](auto in) { return Arrays{prod_grad_of(in)}; };
    for (const Shape& s : {Shape{2, 3}, Shape{1, 4}, Shape{3, 1}, Shape{2, 0}, Shape{70, 5}})
      r.shapes.push_back(std::vector<Shape>(directions + 1, s));
    r.dtypes = kFloating;
    r.samples = {{-1.5, 1.5}};
    r.tolerance64 = 1e-13;
    for (size_t i = 0; i <= directions; ++i) r.gradient_of.push_back(static_cast<int>(i));
    all.push_back(r);
  }
}

}  // namespace

void add_reduce_records(std::vector<Record>& all) {
  add(all, "Sum", sum, sum_of, kNumbers);
  add(all, "Mean", mean, mean_of, kFloating);
  add_products(all);
  add(all, "Max", max, max_of, kNumbers);
  add(all, "Min", min, min_of, kNumbers);
  add(all, "Sum", logsumexp, logsumexp_of, kFloating, "logsumexp, ");
  add(all, "SumOfSquares", norm, norm_of, kFloating, "norm, ");
  add(
      all, "SumOfSquares",
      [](Operand x, Axes axes, ReduceOptions o) { return variance(x, axes, {.keepdims = o.keepdims}); }, variance_of,
      kFloating, "variance, ");
  add_argmax(all, 0, false, {{{1}}, {{7}}, {{3, 5}}, {{3, 0}}, {{301, 33}}, {{70001}}});
  add_argmax(all, -1, false, {{{3, 5}}, {{2, 3, 4}}, {{0, 2}}, {{129, 301}}});
  add_argmax(all, 1, true, {{{2, 3, 4}}, {{5, 301, 17}}});

  Record count{.op = "ReducedCount", .label = "1, 2"};
  count.call = [](auto in) {
    const Tensor* x = &in[0];
    return Tensors{apply(*find_op("ReducedCount"), {x}, ReduceAttrs{{1, -1}, false}, std::source_location::current())};
  };
  count.reference = [](std::span<const Array> in) -> Arrays {
    const Shape& s = in[0].shape;
    return {{in[0].dtype, {}, {static_cast<double>(s[1] * s[2])}}};
  };
  count.shapes = {{{2, 3, 4}}, {{0, 3, 1}}, {{2, 0, 4}}};
  count.dtypes = kFloating;
  all.push_back(count);

  Record to{.op = "SumTo", .label = "(3, 1)"};
  to.call = [](auto in) { return Tensors{sum_to_shape(in[0], {3, 1})}; };
  to.reference = [](auto in) { return Arrays{summed_to(in[0], {3, 1})}; };
  to.shapes = {{{3, 5}}, {{2, 3, 4}}, {{3, 1}}, {{1, 3, 1}}, {{0, 3, 2}}, {{33, 3, 401}}};
  to.dtypes = kNumbers;
  to.gradient_of = {0};
  all.push_back(to);

  Record like{.op = "SumToLike", .label = ""};
  like.call = [](auto in) { return Tensors{sum_to_like(in[0], in[1])}; };
  like.reference = [](auto in) { return Arrays{summed_to(in[0], in[1].shape)}; };
  like.shapes = {{{3, 5}, {3, 1}}, {{2, 3, 4}, {4}}, {{2, 3}, {}},
                 {{2, 3}, {2, 3}}, {{0, 3}, {1, 3}}, {{300, 257}, {257}}};
  like.dtypes = kNumbers;
  like.gradient_of = {0};
  all.push_back(like);
}

}  // namespace op_test
