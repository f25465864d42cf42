// Extents that a graph does not know: never numbers; taken as tensors.
#include <functional>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"
#include "thrown.h"

namespace tf = twofold;
using testing::Thrown;
using testing::thrown_by;
using tf::Shape;
using tf::Tensor;

namespace {

// What f gives of x eagerly, once it has been checked that sessions give the same bits, gradients by x included, where
// a graph knows nothing of x's shape, its rank, or all of it.
std::vector<Tensor> with_any_shape(const Tensor& x, const std::function<Tensor(Tensor)>& f) {
  const auto program = [&](const Tensor& t) {
    const Tensor y = f(t);
    std::vector<Tensor> all{y};
    if (!tf::is_floating(y.dtype()) || !tf::is_floating(t.dtype())) return all;
    const Tensor dx = tf::gradients({tf::sum(y * y)}, {t})[0];
    if (dx.defined()) all.push_back(dx);
    return all;
  };
  const std::vector<Tensor> eager = tf::eagerly([&] {
    tf::set_random_seed(0);
    tf::GradientTape tape;
    const Tensor t = tf::identity(x);
    tape.watch(t);
    return program(t);
  });
  for (const Shape& known : {tf::unknown_shape, Shape::of_rank(x.rank()), x.shape()}) {
    const FreshGraph fresh;
    const Tensor p = tf::placeholder(x.dtype(), known);
    const std::vector<Tensor> symbols = program(p);
    for (const bool optimize : {false, true}) {
      const tf::Session session(fresh.graph, {.optimize = optimize});
      const std::vector<Tensor> values = session.run(symbols, {{p, x}});
      REQUIRE(values.size() == eager.size());
      for (size_t i = 0; i < values.size(); ++i) {
        INFO("result " << i << " with " << known << ", optimize " << optimize << ": " << values[i] << ", eager "
                       << eager[i]);
        CHECK(testing::same_bits(values[i], eager[i]));
        CHECK(values[i].shape().compatible_with(symbols[i].shape()));
      }
    }
  }
  return eager;
}

Tensor batch_of(const Tensor& x) { return tf::shape(x)[0]; }
const Tensor kPair = tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});

}  // namespace

TEST_CASE("integers that are read many times are followed once") {
  // Each round reads the last one 60 times: without a memory of what was followed, 60^9 steps for the last.
  const FreshGraph fresh;
  for (const bool known : {true, false}) {
    const Tensor x = tf::placeholder(tf::float32, Shape{known ? 7 : -1});
    Tensor n = tf::shape(x);
    for (int i = 0; i < 9; ++i) n = tf::slice(tf::concat(std::vector<Tensor>(60, n), 0), {i}, {1});
    CHECK(tf::broadcast_to(tf::constant(1.f), {n[0]}).shape() == Shape{known ? 7 : -1});
    Tensor twice = tf::shape(x)[0];
    for (int i = 0; i < 20; ++i) twice = twice + twice;
    CHECK(tf::broadcast_to(tf::constant(1.f), {twice}).shape() == Shape{known ? 7 << 20 : -1});
  }
}

TEST_CASE("an extent that a graph does not know is no number") {
  const FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {-1, 28}, {.name = "x"}), vague = tf::placeholder(tf::float32);
  const Shape s = x.shape(), none = vague.shape();
  const auto refused = [](uint32_t line, const std::string& hint, const std::function<void()>& f) {
    const Thrown t = thrown_by(f);
    INFO(t);
    CHECK((t.code == "FailedPrecondition" && t.line == line && t.hint.find(hint) != std::string::npos));
  };
  refused(__LINE__, "tf::shape(x)[0]", [&] { x.dim(0); });
  refused(__LINE__, "tf::shape(x)[-2]", [&] { x.dim(-2); });
  refused(__LINE__, "tf::shape(x)[3]", [&] { vague.dim(3); });
  refused(__LINE__, "tf::shape(x)[0]", [&] { (void)s[0]; });
  refused(__LINE__, "tf::shape(x)[0]", [&] { (void)s.at(-2); });
  refused(__LINE__, "tf::shape(x)", [&] { (void)none.at(0); });
  refused(__LINE__, "tf::shape(x)", [&] { for (int64_t d : s) (void)d; });
  refused(__LINE__, "tf::shape(x)", [&] { for (int64_t d : none) (void)d; });
  refused(__LINE__, "tf::shape(x)", [&] { (void)s.dims(); });
  refused(__LINE__, "tf::size(x)", [&] { (void)s.num_elements(); });
  CHECK(thrown_by([&] { x.dim(0); }).message.find("\"x:0\"") != std::string::npos);
  CHECK(thrown_by([&] { (void)s.at(2); }).code == "OutOfRange");
  // What is known is, and what is not can be asked about, compared and printed.
  CHECK((x.dim(1) == 28 && x.dim(-1) == 28 && s[1] == 28 && s.at(-1) == 28));
  CHECK((s.extent(1) == 28 && !s.extent(0) && s.knows(1) && !s.knows(0) && !s.known_elements()));
  CHECK((s == Shape{-1, 28} && s != Shape{2, 28} && printed(s) == "(?, 28)" && printed(none) == "<unknown>"));
  CHECK((Shape{2, 3}.num_elements() == 6 && Shape{}.num_elements() == 1 && Shape{0, int64_t{1} << 62, 8}.num_elements() == 0));
}

TEST_CASE("a step that asks for an extent gets it, or an error that says what to write") {
  const auto mean = [](bool shape) {
    return tf::step([=](Tensor x) {
      if (!shape) return tf::sum(x) / static_cast<double>(x.dim(0));
      return tf::sum(x) / tf::cast(tf::shape(x)[0], tf::float32);
    });
  };
  auto right = mean(true), wrong = mean(false);
  CHECK(right(tf::tensor({1.f, 2.f, 3.f})).item<float>() == 2);
  CHECK(right(tf::tensor({1.f, 2.f, 3.f, 6.f})).item<float>() == 3);
  const Thrown t = thrown_by([&] { wrong(tf::tensor({1.f, 2.f, 3.f})); });
  CHECK((t.code == "FailedPrecondition" && t.hint == "tf::shape(x)[0]"));
  tf::EagerMode eager;
  CHECK(mean(true)(tf::tensor({1.f, 2.f, 3.f})).item<float>() == 2);
  CHECK(mean(false)(tf::tensor({1.f, 2.f, 3.f})).item<float>() == 2);
}

TEST_CASE("wherever an extent is taken a tensor is taken too") {
  const auto same = [](const Tensor& got, const Tensor& want) {
    INFO(got << " for " << want);
    CHECK(testing::same_bits(got, want));
  };
  const auto first = [&](const std::function<Tensor(Tensor)>& f) { return with_any_shape(kPair, f)[0]; };
  same(first([](Tensor x) { return tf::reshape(x, {batch_of(x), -1}); }), kPair);
  same(first([](Tensor x) { return tf::reshape(x, {1, tf::shape(x)[1], batch_of(x)}); }),
       tf::tensor({{{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}}}));
  same(first([](Tensor x) { return tf::reshape(x, tf::size(x)); }), tf::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}));
  same(first([](Tensor x) { return tf::ones({batch_of(x), 2}); }), tf::tensor({{1.f, 1.f}, {1.f, 1.f}}));
  same(first([](Tensor x) { return tf::zeros({batch_of(x)}, tf::int64); }), tf::tensor({0, 0}, {.dtype = tf::int64}));
  same(first([](Tensor x) { return tf::full(tf::shape(x), 7.5); }), tf::tensor(7.5f, {2, 3}));
  same(first([](Tensor x) { return tf::full(tf::shape(x)[1], 7); }), tf::tensor({7, 7, 7}));
  same(first([](Tensor x) { return tf::range(tf::shape(x)[1]); }), tf::tensor({0, 1, 2}));
  same(first([](Tensor x) { return tf::range(tf::shape(x)[1], -1, -2); }), tf::tensor({3, 1}));
  same(first([](Tensor x) { return tf::range(5, batch_of(x), 1); }), tf::tensor(0, {0}));
  same(first([](Tensor x) { return tf::eye(batch_of(x)); }), tf::tensor({{1.f, 0.f}, {0.f, 1.f}}));
  same(first([](Tensor x) { return tf::eye(batch_of(x), tf::shape(x)[1], tf::int32); }), tf::tensor({{1, 0, 0}, {0, 1, 0}}));
  same(first([](Tensor x) { return tf::eye(3, batch_of(x), tf::int32); }), tf::tensor({{1, 0}, {0, 1}, {0, 0}}));
  same(first([](Tensor x) { return tf::broadcast_to(x, {batch_of(x), -1, tf::shape(x)[1]}); }),
       tf::tensor({{{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}, {{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}}));
  same(first([](Tensor x) { return tf::tile(x, {batch_of(x), 1}); }),
       tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}, {1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}}));
  same(first([](Tensor x) { return tf::tile(x, {1, 2}); }),
       tf::tensor({{1.f, 2.f, 3.f, 1.f, 2.f, 3.f}, {4.f, 5.f, 6.f, 4.f, 5.f, 6.f}}));
  same(first([](Tensor x) { return tf::tile(x, {0, batch_of(x)}); }), tf::tensor(0.f, {0, 6}));
  same(first([](Tensor x) { return tf::slice(x, {batch_of(x) - 1, 0}, {1, batch_of(x)}); }), tf::tensor({{4.f, 5.f}}));
  same(first([](Tensor x) { return tf::slice(x, {0, -batch_of(x)}, {-1, 1}); }), tf::tensor({{2.f}, {5.f}}));
  same(first([](Tensor x) { return tf::pad(x, {{0, 0}, {batch_of(x) - 1, 0}}, {.value = 9}); }),
       tf::tensor({{9.f, 1.f, 2.f, 3.f}, {9.f, 4.f, 5.f, 6.f}}));
  same(first([](Tensor x) { return tf::pad(x, {{0, 0}, {0, batch_of(x)}}, {.mode = tf::PadMode::reflect}); }),
       tf::tensor({{1.f, 2.f, 3.f, 2.f, 1.f}, {4.f, 5.f, 6.f, 5.f, 4.f}}));
  same(first([](Tensor x) { return tf::one_hot(tf::constant({1, 0}), batch_of(x)); }), tf::tensor({{0.f, 1.f}, {1.f, 0.f}}));
  same(first([](Tensor x) { return tf::ensure_shape(x, {-1, 3}); }), kPair);
  // Of random numbers the shape, and that both modes draw the same.
  for (const auto& draw : std::vector<std::function<Tensor(Tensor)>>{
           [](Tensor n) { return tf::random_normal({n, 3}, {.seed = 1}); },
           [](Tensor n) { return tf::truncated_normal({3, n}, {.seed = 1}); },
           [](Tensor n) { return tf::random_uniform({n}, {.seed = 1}); },
           [](Tensor n) { return tf::random_uniform_int({n, n}, 0, 9, {.seed = 1}); },
           [](Tensor n) { return tf::random_permutation(n * 4, {.seed = 1}); }})
    CHECK(first([&](Tensor x) { return draw(batch_of(x)); }).shape().rank() > 0);
}

TEST_CASE("what is known of extents stays known") {
  const FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {-1, 28, 28}), vague = tf::placeholder(tf::float32);
  const Tensor batch = tf::shape(x)[0], height = tf::shape(x)[1];
  CHECK(tf::ones({batch, 2}).shape() == Shape{-1, 2});
  CHECK(tf::ones({batch, height}).shape() == Shape{-1, 28});
  CHECK(tf::ones({batch, height * height}).shape() == Shape{-1, 784});
  CHECK(tf::reshape(x, {batch, -1}).rank() == 2);
  CHECK(tf::reshape(x, tf::shape(vague)).shape() == tf::unknown_shape);
  CHECK(tf::random_normal({batch, 4}).shape() == Shape{-1, 4});
  CHECK(tf::broadcast_to(tf::placeholder(tf::float32, {28}), {batch, height, -1}).shape() == Shape{-1, 28, 28});
  CHECK(tf::slice(x, {0, height - 3, 0}, {batch, 3, -1}).shape() == Shape{-1, 3, 28});
  CHECK(tf::pad(x, {{0, 0}, {batch, 0}, {1, 1}}).rank() == 3);
  CHECK(tf::ensure_shape(vague, {-1, 28}).shape() == Shape{-1, 28});
  CHECK(tf::ensure_shape(x, {5, -1, -1}).shape() == Shape{5, 28, 28});
  CHECK(tf::ensure_shape(vague, tf::unknown_shape).shape() == tf::unknown_shape);
}

TEST_CASE("an extent of a shape costs no kernel and no transfer") {
  const auto calls = [](const std::function<void()>& f) {
    tf::Ledger ledger;
    {
      const auto recording = ledger.record();
      f();
    }
    std::string ops;
    for (const auto& [op, time] : ledger.ops()) ops += op + " ";
    INFO("ops: " << ops);
    CHECK(ledger.seconds(tf::Phase::transfer) == 0);
    return ops;
  };
  const auto two_lines = [](const Tensor& x) {
    const auto batch = tf::shape(x)[0];
    return tf::reshape(x, {batch, -1});
  };
  const Tensor x = tf::tensor(1.f, {2, 3, 4});
  {
    tf::EagerMode eager;
    CHECK(calls([&] { CHECK(two_lines(x).shape() == Shape{2, 12}); }) == "Reshape ");  // a view of the same elements
    CHECK(two_lines(x).data<float>().data() == x.data<float>().data());
    CHECK(calls([&] { CHECK(tf::shape(x)[-1].item<int32_t>() == 4); }) == "");
  }
  for (const Shape& known : {tf::unknown_shape, Shape{-1, 3, 4}, Shape{2, 3, 4}}) {
    for (const bool optimize : {false, true}) {
      const FreshGraph fresh;
      const Tensor p = tf::placeholder(tf::float32, known);
      const Tensor y = two_lines(p), n = tf::shape(p)[1], filled = tf::ones({tf::shape(p)[0], 2});
      const tf::Session session(fresh.graph, {.optimize = optimize});
      CHECK(calls([&] { CHECK(session.run(y, {{p, x}}).shape() == Shape{2, 12}); }) == "");
      CHECK(calls([&] { CHECK(session.run(n, {{p, x}}).item<int32_t>() == 3); }) == "");
      session.run(filled, {{p, x}});
      CHECK(calls([&] { CHECK(session.run(filled, {{p, x}}).shape() == Shape{2, 2}); }) == (optimize ? "" : "BroadcastTo "));
    }
  }
}

TEST_CASE("extents are what a run makes them: fed numbers, fed shapes, loops") {
  const FreshGraph fresh;
  const Tensor n = tf::placeholder(tf::int32, {}), six = tf::tensor({0.f, 1.f, 2.f, 3.f, 4.f, 5.f});
  const Tensor x = tf::placeholder(tf::float32, {6}), shape = tf::constant({3, 2});
  const Tensor filled = tf::ones({n, 2}), reshaped = tf::reshape(x, shape), wide = tf::broadcast_to(x, {n});
  const auto [i, sum] = tf::while_loop([&](Tensor i, Tensor) { return i < n; },
                                       [&](Tensor i, Tensor sum) {
                                         return std::tuple{i + 1, sum + tf::sum(tf::slice(x, {i}, {2}) * tf::ones({2}))};
                                       },
                                       std::tuple{tf::constant(0), tf::constant(0.f)});
  for (const bool optimize : {false, true}) {
    const tf::Session session(fresh.graph, {.optimize = optimize});
    CHECK(session.run(filled, {{n, 3}}).shape() == Shape{3, 2});
    CHECK(session.run(filled, {{n, 0}}).shape() == Shape{0, 2});
    CHECK(session.run(reshaped, {{x, six}}).shape() == Shape{3, 2});
    CHECK(session.run(reshaped, {{x, six}, {shape, {2, 3}}}).shape() == Shape{2, 3});
    CHECK(session.run(wide, {{x, six}, {n, 6}}).shape() == Shape{6});
    CHECK_ERROR(session.run(wide, {{x, six}, {n, 5}}), InvalidArgument, "Cannot broadcast a tensor of shape [6] to shape [5]");
    CHECK_ERROR(session.run(filled, {{n, -1}}), InvalidArgument, "");
    // (0 + 1) + (1 + 2) + (2 + 3)
    CHECK(session.run(sum, {{n, 3}, {x, six}}).item<float>() == 9);
    CHECK_ERROR(session.run(sum, {{n, 6}, {x, six}}), InvalidArgument, "Expected size[0] in [0, 1], but got 2");
  }
  CHECK_ERROR(tf::ones({tf::constant(2.f)}), InvalidArgument, "An extent must be int32 or int64, not float32");
  CHECK_ERROR(tf::ones({tf::constant({2})}), InvalidArgument, "An extent is one number, not a tensor of shape (1,)");
  CHECK_ERROR(tf::ones({Tensor()}), InvalidArgument, "None");
  CHECK_ERROR(tf::ones({-1, 2}), InvalidArgument, "must be fully known, but is (?, 2)");
  CHECK_ERROR(tf::eagerly([&] { return tf::ones({n}); }), FailedPrecondition, "eager code computes with values");
}
