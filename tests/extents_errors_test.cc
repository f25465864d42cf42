// Extents that are wrong: where building could not tell, the run does, in the same words; and more elements than there
// is memory for.
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"
#include "thrown.h"

namespace tf = twofold;
using testing::Thrown;
using testing::thrown_by;
using tf::Shape;
using tf::Tensor;

namespace {
const Tensor kPair = tf::tensor({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});
}  // namespace

TEST_CASE("the run makes the checks that building could not, with its words and its line") {
  struct Case {
    std::string name;
    std::vector<Tensor> inputs;
    std::function<Tensor(const std::vector<Tensor>&)> f;
  };
  const auto of = [](std::initializer_list<int64_t> extents) { return tf::tensor(1.f, Shape(std::vector(extents))); };
  const Tensor classes = tf::tensor({0, 1}), x23 = of({2, 3}), x3 = of({3}), x1 = of({1}), x2 = of({2}), scalar = of({});
  const Tensor image = of({1, 3, 8, 8}), flat = of({2, 3, 8});
  using V = std::vector<Tensor>;
#define CASE(inputs, expression) Case{#expression, inputs, [](const V& t) { return expression; }}
  const std::vector<Case> cases = {
      CASE(V{x23}, tf::einsum("ii->", {t[0]})),
      CASE((V{x3, x1}), tf::einsum("i,i->i", {t[0], t[1]})),
      CASE((V{x23, x23}), tf::einsum("ij,jk->ik", {t[0], t[1]})),
      CASE(V{flat}, tf::einsum("ij->ji", {t[0]})),
      CASE((V{x23, x23}), tf::matmul(t[0], t[1])),
      CASE((V{x23, x3}), tf::matmul(t[0], t[1])),
      CASE((V{x23, x2}), t[0] + t[1]),
      CASE((V{x23, x2}), tf::where(tf::greater(t[0], 0), t[0], t[1])),
      CASE((V{image, of({4, 2, 3, 3})}), tf::conv2d(t[0], t[1])),
      CASE((V{image, of({4, 3, 9, 9})}), tf::conv2d(t[0], t[1])),
      CASE((V{image, of({4, 3, 3, 3}), x3}), tf::conv2d(t[0], t[1], t[2])),
      CASE((V{image, of({4, 3, 3, 3})}), tf::conv2d_transpose(t[0], t[1])),
      CASE(V{flat}, tf::max_pool2d(t[0], 2)),
      CASE(V{image}, tf::avg_pool2d(t[0], 9)),
      CASE((V{x23, x3}), tf::concat({t[0], t[1]}, 0)),
      CASE((V{x23, of({2, 4})}), tf::concat({t[0], t[1]}, 0)),
      CASE((V{x23, of({2, 4})}), tf::stack({t[0], t[1]})),
      CASE((V{x2, x23}), tf::stack({t[0], t[1]})),
      CASE((V{of({2, 3, 3}), classes}), tf::nn::nll_loss(t[0], t[1])),
      CASE((V{of({3, 3}), classes}), tf::nn::softmax_cross_entropy(t[0], t[1])),
      CASE((V{x23, x2}), tf::nn::mse_loss(t[0], t[1])),
      CASE((V{image, x2, x2}), tf::batch_norm(t[0], t[1], t[2]).y),
      CASE((V{image, x3, x1, x3, x3}), tf::batch_norm_inference(t[0], t[1], t[2], t[3], t[4])),
      CASE((V{x23, x1}), tf::bias_add(t[0], t[1])),
      CASE((V{x3, x3}), tf::bias_add(t[0], t[1])),
      CASE((V{x3, of({2, 3}), x3}), tf::layer_norm(t[0], t[1], t[2], {-1})),
      CASE((V{x23, classes}), tf::gather(t[0], t[1], {.axis = 2})),
      CASE((V{of({3, 3}), classes}), tf::gather(t[0], t[1], {.axis = 1, .batch_dims = 1})),
      CASE((V{x3, classes}), tf::embedding(t[0], t[1])),
      CASE(V{x23}, tf::reshape(t[0], {4, 2})),
      CASE(V{x23}, tf::reshape(t[0], {4, -1})),
      CASE(V{x23}, tf::broadcast_to(t[0], {2, 4})),
      CASE(V{x23}, tf::squeeze(t[0], 0)),
      CASE(V{x23}, tf::expand_dims(t[0], 4)),
      CASE(V{x23}, tf::transpose(t[0], {0, 2, 1})),
      CASE(V{x23}, tf::slice(t[0], {0, 1}, {2, 3})),
      CASE(V{x23}, t[0][2]),
      CASE(V{scalar}, t[0][0]),
      CASE(V{x23}, tf::strided_slice(t[0], {0, 0, 0}, {1, 1, 1})),
      CASE(V{x23}, tf::pad(t[0], {{1, 1}})),
      CASE(V{x23}, tf::pad(t[0], {{2, 0}, {0, 0}}, {.mode = tf::PadMode::reflect})),
      CASE(V{x23}, tf::tile(t[0], {2})),
      CASE(V{x23}, tf::sum(t[0], {2})),
      CASE(V{x23}, tf::softmax(t[0], 2)),
      CASE(V{of({2, 0})}, tf::argmax(t[0], 1)),
      CASE(V{x23}, tf::cumsum(t[0], 2)),
      CASE(V{x23}, tf::top_k(t[0], 4).values),
      CASE(V{scalar}, tf::random_shuffle(t[0])),
      CASE(V{x23}, tf::reverse(t[0], {2})),
      CASE(V{x23}, tf::ensure_shape(t[0], {-1, 4})),
  };
#undef CASE
  for (const Case& c : cases) {
    INFO(c.name);
    const Thrown eager = thrown_by([&] {
      const tf::EagerMode mode;
      c.f(c.inputs);
    });
    CHECK(eager.code == "InvalidArgument");
    for (const bool rank : {true, false}) {
      const FreshGraph fresh;
      std::vector<Tensor> symbols;
      std::vector<tf::Feed> feeds;
      for (const Tensor& t : c.inputs) {
        symbols.push_back(tf::placeholder(t.dtype(), rank ? Shape::of_rank(t.rank()) : tf::unknown_shape));
        feeds.push_back({symbols.back(), t});
      }
      // A rank is enough for some.
      Tensor y;
      const Thrown built = thrown_by([&] { y = c.f(symbols); });
      for (const bool optimize : {false, true}) {
        const Thrown run = built.code.empty() ? thrown_by([&] {
          tf::Session(fresh.graph, {.optimize = optimize}).run(y, feeds);
        })
                                              : built;
        INFO((rank ? "rank known" : "nothing known") << ", optimize " << optimize << "\n  run:   " << run
                                                     << "\n  eager: " << eager);
        CHECK((run.code == eager.code && run.line == eager.line && run.hint == eager.hint));
        if (built.code.empty()) CHECK(run.message == eager.message);
      }
    }
  }
}

TEST_CASE("layers check what they are given when a run knows it") {
  const FreshGraph fresh;
  const tf::nn::Linear linear(3, 2);
  const tf::nn::BatchNorm2d norm(3);
  const tf::nn::LayerNorm layer_norm({3});
  const Tensor x = tf::placeholder(tf::float32);
  const Tensor y = linear(x), n = norm(x), l = layer_norm(x);
  const tf::Session session;
  session.run(tf::global_variables_initializer());
  const auto of = [](std::initializer_list<int64_t> extents) { return tf::tensor(1.f, Shape(std::vector(extents))); };
  CHECK_ERROR(session.run(y, {{x, of({2, 4})}}), InvalidArgument, "Dimensions must be equal, but are 4 and 3");
  CHECK_ERROR(session.run(n, {{x, of({2, 1, 4, 4})}}), InvalidArgument,
              "BatchNorm2d of 3 channels was given a tensor of shape (2, 1, 4, 4)");
  CHECK_ERROR(session.run(n, {{x, of({2, 3})}}), InvalidArgument, "was given a tensor of shape (2, 3)");
  CHECK_ERROR(session.run(l, {{x, of({3, 1})}}), InvalidArgument, "LayerNorm of (3,) was given a tensor of shape (3, 1)");
  CHECK(session.run(l, {{x, of({2, 3})}}).shape() == Shape{2, 3});
  const tf::Variable v(tf::constant({1.f, 2.f}));
  const tf::Session other;
  other.run(tf::global_variables_initializer());
  const Tensor p = tf::placeholder(tf::float32);
  CHECK_ERROR(other.run(v.assign_add(p), {{p, of({3})}}), InvalidArgument, "");
  CHECK_ERROR(other.run(v.assign(p), {{p, of({3})}}), InvalidArgument, "cannot be assigned to variable");
}

TEST_CASE("more elements than any memory has are ResourceExhausted, in both modes and however they show") {
  constexpr int64_t kWide = 1 << 20, kHuge = int64_t{1} << 32, kLong = int64_t{1} << 40;
  const auto long_of = [](int64_t n, const Tensor& like) { return tf::cast(tf::shape(like)[0], tf::int64) * (n / 2); };
  struct Case {
    std::string name;
    std::function<Tensor(Tensor)> f;
  };
#define CASE(expression) Case{#expression, [=]([[maybe_unused]] Tensor x) -> Tensor { return expression; }}
  const std::vector<Case> cases = {
      CASE(tf::eye(kHuge)),
      CASE(tf::eye(2, kLong)),
      CASE(tf::eye(long_of(kHuge, x))),
      CASE(tf::zeros({kHuge, kHuge})),
      CASE(tf::ones({kLong})),
      CASE(tf::full({kLong, kLong, kLong}, 1)),
      CASE(tf::ones({long_of(kLong, x), 2})),
      CASE(tf::ones({long_of(kHuge, x), long_of(kHuge, x)})),
      CASE(tf::broadcast_to(x, {kLong, 2, 3})),
      CASE(tf::broadcast_to(x, {kHuge, kHuge, 2, 3})),
      CASE(tf::broadcast_to(x, {long_of(kLong, x), 2, 3})),
      CASE(tf::tile(x, {kLong, kLong})),
      CASE(tf::tile(x, {int64_t{1} << 62, 1})),
      CASE(tf::tile(x, {long_of(kLong, x), long_of(kLong, x)})),
      CASE(tf::one_hot(tf::constant({1, 2}), kLong)),
      CASE(tf::pad(x, {{kLong, kLong}, {0, 0}})),
      CASE(tf::pad(x, {{0, 0}, {long_of(kLong, x), 0}})),
      CASE(tf::random_normal({kHuge, kHuge})),
      CASE(tf::random_uniform({kLong})),
      CASE(tf::random_uniform_int({kLong, 2}, 0, 2)),
      CASE(tf::truncated_normal({long_of(kLong, x)})),
      CASE(tf::stack({tf::broadcast_to(x, {kLong, 2, 3}), tf::broadcast_to(x, {kLong, 2, 3})})),
      CASE(tf::expand_dims(tf::ones({kWide}), 1) * tf::ones({kWide})),
      CASE(tf::conv2d_transpose(tf::reshape(x, {1, 1, 2, 3}), tf::ones({1, 1, 1, 1}), {.stride = INT32_MAX})),
  };
#undef CASE
  for (const Case& c : cases) {
    INFO(c.name);
    CHECK(thrown_by([&] { tf::eagerly([&] { return c.f(kPair); }); }).code == "ResourceExhausted");
    for (const Shape& known : {tf::unknown_shape, Shape{-1, 3}, Shape{2, 3}}) {
      const FreshGraph fresh;
      const Tensor x = tf::placeholder(tf::float32, known);
      Thrown t;
      Tensor y;
      t = thrown_by([&] { y = c.f(x); });
      for (const bool optimize : {false, true}) {
        if (y.defined())
          t = thrown_by([&] { tf::Session(fresh.graph, {.optimize = optimize}).run(y, {{x, kPair}}); });
        INFO(known << ", optimize " << optimize << ": " << t);
        CHECK(t.code == "ResourceExhausted");
      }
    }
  }
  const FreshGraph fresh;
  const auto refused = [](const std::function<void()>& f) { return thrown_by(f).code; };
  CHECK(refused([] { tf::placeholder(tf::float32, {kLong, kLong}); }) == "ResourceExhausted");
  CHECK(refused([] { tf::pad(kPair, {{INT64_MAX, INT64_MAX}, {0, 0}}); }) == "InvalidArgument");
  CHECK(refused([] { tf::tensor(1.f, {kHuge, kHuge}); }) == "ResourceExhausted");
  CHECK(refused([] { tf::reshape(kPair, {kHuge, kHuge}); }) == "ResourceExhausted");
  // Extents whose product overflows, beside one of 0, are no elements at all.
  CHECK(tf::tensor(1.f, {0}).num_elements() == 0);
  CHECK(tf::eagerly([] { return tf::zeros({kLong, 0, kLong}); }).num_elements() == 0);
  CHECK(tf::eagerly([] { return tf::sum(tf::zeros({kLong, 0, kLong}), {0, 1, 2}); }).item<float>() == 0);
}
