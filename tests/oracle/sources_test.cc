// What makes tensors from nothing: constants, ranges, patterns; literals that do not fit and extents that overflow.
#include "oracle.h"

using namespace oracle;

namespace {

/// Extents whose product leaves int64, or memory: an error in both modes, and never less memory than is written to.
const std::vector<Shape> kTooLarge = {{int64_t{1} << 32, int64_t{1} << 32},
                                      {int64_t{1} << 62, 4},
                                      {int64_t{1} << 31, int64_t{1} << 31, 4},
                                      {3037000500, 3037000500},
                                      {INT64_MAX},
                                      {INT64_MAX, INT64_MAX},
                                      {int64_t{1} << 61}};

/// `make` gives an Error, in either mode, when it is made or when it is run, and not another exception.
void too_large(const std::string& name, const std::function<Tensor()>& make) {
  INFO(name);
  for (const bool eager : {true, false}) {
    std::string what = "no error";
    try {
      if (eager) {
        tf::eagerly([&] { return make(); });
      } else {
        const tf::Graph graph;
        const auto scope = graph.as_default();
        const tf::DeferredMode deferred;
        const Tensor t = make();
        const tf::Session session(graph);
        session.run(t);
      }
    } catch (const tf::Error& e) {
      what = std::string(name_of(e.code()));
      CHECK((e.code() == tf::Code::ResourceExhausted || e.code() == tf::Code::InvalidArgument));
    } catch (const std::exception& e) {
      what = e.what();
    }
    INFO((eager ? "eager: " : "deferred: ") << what);
    CHECK((what == "ResourceExhausted" || what == "InvalidArgument"));
  }
}

/// The same value in both modes.
Tensor source(const std::function<Tensor()>& make) {
  return everyway1([&](const Tensors&) { return make(); }, {});
}

}  // namespace

ORACLE(constant, tensor, full, zeros, ones, Literal, Literal::to_tensor, Literal::fits, Literal::default_dtype) {
  // Bare numbers: int32, int64 where they do not fit, float32, bool.
  CHECK(off(source([] { return tf::constant(INT32_MAX); }), tf::int32, Shape{}, {INT32_MAX}) == "");
  CHECK(off(source([] { return tf::constant(int64_t{INT32_MAX} + 1); }), tf::int64, Shape{}, {real(INT32_MAX) + 1}) ==
        "");
  CHECK(off(source([] { return tf::constant(INT64_MIN); }), tf::int64, Shape{}, {real(INT64_MIN)}) == "");
  CHECK(off(source([] { return tf::constant(0.1); }), tf::float32, Shape{}, {real(0.1f)}) == "");
  CHECK(off(source([] { return tf::constant(true); }), tf::bool_, Shape{}, {1}) == "");
  CHECK(off(source([] { return tf::constant({1, 2.5}); }), tf::float32, {2}, {1, 2.5}) == "");
  CHECK(off(source([] {
              return tf::constant(std::vector<double>{0.1, -0.0, INFINITY, 5e-324});
            }),
            tf::float64, {4}, {0.1, -0.0L, kInf, real(5e-324)}) == "");
  CHECK_ERROR(tf::constant(UINT64_MAX), InvalidArgument, "");
  CHECK_ERROR(tf::constant(uint64_t{INT64_MAX} + 1), InvalidArgument, "");
  CHECK_ERROR(tf::constant({{1, 2}, {3}}), InvalidArgument, "");
  // Of a dtype: what it does not hold is an error.
  const auto of = [](const tf::Literal& v, DType t) { return tf::tensor(v, {.dtype = t}); };
  CHECK(off(of(255, tf::uint8), tf::uint8, Shape{}, {255}) == "");
  CHECK_ERROR(of(256, tf::uint8), InvalidArgument, "256");
  CHECK_ERROR(of(-1, tf::uint8), InvalidArgument, "-1");
  CHECK_ERROR(of(int64_t{INT32_MAX} + 1, tf::int32), InvalidArgument, "2147483648");
  CHECK_ERROR(of(int64_t{INT32_MIN} - 1, tf::int32), InvalidArgument, "-2147483649");
  CHECK(off(of(INT32_MIN, tf::int32), tf::int32, Shape{}, {INT32_MIN}) == "");
  CHECK(off(of(0.1, tf::float64), tf::float64, Shape{}, {0.1}) == "");
  CHECK_ERROR(of(0.5, tf::int32), InvalidArgument, "");
  CHECK_ERROR(of({1, 300}, tf::uint8), InvalidArgument, "300");
  CHECK(tf::Literal(300).fits(tf::int32));
  CHECK(tf::Literal(1).default_dtype() == tf::int32);
  CHECK(tf::Literal(int64_t{1} << 40).default_dtype() == tf::int64);
  CHECK(tf::Literal(0.5).default_dtype() == tf::float32);
  CHECK(off(tf::Literal({{1, 2}, {3, 4}}).to_tensor(tf::uint8), tf::uint8, {2, 2}, {1, 2, 3, 4}) == "");
  CHECK_ERROR(tf::Literal({1, 2}).to_tensor(tf::uint8, {3}), InvalidArgument, "");
  for (const DType t : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_}) {
    CHECK(off(source([&] { return tf::zeros({2, 1}, t); }), t, {2, 1}, {0, 0}) == "");
    CHECK(off(source([&] { return tf::ones({3}, t); }), t, {3}, {1, 1, 1}) == "");
    CHECK(off(source([&] { return tf::zeros({}, t); }), t, Shape{}, {0}) == "");
    CHECK(off(source([&] { return tf::ones({2, 0, 3}, t); }), t, {2, 0, 3}, {}) == "");
    CHECK(off(source([&] { return tf::full({2}, 1, {.dtype = t}); }), t, {2}, {1, 1}) == "");
    CHECK(off(source([&] { return tf::constant(1, Shape{0}, {.dtype = t}); }), t, {0}, {}) == "");
  }
  for_floating([](auto zero, DType t) {
    using T = decltype(zero);
    for (const real v : extremes<T>())
      CHECK(off(source([&] { return tf::full({3}, static_cast<double>(v), {.dtype = t}); }), t, {3},
                Reals(3, static_cast<T>(v))) == "");
  });
  for_integers([](auto zero, DType t) {
    for (const auto v : integers<decltype(zero)>())
      CHECK(off(source([&] { return tf::full({2}, v, {.dtype = t}); }), t, {2}, Reals(2, v)) == "");
  });
  CHECK_ERROR(tf::full({2}, 300, {.dtype = tf::uint8}), InvalidArgument, "300");
  CHECK_ERROR(tf::full({2}, {1, 2, 3}), InvalidArgument, "");
  CHECK_ERROR(tf::zeros({-1, 2}), InvalidArgument, "");
  CHECK_ERROR(tf::ones(tf::unknown_shape), InvalidArgument, "");
  for (const Shape& s : kTooLarge) {
    too_large("zeros " + s.str(), [&] { return tf::zeros(s); });
    too_large("ones " + s.str(), [&] { return tf::ones(s, tf::uint8); });
    too_large("full " + s.str(), [&] { return tf::full(s, 1.5); });
    too_large("constant " + s.str(), [&] { return tf::constant(2, s); });
    too_large("tensor " + s.str(), [&] { return tf::tensor(2, s); });
    too_large("random_normal " + s.str(), [&] { return tf::random_normal(s); });
    too_large("random_uniform_int " + s.str(), [&] { return tf::random_uniform_int(s, 0, 2); });
    too_large("broadcast_to " + s.str(), [&] { return tf::broadcast_to(tf::tensor(1.f), s); });
  }
}

ORACLE(range) {
  const auto of = [](const tf::Literal& a, const tf::Literal& b, const tf::Literal& d, std::optional<DType> t = {}) {
    return source([=] { return tf::range(a, b, d, {.dtype = t}); });
  };
  CHECK(off_list(source([] { return tf::range(4); }), tf::int32, {0, 1, 2, 3}) == "");
  CHECK(off_list(of(3, 10, 3), tf::int32, {3, 6, 9}) == "");
  CHECK(off_list(of(3, -4, -3), tf::int32, {3, 0, -3}) == "");
  CHECK(off_list(of(5, 5, 1), tf::int32, {}) == "");
  CHECK(off_list(of(5, 0, 1), tf::int32, {}) == "");
  // A count of floating steps is that of whole ones: ceil((limit - start) / delta), element i being start + i delta.
  const Tensor hundred = of(0., 1., 0.01);
  REQUIRE(hundred.num_elements() == 100);
  for (int64_t i = 0; i < 100; ++i)
    CHECK(std::fabs(hundred[i].item<float>() - static_cast<float>(static_cast<double>(i) * 0.01)) <= 6e-8f);
  Reals tenths;
  for (int i = 0; i < 5; ++i) tenths.push_back(static_cast<double>(i) * 0.1);
  CHECK(off_list(of(0., 0.5, 0.1, tf::float64), tf::float64, tenths, {.ulps = 1}) == "");
  // Whole numbers at both ends; steps that leave the dtype only behind the last element.
  CHECK(off_list(of(INT64_MAX - 2, INT64_MAX, 2), tf::int64, {real(INT64_MAX - 2)}) == "");
  CHECK(off_list(of(INT64_MIN, INT64_MIN + 2, 1), tf::int64, {real(INT64_MIN), real(INT64_MIN) + 1}) == "");
  CHECK(off_list(of(INT64_MIN, INT64_MAX, INT64_MAX), tf::int64, {real(INT64_MIN), -1, real(INT64_MAX) - 1}) == "");
  CHECK(off_list(of(INT64_MAX, INT64_MIN, INT64_MIN), tf::int64, {real(INT64_MAX), -1}) == "");
  CHECK(off_list(of(int64_t{1} << 60, (int64_t{1} << 60) + 3, 1), tf::int64, {0x1p60L, 0x1p60L + 1, 0x1p60L + 2}) ==
        "");
  CHECK(off_list(of(250, 256, 2, tf::uint8), tf::uint8, {250, 252, 254}) == "");
  CHECK_ERROR(of(250, 260, 2, tf::uint8), InvalidArgument, "");
  CHECK_ERROR(of(0, 5, 0), InvalidArgument, "0");
  CHECK_ERROR(of(0., 5., 0.), InvalidArgument, "0");
  CHECK_ERROR(of(0., INFINITY, 1.), InvalidArgument, "");
  CHECK_ERROR(of(0., NAN, 1.), InvalidArgument, "");
  CHECK_ERROR(of(-INFINITY, 0., 1.), InvalidArgument, "");
  CHECK_ERROR(of(0., 1., NAN), InvalidArgument, "");
  too_large("range", [] { return tf::range(0, INT64_MAX, 1); });
  too_large("range of tiny steps", [] { return tf::range(0., 1e30, 1e-30); });
}

ORACLE(eye, one_hot) {
  for (const DType t : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_}) {
    CHECK(off(source([&] { return tf::eye(2, 3, t); }), t, {2, 3}, {1, 0, 0, 0, 1, 0}) == "");
    CHECK(off(source([&] { return tf::eye(1, -1, t); }), t, {1, 1}, {1}) == "");
    CHECK(off(source([&] { return tf::eye(0, -1, t); }), t, {0, 0}, {}) == "");
    CHECK(off(source([&] { return tf::eye(2, 0, t); }), t, {2, 0}, {}) == "");
    if (t != tf::bool_)
      CHECK(off(everyway1([&](const Tensors& in) { return tf::one_hot(in[0], 3, {.on = 7, .off = 2, .dtype = t}); },
                          {tf::tensor({0, 2, -1, 3, INT32_MAX, INT32_MIN})}),
                t, {6, 3}, {7, 2, 2, 2, 2, 7, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}) == "");
  }
  CHECK(
      off(everyway1([&](const Tensors& in) { return tf::one_hot(in[0], 2); }, {tf::tensor({INT64_MAX, INT64_MIN, 1})}),
          tf::float32, {3, 2}, {0, 0, 0, 0, 0, 1}) == "");
  CHECK(off(tf::one_hot(tf::tensor(1), 2), tf::float32, {2}, {0, 1}) == "");
  CHECK(off(tf::one_hot(tf::tensor({1}), 0), tf::float32, {1, 0}, {}) == "");
  CHECK(off(tf::one_hot(tf::tensor(std::vector<int>()), 2), tf::float32, {0, 2}, {}) == "");
  for_floating([](auto zero, DType t) {
    for (const real v : {kInf, -kInf, kNaN, real(std::numeric_limits<decltype(zero)>::max()), real(0.1)})
      CHECK(off(everyway1(
                    [&](const Tensors& in) {
                      return tf::one_hot(in[0], 2, {.on = static_cast<double>(v), .off = 0.1, .dtype = t});
                    },
                    {tf::tensor({0})}),
                t, {1, 2}, {v, 0.1}) == "");
  });
  CHECK_ERROR(tf::eye(-1), InvalidArgument, "");
  CHECK_ERROR(tf::eye(2, -2), InvalidArgument, "");
  CHECK_ERROR(tf::one_hot(tf::tensor({1}), -1), InvalidArgument, "");
  CHECK_ERROR(tf::one_hot(tf::tensor({1.f}), 2), InvalidArgument, "");
  CHECK_ERROR(tf::one_hot(tf::tensor({1}), 2, {.on = 300, .dtype = tf::uint8}), InvalidArgument, "300");
  CHECK_ERROR(tf::one_hot(tf::tensor({1}), 2, {.off = 0.5, .dtype = tf::int32}), InvalidArgument, "0.5");
  too_large("eye", [] { return tf::eye(int64_t{1} << 32); });
  too_large("eye of two", [] { return tf::eye(INT64_MAX, INT64_MAX); });
  too_large("one_hot", [] { return tf::one_hot(tf::zeros({1 << 20}, tf::int32), int64_t{1} << 50); });
}

ORACLE(tile, pad, zeros_like, ones_like) {
  for (const DType t : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8}) {
    const Tensor x = make(t, {2, 1}, {3, 5});
    CHECK(off(everyway1(
                  [](const Tensors& in) {
                    return tf::tile(in[0], {2, 3});
                  },
                  {x}),
              t, {4, 3}, {3, 3, 3, 5, 5, 5, 3, 3, 3, 5, 5, 5}) == "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::tile(in[0], {0, 3}); }, {x}), t, {0, 3}, {}) == "");
    CHECK(off(everyway1(
                  [](const Tensors& in) {
                    return tf::pad(in[0], {{1, 0}, {0, 1}}, {.value = 9});
                  },
                  {x}),
              t, {3, 2}, {9, 9, 3, 9, 5, 9}) == "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::zeros_like(in[0]); }, {x}), t, {2, 1}, {0, 0}) == "");
    CHECK(off(everyway1([](const Tensors& in) { return tf::ones_like(in[0]); }, {x}), t, {2, 1}, {1, 1}) == "");
  }
  const Tensor x = tf::tensor({1.f, 2.f, 3.f}), none = make(tf::float32, {0}, {});
  const auto padded = [&](const Tensor& of, int64_t before, int64_t after, tf::PadMode mode) {
    return everyway1([=](const Tensors& in) { return tf::pad(in[0], {{before, after}}, {.mode = mode}); }, {of});
  };
  CHECK(off_list(padded(x, 2, 2, tf::PadMode::reflect), tf::float32, {3, 2, 1, 2, 3, 2, 1}) == "");
  CHECK(off_list(padded(x, 3, 3, tf::PadMode::symmetric), tf::float32, {3, 2, 1, 1, 2, 3, 3, 2, 1}) == "");
  CHECK(off_list(padded(none, 1, 1, tf::PadMode::constant), tf::float32, {0, 0}) == "");
  CHECK_ERROR(padded(x, 3, 0, tf::PadMode::reflect), InvalidArgument, "");
  CHECK_ERROR(padded(x, 0, 4, tf::PadMode::symmetric), InvalidArgument, "");
  CHECK_ERROR(padded(none, 1, 0, tf::PadMode::symmetric), InvalidArgument, "");
  for (const double v : {double(INFINITY), -double(INFINITY), double(NAN), 0.1})
    CHECK(off_list(tf::pad(x, {{0, 1}}, {.value = v}), tf::float32, {1, 2, 3, v}) == "");
  CHECK_ERROR(tf::pad(tf::tensor({1}), {{0, 1}}, {.value = 0.5}), InvalidArgument, "0.5");
  CHECK_ERROR(tf::pad(make(tf::uint8, {1}, {1}), {{0, 1}}, {.value = 256}), InvalidArgument, "256");
  CHECK_ERROR(tf::pad(tf::tensor({1}), {{0, 1}}, {.value = NAN}), InvalidArgument, "nan");
  CHECK_ERROR(tf::pad(tf::tensor({1}), {{0, 1}}, {.value = 0x1p31}), InvalidArgument, "");
  CHECK_ERROR(tf::pad(x, {{-1, 0}}), InvalidArgument, "");
  CHECK_ERROR(tf::pad(x, {}), InvalidArgument, "");
  CHECK_ERROR(tf::tile(x, {-1}), InvalidArgument, "");
  CHECK_ERROR(tf::tile(x, {1, 1}), InvalidArgument, "");
  for_floating([](auto, DType t) {
    const auto [y, first, second] =
        derive([](const Tensor& v) { return tf::square(tf::tile(v, {3})); }, make(t, {2, -1}));
    CHECK(off_list(first, t, {12, -6}) == "");
    CHECK(off_list(second, t, {6, 6}) == "");
    const auto [z, slope, bend] = derive(
        [](const Tensor& v) {
          return tf::square(tf::pad(v, {{1, 1}}, {.mode = tf::PadMode::symmetric}));
        },
        make(t, {2, -1, 3}));
    CHECK(off_list(slope, t, {8, -2, 12}) == "");
    CHECK(off_list(bend, t, {4, 2, 4}) == "");
  });
  too_large("tile", [&] { return tf::tile(tf::tensor({1.f, 2.f}), {INT64_MAX}); });
  too_large("tile of two", [&] { return tf::tile(tf::tensor({{1.f, 2.f}}), {int64_t{1} << 32, int64_t{1} << 31}); });
  too_large("pad", [&] { return tf::pad(tf::tensor({1.f, 2.f}), {{INT64_MAX, INT64_MAX}}); });
  too_large("pad of two", [&] {
    return tf::pad(tf::tensor({{1.f, 2.f}}), {{int64_t{1} << 40, 0}, {0, int64_t{1} << 40}});
  });
}
