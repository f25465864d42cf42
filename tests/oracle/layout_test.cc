// What moves elements and computes none: every bit of every dtype, extents of 0 and 1, and extents that overflow.
// (records_test.cc runs the records of these ops over all bits too; here are values by hand, derivatives and errors.)
#include <twofold/kernels/pointwise/if_arrived.h>

#include "oracle.h"

using namespace oracle;

namespace {

constexpr DType kAll[] = {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8};

/// Six elements: the ends of the dtype.
Reals six(DType t) {
  return tf::dispatch(t, [](auto zero) -> Reals {
    using T = decltype(zero);
    using L = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) return {-0.0L, L::denorm_min(), kNaN, -kInf, L::max(), 1};
    if constexpr (std::is_same_v<T, bool>) return {0, 1, 1, 0, 0, 1};
    return {0, real(L::min()), real(L::max()), real(L::max() - 1), real(L::min() + 1), 1};
  });
}
Reals at(const Reals& v, std::initializer_list<size_t> places) {
  Reals y;
  for (const size_t p : places) y.push_back(v[p]);
  return y;
}

using F = std::function<Tensor(const Tensor&)>;
/// f of the six as (2, 3) has this shape and those of the elements, in each dtype.
void moves(const std::string& name, const F& f, const Shape& shape, std::initializer_list<size_t> places) {
  for (const DType t : kAll) {
    INFO(name << " of " << t);
    CHECK(off(everyway1([&](const Tensors& in) { return f(in[0]); }, {make(t, {2, 3}, six(t))}), t, shape,
              at(six(t), places)) == "");
  }
}
/// f's gradient, of the square of what it gives: 2 x where x went, times how often; the second 2 times that.
void derives(const std::string& name, const F& f, const Reals& times) {
  for_floating([&](auto, DType t) {
    const Reals x = {1, -2, 3, 0.5, 4, -1};
    Reals slope, bend;
    for (size_t i = 0; i < 6; ++i) slope.push_back(2 * x[i] * times[i]), bend.push_back(2 * times[i]);
    const auto [y, first, second] = derive([&](const Tensor& v) { return tf::square(f(v)); }, make(t, {2, 3}, x));
    INFO(name);
    CHECK(off(first, t, {2, 3}, slope, {.zero_sign = false}) == "");
    CHECK(off(second, t, {2, 3}, bend, {.zero_sign = false}) == "");
  });
}
const Reals kOnce(6, 1);
const Tensor kNone = make(tf::float32, {2, 0, 3}, {});
const int64_t kHuge = int64_t{1} << 32;

}  // namespace

ORACLE(reshape, reshape_like, flatten, expand_dims, squeeze, identity, stop_gradient, ensure_shape) {
  moves("reshape", [](const Tensor& x) { return tf::reshape(x, {3, -1}); }, {3, 2}, {0, 1, 2, 3, 4, 5});
  moves("reshape by a tensor",
        [](const Tensor& x) {
          return tf::reshape(x, tf::constant({1, 6}));
        },
        {1, 6}, {0, 1, 2, 3, 4, 5});
  moves("reshape_like",
        [](const Tensor& x) {
          return tf::reshape_like(x, tf::zeros({6, 1}));
        },
        {6, 1}, {0, 1, 2, 3, 4, 5});
  moves("flatten", [](const Tensor& x) { return tf::flatten(x); }, {6}, {0, 1, 2, 3, 4, 5});
  moves("expand_dims", [](const Tensor& x) { return tf::expand_dims(x, {0, -1}); }, {1, 2, 3, 1}, {0, 1, 2, 3, 4, 5});
  moves("squeeze", [](const Tensor& x) { return tf::squeeze(tf::expand_dims(x, {1}), {1}); }, {2, 3},
        {0, 1, 2, 3, 4, 5});
  moves("identity", [](const Tensor& x) { return tf::identity(x); }, {2, 3}, {0, 1, 2, 3, 4, 5});
  moves("stop_gradient", [](const Tensor& x) { return tf::stop_gradient(x); }, {2, 3}, {0, 1, 2, 3, 4, 5});
  derives(
      "reshape", [](const Tensor& x) { return tf::reshape(x, {-1}); }, kOnce);
  derives(
      "reshape_like", [](const Tensor& x) { return tf::reshape_like(x, tf::zeros({6})); }, kOnce);
  derives(
      "flatten", [](const Tensor& x) { return tf::flatten(x); }, kOnce);
  derives(
      "expand_dims", [](const Tensor& x) { return tf::expand_dims(x, 0); }, kOnce);
  derives(
      "squeeze", [](const Tensor& x) { return tf::squeeze(tf::expand_dims(x, 0)); }, kOnce);
  derives(
      "identity", [](const Tensor& x) { return tf::identity(x); }, kOnce);
  moves("ensure_shape", [](const Tensor& x) { return tf::ensure_shape(x, {-1, 3}); }, {2, 3}, {0, 1, 2, 3, 4, 5});
  derives(
      "ensure_shape", [](const Tensor& x) { return tf::ensure_shape(x, tf::unknown_shape); }, kOnce);
  CHECK(off(tf::ensure_shape(kNone, {2, 0, -1}), tf::float32, {2, 0, 3}, {}) == "");
  CHECK_ERROR(tf::ensure_shape(kNone, {2, 1, -1}), InvalidArgument, "is not compatible with expected shape (2, 1, ?)");
  CHECK_ERROR(tf::ensure_shape(kNone, {2, 0}), InvalidArgument, "is not compatible");
  derives(
      "stop_gradient", [](const Tensor& x) { return tf::stop_gradient(x); }, Reals(6, 0));
  CHECK(off(tf::reshape(kNone, {0, 7}), tf::float32, {0, 7}, {}) == "");
  CHECK(off(tf::reshape(tf::tensor({5}), {}), tf::int32, Shape{}, {5}) == "");
  CHECK(off(tf::flatten(tf::tensor(5)), tf::int32, {1}, {5}) == "");
  CHECK(off(tf::squeeze(tf::tensor({{5}})), tf::int32, Shape{}, {5}) == "");
  CHECK(off(tf::flatten(kNone, 1), tf::float32, {2, 0}, {}) == "");
  const Tensor x = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK_ERROR(tf::reshape(x, {4, 2}), InvalidArgument, "6 elements");
  CHECK_ERROR(tf::reshape(x, {-1, -1}), InvalidArgument, "");
  CHECK_ERROR(tf::reshape(x, {-1, 4}), InvalidArgument, "");
  CHECK_ERROR(tf::reshape(x, {-1, 0}), InvalidArgument, "");
  CHECK_ERROR(tf::reshape(x, {kHuge, kHuge}), ResourceExhausted, "too many elements");
  CHECK_ERROR(tf::reshape(x, {-1, kHuge, kHuge}), ResourceExhausted, "too many elements");
  CHECK_ERROR(tf::reshape(x, tf::tensor({int64_t{1} << 62, int64_t{8}})), ResourceExhausted, "too many elements");
  CHECK_ERROR(tf::reshape(kNone, {-1, 0}), InvalidArgument, "");
  CHECK_ERROR(tf::reshape_like(x, tf::tensor({1})), InvalidArgument, "");
  CHECK_ERROR(tf::flatten(x, 1, 0), InvalidArgument, "");
  CHECK_ERROR(tf::flatten(x, 2), InvalidArgument, "rank 2");
  CHECK_ERROR(tf::expand_dims(x, {3}), InvalidArgument, "");
  CHECK_ERROR(tf::expand_dims(x, {0, 0}), InvalidArgument, "");
  CHECK_ERROR(tf::squeeze(x, {1}), InvalidArgument, "expected a dimension of 1, got 3");
  CHECK_ERROR(tf::squeeze(x, {2}), InvalidArgument, "");
}

ORACLE(transpose, reverse, slice, index, strided_slice, pad_like, Tensor::begin, Tensor::end) {
  moves("transpose", [](const Tensor& x) { return tf::transpose(x); }, {3, 2}, {0, 3, 1, 4, 2, 5});
  moves("transpose by axes", [](const Tensor& x) { return tf::transpose(x, {-1, 0}); }, {3, 2}, {0, 3, 1, 4, 2, 5});
  moves("reverse", [](const Tensor& x) { return tf::reverse(x, {0, -1}); }, {2, 3}, {5, 4, 3, 2, 1, 0});
  moves("reverse of none", [](const Tensor& x) { return tf::reverse(x, {}); }, {2, 3}, {0, 1, 2, 3, 4, 5});
  moves("slice", [](const Tensor& x) { return tf::slice(x, {1, -2}, {-1, 1}); }, {1, 1}, {4});
  moves("slice of nothing", [](const Tensor& x) { return tf::slice(x, {0, 3}, {2, 0}); }, {2, 0}, {});
  moves("index", [](const Tensor& x) { return tf::index(x, -1); }, {3}, {3, 4, 5});
  moves("x[0]", [](const Tensor& x) { return x[0]; }, {3}, {0, 1, 2});
  moves("strided_slice",
        [](const Tensor& x) {
          return tf::strided_slice(x, {tf::omitted, 0}, {tf::omitted, 3}, {-1, 2});
        },
        {2, 2}, {3, 5, 0, 2});
  moves("strided_slice beyond",
        [](const Tensor& x) {
          return tf::strided_slice(x, {-9, 7}, {INT64_MAX, INT64_MIN + 1}, {INT64_MAX, INT64_MIN});
        },
        {1, 1}, {2});
  moves("strided_slice of nothing", [](const Tensor& x) { return tf::strided_slice(x, {1}, {0}); }, {0, 3}, {});
  moves("pad_like",
        [](const Tensor& x) {
          return tf::slice(tf::pad_like(x, tf::zeros({4, 4}, x.dtype()), {1, 1}), {1, 1}, {2, 3});
        },
        {2, 3}, {0, 1, 2, 3, 4, 5});
  derives(
      "transpose", [](const Tensor& x) { return tf::transpose(x); }, kOnce);
  derives(
      "reverse", [](const Tensor& x) { return tf::reverse(x, {1}); }, kOnce);
  derives("slice", [](const Tensor& x) { return tf::slice(x, {0, 1}, {2, 2}); }, {0, 1, 1, 0, 1, 1});
  derives("index", [](const Tensor& x) { return tf::index(x, 1); }, {0, 0, 0, 1, 1, 1});
  derives("strided_slice",
          [](const Tensor& x) {
            return tf::strided_slice(x, {0, 2}, {2, tf::omitted}, {1, -2});
          },
          {1, 0, 1, 1, 0, 1});
  derives(
      "pad_like",
      [](const Tensor& x) {
        return tf::pad_like(x, tf::zeros({3, 5}, x.dtype()), {1, 1});
      },
      kOnce);
  CHECK(off(tf::pad_like(tf::tensor({7}), tf::tensor({1, 1, 1}), {1}), tf::int32, {3}, {0, 7, 0}) == "");
  int rows = 0;
  for (const Tensor& row : tf::tensor({{1, 2}, {3, 4}, {5, 6}})) {
    CHECK(off(row, tf::int32, {2}, {real(2 * rows + 1), real(2 * rows + 2)}) == "");
    ++rows;
  }
  CHECK(rows == 3);
  for (const Tensor& row : make(tf::float32, {0, 2}, {})) FAIL("a row of none: " << row);
  CHECK_ERROR(tf::tensor(1).begin() == tf::tensor(1).end(), InvalidArgument, "");
  const Tensor x = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK_ERROR(tf::transpose(x, {0, 0}), InvalidArgument, "");
  CHECK_ERROR(tf::transpose(x, {0}), InvalidArgument, "");
  CHECK_ERROR(tf::reverse(x, {2}), InvalidArgument, "");
  CHECK_ERROR(tf::reverse(x, {0, -2}), InvalidArgument, "");
  CHECK_ERROR(tf::slice(x, {0, 0}, {3, 1}), InvalidArgument, "Expected size[0] in [0, 2], but got 3");
  CHECK_ERROR(tf::slice(x, {3}, {0}), InvalidArgument, "");
  CHECK_ERROR(tf::slice(x, {1}, {INT64_MAX}), InvalidArgument, "");
  CHECK_ERROR(tf::slice(x, {INT64_MIN}, {1}), InvalidArgument, "");
  CHECK_ERROR(tf::slice(x, {0}, {-2}), InvalidArgument, "");
  CHECK_ERROR(x[2], InvalidArgument, "2");
  CHECK_ERROR(x[-3], InvalidArgument, "-3");
  CHECK_ERROR(x[INT64_MIN], InvalidArgument, "");
  CHECK_ERROR(tf::index(tf::tensor(1), 0), InvalidArgument, "");
  CHECK_ERROR(tf::index(kNone, 2), InvalidArgument, "");
  CHECK_ERROR(tf::strided_slice(x, {0}, {1}, {0}), InvalidArgument, "");
  CHECK_ERROR(tf::strided_slice(x, {0}, {1, 1}), InvalidArgument, "");
  CHECK_ERROR(tf::strided_slice(x, {0, 0, 0}, {1, 1, 1}), InvalidArgument, "");
  CHECK_ERROR(tf::pad_like(tf::tensor({7}), tf::tensor({0, 0}), {2}), InvalidArgument, "");
  CHECK_ERROR(tf::pad_like(tf::tensor({7}), tf::tensor({0, 0}), {INT64_MAX}), InvalidArgument, "");
}

ORACLE(concat, stack, unstack, split) {
  moves("concat", [](const Tensor& x) { return tf::concat({x, x}, 1); }, {2, 6}, {0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  moves("concat with nothing",
        [](const Tensor& x) {
          return tf::concat({x, tf::slice(x, {0, 0}, {0, 3})}, 0);
        },
        {2, 3}, {0, 1, 2, 3, 4, 5});
  moves("stack",
        [](const Tensor& x) {
          return tf::stack({x, x}, -1);
        },
        {2, 3, 2}, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5});
  derives(
      "concat",
      [](const Tensor& x) {
        return tf::concat({x, x}, 0);
      },
      Reals(6, 2));
  derives(
      "stack",
      [](const Tensor& x) {
        return tf::stack({x, x, x});
      },
      Reals(6, 3));
  for (const DType t : kAll) {
    const Reals v = six(t);
    // Sources, as both need the extent while the graph is built.
    const auto parts = everyway([&](const Tensors&) { return tf::unstack(tf::constant(make(t, {2, 3}, v)), 1); }, {});
    REQUIRE(parts.size() == 3);
    CHECK(off(parts[2], t, {2}, at(v, {2, 5})) == "");
    const auto halves = everyway([&](const Tensors&) { return tf::split(tf::constant(make(t, {2, 3}, v)), 2); }, {});
    CHECK(off(halves[1], t, {1, 3}, at(v, {3, 4, 5})) == "");
    const auto sized = everyway(
        [&](const Tensors&) {
          return tf::split(tf::constant(make(t, {2, 3}, v)), {0, -1, 1}, -1);
        },
        {});
    REQUIRE(sized.size() == 3);
    CHECK(off(sized[0], t, {2, 0}, {}) == "");
    CHECK(off(sized[1], t, {2, 2}, at(v, {0, 1, 3, 4})) == "");
    CHECK(off(sized[2], t, {2, 1}, at(v, {2, 5})) == "");
  }
  derives("unstack", [](const Tensor& x) { return tf::unstack(tf::reshape(x, {2, 3}), 1)[1]; }, {0, 1, 0, 0, 1, 0});
  derives("split", [](const Tensor& x) { return tf::split(tf::reshape(x, {2, 3}), {1, 2}, 1)[1]; }, {0, 1, 1, 0, 1, 1});
  CHECK(tf::unstack(make(tf::float32, {0, 2}, {})).empty());
  CHECK(tf::unstack(make(tf::float32, {2, 0}, {})).size() == 2);
  // A list brings its operands to one dtype: literals take the tensors', tensors promote.
  const Tensor x64 = make(tf::float64, Shape{}, {2}), u8 = make(tf::uint8, Shape{}, {200}), i64 = tf::tensor(INT64_MAX);
  const Tensor x = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(off_list(everyway1(
                     [](const Tensors& in) {
                       return tf::stack({in[0], 0.1});
                     },
                     {x64}),
                 tf::float64, {2, 0.1}) == "");
  CHECK(off_list(everyway1([](const Tensors& in) { return tf::stack({in[0], 5}); }, {u8}), tf::uint8, {200, 5}) == "");
  CHECK(off_list(everyway1(
                     [](const Tensors& in) {
                       return tf::stack({5, in[0], in[1]});
                     },
                     {u8, i64}),
                 tf::int64, {5, 200, real(INT64_MAX)}) == "");
  CHECK(off_list(everyway1(
                     [](const Tensors& in) {
                       return tf::concat({{0.1}, tf::reshape(in[0], {1})}, 0);
                     },
                     {x64}),
                 tf::float64, {0.1, 2}) == "");
  // One that the tensors' dtype does not hold promotes with them.
  CHECK(off_list(tf::eagerly([&] { return tf::stack({u8, 0.5}); }), tf::float32, {200, 0.5}) == "");
  CHECK(off_list(tf::eagerly([&] { return tf::concat({tf::tensor({1}), {0.5}}, 0); }), tf::float32, {1, 0.5}) == "");
  CHECK_ERROR(tf::stack({u8, 300}), InvalidArgument, "300");
  CHECK_ERROR(tf::concat({x, tf::tensor({{1, 2}})}, 0), InvalidArgument, "");
  CHECK_ERROR(tf::concat({x, x}, 2), InvalidArgument, "");
  CHECK_ERROR(tf::concat(std::vector<Tensor>(), 0), InvalidArgument, "");
  CHECK_ERROR(tf::concat({tf::tensor(1)}, 0), InvalidArgument, "");
  CHECK_ERROR(tf::stack(std::vector<Tensor>()), InvalidArgument, "");
  CHECK_ERROR(tf::stack({x, tf::tensor({1})}), InvalidArgument, "");
  CHECK_ERROR(tf::stack({x, x}, 3), InvalidArgument, "");
  CHECK_ERROR(tf::unstack(tf::tensor(1)), InvalidArgument, "");
  CHECK_ERROR(tf::unstack(x, 2), InvalidArgument, "");
  CHECK_ERROR(tf::split(x, 4), InvalidArgument, "");
  CHECK_ERROR(tf::split(x, 0), InvalidArgument, "");
  CHECK_ERROR(tf::split(x, {INT64_MAX, INT64_MAX, 5}, 1), InvalidArgument, "");
  CHECK_ERROR(tf::split(x, {-1, -1}, 1), InvalidArgument, "");
}

ORACLE(broadcast_to, broadcast_like, shape, size, rank, where, if_arrived, cast) {
  moves("broadcast_to",
        [](const Tensor& x) {
          return tf::broadcast_to(tf::slice(x, {0, 1}, {2, 1}), {2, 2, 2});
        },
        {2, 2, 2}, {1, 1, 4, 4, 1, 1, 4, 4});
  moves("broadcast_to, -1",
        [](const Tensor& x) {
          return tf::broadcast_to(x, {1, -1, 3});
        },
        {1, 2, 3}, {0, 1, 2, 3, 4, 5});
  moves("broadcast_to by a tensor",
        [](const Tensor& x) {
          return tf::broadcast_to(x, tf::constant({1, 2, 3}));
        },
        {1, 2, 3}, {0, 1, 2, 3, 4, 5});
  moves("broadcast_like",
        [](const Tensor& x) {
          return tf::broadcast_like(x[0], tf::zeros({2, 3}));
        },
        {2, 3}, {0, 1, 2, 0, 1, 2});
  moves("where",
        [](const Tensor& x) {
          return tf::where(tf::constant({{true, false, true}, {false, true, false}}), x, x[0]);
        },
        {2, 3}, {0, 1, 2, 0, 4, 2});
  for_floating([](auto, DType t) {
    CHECK(off(everyway1([](const Tensors& in) { return tf::if_arrived(tf::constant(true), in[0], 3); },
                        {make(t, {2, 3}, six(t))}),
              t, {2, 3}, six(t)) == "");
  });
  CHECK(off(tf::if_arrived(tf::tensor(false), tf::tensor({1.f, 2.f}), 3), tf::float32, {2}, {3, 3}) == "");
  derives(
      "broadcast_to",
      [](const Tensor& x) {
        return tf::broadcast_to(x, {4, 2, 3});
      },
      Reals(6, 4));
  derives(
      "broadcast_like",
      [](const Tensor& x) {
        return tf::broadcast_like(x, tf::zeros({2, 2, 3}));
      },
      Reals(6, 2));
  // What is not taken lends its gradient nothing, not even where it is infinite.
  derives("where", [](const Tensor& x) { return tf::where(tf::greater(x, 0), x, tf::log(tf::zeros_like(x))); },
          {1, 0, 1, 1, 1, 0});
  CHECK(off(tf::broadcast_to(make(tf::float32, {1, 3}, {1, 2, 3}), {0, 3}), tf::float32, {0, 3}, {}) == "");
  CHECK(off_list(everyway1([](const Tensors& in) { return tf::shape(in[0]); }, {kNone}), tf::int32, {2, 0, 3}) == "");
  CHECK(off(everyway1([](const Tensors& in) { return tf::size(in[0]); }, {kNone}), tf::int32, Shape{}, {0}) == "");
  CHECK(off(tf::size(tf::tensor(1.f)), tf::int32, Shape{}, {1}) == "");
  CHECK((tf::rank(kNone) == 3 && tf::rank(tf::tensor(1)) == 0));
  const Tensor x = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK_ERROR(tf::broadcast_to(x, {2, 4}), InvalidArgument, "");
  CHECK_ERROR(tf::broadcast_to(x, {3}), InvalidArgument, "");
  CHECK_ERROR(tf::broadcast_to(tf::tensor(1), {-1}), InvalidArgument, "");
  CHECK_ERROR(tf::broadcast_like(x, tf::zeros({2})), InvalidArgument, "");
  CHECK_ERROR(tf::where(x, x, x), InvalidArgument, "");
  CHECK_ERROR(tf::where(tf::tensor({true, false}), x, x), InvalidArgument, "");
  CHECK_ERROR(tf::deferred([] {
                const tf::Graph graph;
                const auto scope = graph.as_default();
                return tf::rank(tf::placeholder(tf::float32));
              }),
              InvalidArgument, "");

  // Floating to integer truncates and saturates, NaN gives 0; integer to integer wraps.
  const auto saturated = [](real v, real low, real high) {
    return std::isnan(v) ? 0 : v < low ? low : v > high ? high : std::trunc(v);
  };
  for_floating([&](auto zero, DType from) {
    const Reals v = everywhere<decltype(zero)>();
    const Reals in = values_of(make(from, v));
    for_integers([&](auto integer, DType to) {
      using L = std::numeric_limits<decltype(integer)>;
      Reals wanted;
      for (const real f : in)
        wanted.push_back(static_cast<decltype(integer)>(saturated(f, L::min(), L::max())) + real(0));
      INFO(from << " to " << to);
      CHECK(off_list(everyway1([&](const Tensors& t) { return tf::cast(t[0], to); }, {make(from, v)}), to, wanted) ==
            "");
    });
    Reals truth;
    for (const real f : in) truth.push_back(f != 0);
    CHECK(off_list(tf::cast(make(from, v), tf::bool_), tf::bool_, truth) == "");
    for_floating([&](auto, DType to) {
      CHECK(off_list(everyway1([&](const Tensors& t) { return tf::cast(t[0], to); }, {make(from, v)}), to, in,
                     {.ulps = 0.5}) == "");
    });
  });
  for_integers([&](auto zero, DType) {
    const auto v = integers<decltype(zero)>();
    for_integers([&](auto other, DType to) {
      Reals wanted;
      for (const auto i : v) wanted.push_back(static_cast<decltype(other)>(i));
      CHECK(off_list(everyway1([&](const Tensors& t) { return tf::cast(t[0], to); }, {tf::tensor(v)}), to, wanted) ==
            "");
    });
    for_floating([&](auto other, DType to) {
      Reals wanted;
      for (const auto i : v) wanted.push_back(static_cast<decltype(other)>(i));
      CHECK(off_list(everyway1([&](const Tensors& t) { return tf::cast(t[0], to); }, {tf::tensor(v)}), to, wanted) ==
            "");
    });
  });
  for_floating([](auto, DType t) {
    const auto [y, first, second] =
        derive([](const Tensor& v) { return tf::square(tf::cast(v, tf::float64)); }, make(t, {2, -3}));
    CHECK(off_list(first, t, {4, -6}) == "");
    CHECK(off_list(second, t, {2, 2}) == "");
  });
}
