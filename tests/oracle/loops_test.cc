// One of several functions, functions of slices and arrays: that what goes in comes out, and closed forms.
#include <algorithm>

#include "oracle.h"

using namespace oracle;

namespace {

constexpr DType kAll[] = {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_};

/// A vector of what lies at the ends of a dtype.
Tensor ends(DType t) {
  return tf::dispatch(t, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_floating_point_v<T>) {
      return make(t, extremes<T>());
    } else if constexpr (std::is_same_v<T, bool>) {
      return make(t, {0, 1, 1});
    } else {
      return tf::tensor(integers<T>());
    }
  });
}
std::string kept(const Tensor& got, const Tensor& wanted) {
  return off(got, wanted.dtype(), wanted.shape(), values_of(wanted));
}

}  // namespace

ORACLE(case_of, switch_case) {
  for (const DType t : kAll) {
    const Tensor x = ends(t), y = tf::reverse(x, 0);
    for (const int first : {0, 1})
      for (const int second : {0, 1})
        CHECK(kept(everyway1(
                       [](const Tensors& in) {
                         return tf::case_of({{in[0], [&] { return in[2]; }}, {in[1], [&] { return in[3]; }}}, [&] {
                           return tf::concat({in[2], in[3]}, 0);
                         });
                       },
                       {tf::tensor(first == 1), tf::tensor(second == 1), x, y}),
                   first    ? x
                   : second ? y
                            : tf::concat({x, y}, 0)) == "");
    for (const int64_t i : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{-1}, INT64_MIN, INT64_MAX})
      CHECK(kept(everyway1(
                     [](const Tensors& in) {
                       return tf::switch_case(
                           in[0], [&] { return in[1]; }, [&] { return in[2]; },
                           [&] {
                             return tf::concat({in[1], in[2]}, 0);
                           });
                     },
                     {tf::tensor(std::vector{i}, Shape{}), x, y}),
                 i == 0   ? x
                 : i == 1 ? y
                          : tf::concat({x, y}, 0)) == "");
  }
  tf::eagerly([] {
    const auto x = [] { return tf::tensor(1); };
    CHECK_ERROR(tf::case_of({{tf::tensor(1), x}}, x), InvalidArgument, "");
    CHECK_ERROR(tf::case_of({{tf::tensor({true}), x}}, x), InvalidArgument, "");
    CHECK_ERROR(tf::switch_case(tf::tensor(1.f), x, x), InvalidArgument, "");
    CHECK_ERROR(tf::switch_case(tf::tensor({1}), x, x), InvalidArgument, "");
  });
}

ORACLE(map_fn, scan, fold) {
  for (const DType t : kAll)
    for (const Tensor& x : {ends(t), tf::expand_dims(ends(t), 1), make(t, {0, 3}, {}), make(t, {2, 0}, {})}) {
      // Of no slices a graph must know the shape.
      const auto each = [](const Tensors& in) { return tf::map_fn([](const Tensor& v) { return v; }, in[0]); };
      const Tensor by_map = x.dim(0) == 0 ? tf::eagerly([&] { return each({x}); }) : everyway1(each, {x});
      CHECK(kept(by_map, x) == "");
      const Shape row(std::vector<int64_t>(x.shape().begin() + 1, x.shape().end()));
      const Tensor nothing = make(t, row, Reals(static_cast<size_t>(row.num_elements()), 0));
      for (const bool reverse : {false, true}) {
        // What was carried is the slice itself: all slices; the last one, or the initial value where there is none.
        const auto by_scan = everyway1(
            [reverse](const Tensors& in) {
              return tf::scan([](const Tensor&, const Tensor& v) { return v; }, in[0], in[1], {.reverse = reverse});
            },
            {x, nothing});
        CHECK(kept(by_scan, x) == "");
        if (x.dim(0) == 0) continue;
        const auto last = everyway1(
            [reverse](const Tensors& in) {
              return tf::fold([](const Tensor&, const Tensor& v) { return v; }, in[0], {.reverse = reverse});
            },
            {x});
        CHECK(kept(last, x[reverse ? 0 : -1]) == "");
      }
    }
  for_floating([](auto, DType t) {
    // Running products x1, x1 x2, x1 x2 x3; their sum's slopes by x2: x1 + x1 x3; of the sum of slopes, by x2: 2 + x1
    // and so on: the derivatives of e = a + ab + abc at (2, 3, 5).
    const Tensor x = make(t, {2, 3, 5});
    const auto product = [](const Tensor& a, const Tensor& v) { return a * v; };
    const auto [y, first, second] = derive([&](const Tensor& v) { return tf::scan(product, v); }, x);
    CHECK(off(y, t, {3}, {2, 6, 30}) == "");
    CHECK(off(first, t, {3}, {1 + 3 + 15, 2 + 10, 6}) == "");
    // d/da of (1 + b + bc) + (a + ac) + ab = 1 + c + b; d/db = 1 + c + a; d/dc = b + a
    CHECK(off(second, t, {3}, {1 + 5 + 3, 1 + 5 + 2, 3 + 2}) == "");
    const auto [z, slope, bend] =
        derive([&](const Tensor& v) { return tf::fold(product, v, tf::ones({}, v.dtype()), {.reverse = true}); }, x);
    CHECK(off(z, t, Shape{}, {30}) == "");
    CHECK(off(slope, t, {3}, {15, 10, 6}) == "");
    CHECK(off(bend, t, {3}, {5 + 3, 5 + 2, 3 + 2}) == "");
    const auto [w, dw, ddw] =
        derive([&](const Tensor& v) { return tf::map_fn([](const Tensor& e) { return e * e * e; }, v); }, x);
    CHECK(off(w, t, {3}, {8, 27, 125}) == "");
    CHECK(off(dw, t, {3}, {12, 27, 75}) == "");
    CHECK(off(ddw, t, {3}, {12, 18, 30}) == "");
  });
  tf::eagerly([] {
    const auto one = [](const Tensor& v) { return v; };
    CHECK_ERROR(tf::map_fn(one, tf::tensor(1)), InvalidArgument, "");
    CHECK_ERROR(tf::map_fn(one, Tensor()), InvalidArgument, "");
  });
}

ORACLE(TensorArray, TensorArray::dtype, TensorArray::element_shape, TensorArray::size, TensorArray::read,
       TensorArray::write, TensorArray::stack, TensorArray::unstack) {
  for (const DType t : kAll) {
    const Tensor x = ends(t);
    const auto n = x.dim(0);
    const auto all = everyway(
        [&](const Tensors& in) {
          const tf::TensorArray array = tf::TensorArray(t, n).unstack(in[0]);
          CHECK((array.dtype() == t && array.element_shape().compatible_with({})));
          return Tensors{array.stack(), array.size(), array.read(n - 1), array.write(0, in[0][n - 1]).stack(),
                         array.write(tf::constant(0), in[0][0]).read(0)};
        },
        {x});
    CHECK(kept(all[0], x) == "");
    CHECK(all[1].item<int>() == n);
    CHECK(kept(all[2], x[n - 1]) == "");
    CHECK(kept(all[3][0], x[n - 1]) == "");
    CHECK(kept(all[4], x[0]) == "");
    const auto none = everyway1(
        [&](const Tensors& in) {
          return tf::TensorArray(t, in[0], {.element_shape = {2, 0}}).stack();
        },
        {tf::tensor(3)});
    CHECK(off(none, t, {3, 2, 0}, {}) == "");
    const auto zeros = everyway1(
        [&](const Tensors& in) { return tf::TensorArray(t, 2, {.element_shape = {2}}).read(in[0]); }, {tf::tensor(1)});
    CHECK(off(zeros, t, {2}, {0, 0}) == "");
  }
}
