// Array functions made of other ops, in both modes.
#include <twofold/twofold.h>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::Shape;
using tf::Tensor;
using List = std::vector<double>;

TEST_CASE("stack and unstack are each other's inverse") {
  const auto all = in_both_modes([] {
    const Tensor a = tf::constant({1, 2, 3}), b = tf::constant({4, 5, 6});
    const auto rows = tf::unstack(tf::stack({a, b}, 0)), columns = tf::unstack(tf::stack({a, b}, -1), 1);
    return std::vector{tf::stack({a, b}), tf::stack({a, b}, 1), rows[1], columns[0], tf::stack({1, 2.5f})};
  });
  CHECK((all[0].shape() == Shape{2, 3} && doubles(all[0]) == List{1, 2, 3, 4, 5, 6}));
  CHECK((all[1].shape() == Shape{3, 2} && doubles(all[1]) == List{1, 4, 2, 5, 3, 6}));
  CHECK(doubles(all[2]) == List{4, 5, 6});
  CHECK(doubles(all[3]) == List{1, 2, 3});
  CHECK((all[4].dtype() == tf::float32 && doubles(all[4]) == List{1, 2.5}));
  CHECK_ERROR(tf::stack({tf::tensor({1}), tf::tensor({1, 2})}), InvalidArgument,
              "stack() needs equal shapes, but number 0 has (1,) and number 1 has (2,)");
  FreshGraph fresh;
  CHECK_ERROR(tf::unstack(tf::placeholder(tf::float32, {-1, 2})), InvalidArgument,
              "needs to know the extent of axis 0");
}

TEST_CASE("split cuts into equal parts or parts of given sizes, and is differentiable") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{1.f, 2.f, 3.f, 4.f}, {5.f, 6.f, 7.f, 8.f}});
    tf::GradientTape tape;
    tape.watch(x);
    const auto halves = tf::split(x, 2, 1), parts = tf::split(x, {1, -1}, -1);
    const Tensor y = tf::sum(halves[1] * 2.f) + tf::sum(parts[0] * parts[0]);
    return std::vector{halves[0], halves[1], parts[0], parts[1], tape.gradient(y, x)};
  });
  CHECK(doubles(all[0]) == List{1, 2, 5, 6});
  CHECK(doubles(all[1]) == List{3, 4, 7, 8});
  CHECK(doubles(all[2]) == List{1, 5});
  CHECK(doubles(all[3]) == List{2, 3, 4, 6, 7, 8});
  CHECK(doubles(all[4]) == List{2, 0, 2, 2, 10, 0, 2, 2});
  const Tensor x = tf::tensor({1, 2, 3});
  CHECK_ERROR(tf::split(x, 2), InvalidArgument, "split() of an axis of extent 3 into 2 equal parts");
  CHECK_ERROR(tf::split(x, {1, 1}), InvalidArgument, "split() of an axis of extent 3 into [1, 1]");
  CHECK_ERROR(tf::split(x, {4, -1}), InvalidArgument, "split() of an axis of extent 3 into [4, -1]");
  CHECK_ERROR(tf::split(x, 1, 1), InvalidArgument, "split() along axis 1 of a tensor of rank 1");
}

TEST_CASE("flatten merges axes, known or not") {
  FreshGraph fresh;
  const Tensor value = tf::tensor(std::vector<float>(24, 1.f), {2, 3, 4});
  CHECK(tf::flatten(value).shape() == Shape{24});
  CHECK(tf::flatten(value, 1).shape() == Shape{2, 12});
  CHECK(tf::flatten(value, 0, -2).shape() == Shape{6, 4});
  CHECK(tf::flatten(tf::tensor(3)).shape() == Shape{1});
  const Tensor batch = tf::placeholder(tf::float32, {-1, 3, 4}), vague = tf::placeholder(tf::float32, {-1, -1, -1});
  CHECK(tf::flatten(batch, 1).shape() == Shape{-1, 12});
  const tf::Session session;
  CHECK(session.run(tf::flatten(batch, 1), {{batch, value}}).shape() == Shape{2, 12});
  CHECK(session.run(tf::flatten(vague, 1), {{vague, value}}).shape() == Shape{2, 12});
  CHECK(session.run(tf::flatten(vague, 0, 1), {{vague, value}}).shape() == Shape{6, 4});
  CHECK_ERROR(tf::flatten(value, 2, 1), InvalidArgument, "flatten() of axes 2..1 of a tensor of rank 3");
}

TEST_CASE("tile repeats") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{1, 2}, {3, 4}});
    return std::vector{tf::tile(x, {2, 1}), tf::tile(x, {1, 3}), tf::tile(x, {2, 0})};
  });
  CHECK(doubles(all[0]) == List{1, 2, 3, 4, 1, 2, 3, 4});
  CHECK(doubles(all[1]) == List{1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4});
  CHECK(all[2].shape() == Shape{4, 0});
  CHECK_ERROR(tf::tile(tf::tensor({1}), {1, 2}), InvalidArgument, "tile() of a tensor of shape (1,) was given 2 multiples");
  CHECK_ERROR(tf::tile(tf::tensor({1}), {-2}), InvalidArgument, "tile() -2 times along axis 0");
}

TEST_CASE("one_hot, range, eye and rank") {
  const auto all = in_both_modes([] {
    return std::vector{tf::one_hot(tf::constant({2, 0, 7}), 3),
                       tf::one_hot(tf::constant({{1}}), 2, {.on = 5, .off = -1, .dtype = tf::int32}),
                       tf::range(4),
                       tf::range(5, 0, -2),
                       tf::range(0, 1, 0.25),
                       tf::range(3, {.dtype = tf::float64}),
                       tf::eye(2, 3),
                       tf::range(2, 2)};
  });
  CHECK((all[0].dtype() == tf::float32 && doubles(all[0]) == List{0, 0, 1, 1, 0, 0, 0, 0, 0}));
  CHECK((all[1].shape() == Shape{1, 1, 2} && all[1].dtype() == tf::int32 && doubles(all[1]) == List{-1, 5}));
  CHECK((all[2].dtype() == tf::int32 && doubles(all[2]) == List{0, 1, 2, 3}));
  CHECK(doubles(all[3]) == List{5, 3, 1});
  CHECK((all[4].dtype() == tf::float32 && doubles(all[4]) == List{0, 0.25, 0.5, 0.75}));
  CHECK(all[5].dtype() == tf::float64);
  CHECK((all[6].shape() == Shape{2, 3} && doubles(all[6]) == List{1, 0, 0, 0, 1, 0}));
  CHECK(all[7].shape() == Shape{0});
  CHECK(tf::rank(tf::tensor({{1}})) == 2);
  CHECK_ERROR(tf::range(0, 1, 0), InvalidArgument, "range() with steps of 0");
  CHECK_ERROR(tf::one_hot(tf::tensor({1.f}), 2), InvalidArgument, "one_hot() takes int32 or int64, not float32");
  FreshGraph fresh;
  CHECK(tf::range(3).name() == "range:0");
  CHECK_ERROR(tf::rank(tf::placeholder(tf::float32)), InvalidArgument, "is unknown");
}
