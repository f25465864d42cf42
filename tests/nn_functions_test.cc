// Functions that layers are made of: dropout, layer_norm, embedding, bias_add, batch_norm_inference,
// running_statistics.
#include <twofold/twofold.h>

#include <algorithm>
#include <cmath>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Shape;
using tf::Tensor;
using List = std::vector<double>;

TEST_CASE("dropout keeps the mean, drops at its rate, and its gradient uses the same mask") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::ones({100, 101}) * 2.f;
    tf::GradientTape tape;
    tape.watch(x);
    const Tensor y = tf::dropout(x, 0.25);
    return std::vector{y, tape.gradient(y, x)};
  });
  const List y = doubles(all[0]), dy = doubles(all[1]);
  double dropped = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    dropped += y[i] == 0;
    REQUIRE((y[i] == 0 || std::abs(y[i] - 2 / 0.75) < 1e-6));
    REQUIRE(std::abs(dy[i] - y[i] / 2) < 1e-6);
  }
  CHECK(std::abs(dropped / static_cast<double>(y.size()) - 0.25) < 0.02);
}

TEST_CASE("dropout of a batch that is fed draws in the shape it has, anew at every run") {
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32, {-1, 64});
  const Tensor y = tf::dropout(x, 0.5, {.seed = 3});
  CHECK(y.shape() == Shape{-1, 64});
  for (const bool optimize : {false, true}) {
    const tf::Session session({.optimize = optimize});
    const Tensor value = tf::tensor(std::vector<float>(128, 1.f), {2, 64});
    const Tensor first = session.run(y, {{x, value}}), second = session.run(y, {{x, value}});
    CHECK(first.shape() == Shape{2, 64});
    CHECK_FALSE(testing::same_bits(first, second));
    CHECK(session.run(y, {{x, tf::tensor(std::vector<float>(64, 1.f), {1, 64})}}).shape() == Shape{1, 64});
    const tf::Session again({.optimize = optimize});
    CHECK(testing::same_bits(again.run(y, {{x, value}}), first));
  }
}

TEST_CASE("dropout at rate 0 is x; what is dropped is 0 whatever it was") {
  tf::EagerMode eager;
  const Tensor x = tf::tensor({1.f, -2.f});
  CHECK(doubles(tf::dropout(x, 0)) == List{1, -2});
  const Tensor bad = tf::full({1000}, NAN);
  const List y = doubles(tf::dropout(bad, 0.5));
  CHECK(std::ranges::count(y, 0.0) > 400);
  CHECK_ERROR(tf::dropout(x, 1), InvalidArgument, "dropout() at a rate of 1, not in [0, 1)");
  CHECK_ERROR(tf::dropout(x, NAN), InvalidArgument, "not in [0, 1)");
  CHECK_ERROR(tf::dropout(tf::tensor({1}), 0.5), InvalidArgument, "dropout() takes floating-point numbers, not int32");
}

TEST_CASE("Random numbers take their shape from a tensor, in the run if need be") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});
    return std::vector{tf::random_uniform(tf::shape(x), {.low = 2, .high = 3}),
                       tf::random_normal(tf::shape(x), {.dtype = tf::float64}), tf::random_normal_like(x),
                       tf::random_uniform_like(x, {.dtype = tf::float64}),
                       tf::random_uniform(tf::tensor({2, 2}))};  // a value, and a source all the same
  });
  for (size_t i = 0; i < 4; ++i) CHECK(all[i].shape() == Shape{2, 3});
  CHECK(all[4].shape() == Shape{2, 2});
  CHECK(all[3].dtype() == tf::float64);
  FreshGraph fresh;
  const Tensor x = tf::placeholder(tf::float32), extents = tf::placeholder(tf::int32, {2});
  const Tensor like = tf::random_normal_like(x, {.seed = 1}), drawn = tf::random_normal(extents, {.seed = 1});
  CHECK_FALSE(like.shape().has_rank());
  CHECK(drawn.shape() == Shape{-1, -1});
  const tf::Session session;
  const Tensor value = tf::tensor({{1.f, 2.f}, {3.f, 4.f}});
  const Tensor a = session.run(like, {{x, value}});
  const Tensor b = tf::Session().run(drawn, {{extents, {2, 2}}});
  CHECK(testing::same_bits(a, b));
  CHECK_ERROR(session.run(drawn, {{extents, {2, -1}}}), InvalidArgument, "must be fully known");
  CHECK_ERROR(tf::random_normal(tf::placeholder(tf::float32, {2})), InvalidArgument, "A shape must be int32 or int64");
  CHECK_ERROR(tf::random_normal(tf::tensor({{1, 2}})), InvalidArgument, "A shape must be a vector");
  CHECK_ERROR(tf::random_uniform_like(tf::tensor({1, 2})), InvalidArgument, "Random numbers of int32");
}

TEST_CASE("running_statistics has the bits of its formula in ops, and gradients stop there") {
  for (const tf::DType t : {tf::float32, tf::float64})
    for (const Shape& shape : {Shape{5, 300, 3}, Shape{1, 300, 1}}) {
      const auto all = in_both_modes([&] {
        const auto draw = [&](Shape s) { return tf::random_uniform(s, {.low = -1, .high = 2, .dtype = t}); };
        const Tensor x = draw(shape), mean = draw({300}), var = draw({300}), m = draw({300}), v = draw({300});
        const double n = static_cast<double>(shape[0] * shape[2]), momentum = 0.1;
        const Tensor unbiased = tf::full({}, n / std::max(n - 1, 1.), {.dtype = t});
        tf::GradientTape tape;
        tape.watch(mean);
        const auto next = tf::running_statistics(mean, var, m, v, x, {.momentum = momentum});
        const Tensor y = tf::sum(next.mean) + tf::sum(mean);
        return std::vector{next.mean, mean * (1 - momentum) + m * momentum, next.variance,
                           var * (1 - momentum) + v * unbiased * momentum, tape.gradient(y, mean)};
      });
      CHECK(testing::same_bits(all[0], all[1]));
      CHECK(testing::same_bits(all[2], all[3]));
      CHECK(doubles(all[4]) == List(300, 1));
    }
}

TEST_CASE("running_statistics refuses what does not fit") {
  const Tensor x = tf::ones({2, 3, 4}), three = tf::tensor({1.f, 2.f, 3.f}), four = tf::tensor({1.f, 2.f, 3.f, 4.f});
  const auto of = [&](const Tensor& mean, const Tensor& v, const Tensor& like, tf::RunningStatisticsOptions o = {}) {
    return tf::running_statistics(mean, three, three, v, like, o);
  };
  CHECK_ERROR(of(three, four, x), InvalidArgument, "Dimensions must be equal, but are 3 and 4");
  CHECK_ERROR(of(three, three, x, {.axis = 2}), InvalidArgument, "Dimensions must be equal, but are 4 and 3");
  CHECK_ERROR(of(three, x, x), InvalidArgument, "Shape must be rank 1 but is rank 3");
  CHECK_ERROR(of(three, three, three), InvalidArgument, "Shape must be at least rank 2 but is rank 1");
  CHECK_ERROR(of(three, three, tf::ones({0, 3})), InvalidArgument, "Channels without elements have no mean");
  CHECK_ERROR(of(three, tf::cast(three, tf::float64), x), InvalidArgument, "Operands must have one dtype");
  CHECK_ERROR(of(tf::tensor({1, 2, 3}), three, x), InvalidArgument, "of int32 is not supported");
  CHECK_ERROR(of(three, three, x, {.momentum = 1.5}), InvalidArgument, "momentum must lie in [0, 1], but is 1.5");
  CHECK_ERROR(of(three, three, x, {.momentum = std::nan("")}), InvalidArgument, "but is nan");
}

TEST_CASE("layer_norm, bias_add, batch_norm_inference and embedding refuse what does not fit") {
  const Tensor x = tf::tensor(std::vector<float>(24, 1.f), {2, 3, 4});
  const Tensor three = tf::tensor({1.f, 2.f, 3.f}), four = tf::tensor({1.f, 2.f, 3.f, 4.f});
  const tf::BiasAddOptions nchw{.data_format = tf::DataFormat::nchw};
  const Tensor first = tf::bias_add(x, three, nchw), last = tf::bias_add(x, four);
  CHECK(first.shape() == x.shape());
  CHECK(last.shape() == x.shape());
  CHECK_ERROR(tf::bias_add(x, three), InvalidArgument,
              "bias_add() of a tensor of shape (2, 3, 4) along axis -1 was given a bias of shape (3,); expected (4,)");
  CHECK_ERROR(tf::bias_add(four, four), InvalidArgument, "it takes rank 2 and above");
  CHECK_ERROR(tf::bias_add(x, x), InvalidArgument, "was given a bias of shape (2, 3, 4)");
  CHECK_ERROR(tf::layer_norm(x, three, four), InvalidArgument,
              "was given a scale of shape (3,), which does not broadcast to it");
  CHECK_ERROR(tf::layer_norm(x, 1.f, 0.f, 3), InvalidArgument, "Axis 3 is out of range");
  CHECK_ERROR(tf::layer_norm(tf::tensor({1}), 1, 0), InvalidArgument, "floating");
  CHECK_ERROR(tf::batch_norm_inference(x, three, three, four, three), InvalidArgument,
              "was given a scale of shape (4,); expected (3,)");
  CHECK_ERROR(tf::batch_norm_inference(x, three, three, three, three, {.axis = 3}), InvalidArgument, "along axis 3");
  CHECK_ERROR(tf::batch_norm_inference(tf::tensor({{1}}), 0, 1, 1, 1), InvalidArgument, "not int32");
  CHECK_ERROR(tf::embedding(x, tf::tensor({1})), InvalidArgument, "embedding() takes a table (rows, columns)");
  CHECK_ERROR(tf::embedding(tf::tensor({{1.f}}), tf::tensor({1})), OutOfRange, "was given the index 1");
  FreshGraph fresh;
  const Tensor vague = tf::placeholder(tf::float32);
  const Tensor y = tf::bias_add(vague, three, {.data_format = tf::DataFormat::nchw});
  const tf::Session session;
  CHECK(doubles(session.run(y, {{vague, tf::tensor({{1.f, 1.f, 1.f}})}})) == List{2, 3, 4});
  CHECK_ERROR(session.run(y, {{vague, four}}), InvalidArgument, "");
}
