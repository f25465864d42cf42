// Strided slices, reversal, padding, running sums, top_k, products and sizes, in both modes.
#include <twofold/twofold.h>

#include <cmath>
#include <limits>

#include "both_modes.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using testing::doubles;
using testing::in_both_modes;
using tf::omitted;
using tf::Shape;
using tf::Tensor;
using List = std::vector<double>;

TEST_CASE("strided_slice is NumPy's a[begin:end:stride]") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({0, 1, 2, 3, 4});
    const Tensor m = tf::constant({{0, 1, 2}, {3, 4, 5}});
    return std::vector{tf::strided_slice(x, {1}, {-1}),
                       tf::strided_slice(x, {omitted}, {omitted}, {-1}),
                       tf::strided_slice(x, {-2}, {0}, {-2}),
                       tf::strided_slice(x, {-100}, {100}, {3}),
                       tf::strided_slice(x, {3}, {1}),
                       tf::strided_slice(m, {1}, {2}),
                       tf::strided_slice(m, {0, omitted}, {2, omitted}, {1, -2}),
                       tf::reverse(m, {0, 1})};
  });
  CHECK(doubles(all[0]) == List{1, 2, 3});
  CHECK(doubles(all[1]) == List{4, 3, 2, 1, 0});
  CHECK(doubles(all[2]) == List{3, 1});
  CHECK(doubles(all[3]) == List{0, 3});
  CHECK(all[4].shape() == Shape{0});
  CHECK((all[5].shape() == Shape{1, 3} && doubles(all[5]) == List{3, 4, 5}));
  CHECK((all[6].shape() == Shape{2, 2} && doubles(all[6]) == List{2, 0, 5, 3}));
  CHECK(doubles(all[7]) == List{5, 4, 3, 2, 1, 0});
}

TEST_CASE("Slices, reversals and paddings refuse what does not fit") {
  const Tensor x = tf::tensor({{1.f, 2.f}, {3.f, 4.f}});
  CHECK_ERROR(tf::strided_slice(x, {0}, {1}, {0}), InvalidArgument, "strides[0] must be non-zero");
  CHECK_ERROR(tf::strided_slice(x, {0, 0}, {1}), InvalidArgument, "Expected begin, end and strides of one length");
  CHECK_ERROR(tf::strided_slice(x, {0, 0, 0}, {1, 1, 1}), InvalidArgument, "Cannot slice 3 axes of a tensor of rank 2");
  CHECK_ERROR(tf::reverse(x, {1, -1}), InvalidArgument, "axis -1 specified more than once");
  CHECK_ERROR(tf::reverse(x, 2), InvalidArgument, "Axis 2 is out of range");
  using Paddings = std::vector<std::pair<int64_t, int64_t>>;
  const Paddings one{{1, 1}}, negative{{0, 0}, {-1, 0}}, wide{{0, 0}, {2, 0}}, fine{{1, 0}, {0, 0}};
  const tf::PadOptions reflect{.mode = tf::PadMode::reflect}, half{.value = 0.5}, big{.value = 256};
  CHECK_ERROR(tf::pad(x, one), InvalidArgument, "A tensor of rank 2 was given 1 paddings");
  CHECK_ERROR(tf::pad(x, one, reflect), InvalidArgument, "pad() of a tensor of rank 2 was given 1 paddings");
  CHECK_ERROR(tf::pad(x, negative), InvalidArgument, "Paddings must be non-negative: -1 0");
  CHECK_ERROR(tf::pad(x, wide, reflect), InvalidArgument, "which has 2 elements, by 2 and 0: a mirror shows 1 at most");
  CHECK_ERROR(tf::pad(tf::tensor({{1}}), fine, half), InvalidArgument, "int32 cannot be padded with 0.5");
  CHECK_ERROR(tf::pad(tf::cast(x, tf::uint8), fine, big), InvalidArgument, "uint8 cannot be padded with 256");
  FreshGraph fresh;
  const Tensor vague = tf::placeholder(tf::float32, {-1, 2});
  const Paddings long_mirror{{2, 0}, {0, 0}};
  const Tensor y = tf::pad(vague, long_mirror, reflect);
  const tf::Session session;
  const Tensor three = tf::tensor({{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
  CHECK(doubles(session.run(y, {{vague, three}})) == List{5, 6, 3, 4, 1, 2, 3, 4, 5, 6});
  CHECK_ERROR(session.run(y, {{vague, x}}), InvalidArgument, "which has 2 elements, by 2 and 0: a mirror shows 1 at most");
}

TEST_CASE("pad") {
  const auto all = in_both_modes([] {
    const Tensor x = tf::constant({{1, 2, 3}});
    return std::vector{tf::pad(x, {{1, 0}, {0, 1}}), tf::pad(x, {{0, 0}, {1, 1}}, {.value = -7}),
                       tf::pad(x, {{0, 0}, {2, 2}}, {.mode = tf::PadMode::reflect}),
                       tf::pad(x, {{0, 1}, {1, 3}}, {.mode = tf::PadMode::symmetric})};
  });
  CHECK((all[0].shape() == Shape{2, 4} && doubles(all[0]) == List{0, 0, 0, 0, 1, 2, 3, 0}));
  CHECK(doubles(all[1]) == List{-7, 1, 2, 3, -7});
  CHECK(doubles(all[2]) == List{3, 2, 1, 2, 3, 2, 1});
  CHECK(doubles(all[3]) == List{1, 1, 2, 3, 3, 2, 1, 1, 1, 2, 3, 3, 2, 1});
  FreshGraph fresh;
  const Tensor padded = tf::pad(tf::placeholder(tf::float32), {{1, 1}, {0, 0}});
  CHECK(padded.shape() == Shape{-1, -1});
}

TEST_CASE("prod has its gradients beside zeros, of every order") {
  const auto all = in_both_modes([] {
    std::vector<Tensor> results;
    for (const List& values : {List{2, 3, 4}, List{2, 0, 4}, List{0, 3, 0}, List{0, 0, 0}}) {
      const Tensor x = tf::constant(values);
      tf::GradientTape outer({.persistent = true});
      outer.watch(x);
      Tensor first;
      {
        tf::GradientTape tape;
        tape.watch(x);
        first = tape.gradient(tf::prod(x), x);
      }
      const Tensor second = outer.gradient(first * tf::tensor(List{1, 10, 100}), x);
      results.push_back(first);
      results.push_back(second);
    }
    return results;
  });
  CHECK(doubles(all[0]) == List{12, 8, 6});
  CHECK(doubles(all[1]) == List{40 + 300, 4 + 200, 3 + 20});
  CHECK(doubles(all[2]) == List{0, 8, 0});
  CHECK(doubles(all[3]) == List{40, 4 + 200, 20});
  CHECK(doubles(all[4]) == List{0, 0, 0});
  CHECK(doubles(all[5]) == List{300, 0, 3});
  CHECK(doubles(all[6]) == List{0, 0, 0});
  CHECK(doubles(all[7]) == List{0, 0, 0});
  CHECK_ERROR(tf::prod(tf::tensor({true})), InvalidArgument, "Expected a tensor of numbers, got bool");
}

TEST_CASE("cumsum, top_k and size") {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const auto all = in_both_modes([&] {
    const Tensor x = tf::constant({1, 2, 3});
    const auto best = tf::top_k(tf::constant(List{1, nan, inf, nan, -0.0, 0.0, 1}), 7);
    return std::vector{tf::cumsum(x),
                       tf::cumsum(x, 0, {.exclusive = true}),
                       tf::cumsum(x, 0, {.reverse = true}),
                       tf::cumsum(x, -1, {.exclusive = true, .reverse = true}),
                       best.values,
                       best.indices,
                       tf::size(tf::constant({{1, 2, 3}, {4, 5, 6}})),
                       tf::size(tf::constant(1))};
  });
  CHECK(doubles(all[0]) == List{1, 3, 6});
  CHECK(doubles(all[1]) == List{0, 1, 3});
  CHECK(doubles(all[2]) == List{6, 5, 3});
  CHECK(doubles(all[3]) == List{5, 3, 0});
  CHECK(doubles(all[5]) == List{1, 3, 2, 0, 6, 4, 5});
  CHECK(std::isnan(doubles(all[4])[1]));
  CHECK((all[6].dtype() == tf::int32 && doubles(all[6]) == List{6}));
  CHECK((all[7].shape() == Shape{} && doubles(all[7]) == List{1}));
  CHECK_ERROR(tf::cumsum(tf::tensor({1}), 1), InvalidArgument, "Axis 1 is out of range");
  CHECK_ERROR(tf::top_k(tf::tensor({1, 2}), 3).values, InvalidArgument, "last dimension >= k = 3 but is 2");
  CHECK_ERROR(tf::top_k(tf::tensor(1)).values, InvalidArgument, "at least rank 1");
  CHECK_ERROR(tf::top_k(tf::tensor({1}), -1).values, InvalidArgument, "Need k >= 0, got -1");
  FreshGraph fresh;
  const Tensor vague = tf::placeholder(tf::float32);
  const tf::Session session;
  CHECK(session.run(tf::size(vague), {{vague, {{1.f, 2.f}}}}).item<int32_t>() == 2);
}

TEST_CASE("einsum takes the notation of NumPy") {
  const auto all = in_both_modes([] {
    const Tensor m = tf::constant({{1.f, 2.f}, {3.f, 4.f}}), v = tf::constant({1.f, 10.f});
    const Tensor cube = tf::constant(std::vector<float>(12, 1.f), {3, 2, 2});
    return std::vector{tf::einsum("ij,j", {m, v}),
                       tf::einsum(" i j -> j i ", {m}),
                       tf::einsum("ba", {m}),
                       tf::einsum("ii", {m}),
                       tf::einsum("...j,j->...", {m, v}),
                       tf::einsum("...ij,...jk", {cube, m}),
                       tf::einsum("i...->...", {m}),
                       tf::einsum(",i->i", {2.f, v}),
                       tf::einsum("ij,ij->ij", {tf::constant({{1, 2}}), tf::constant({{2.5f, 1.f}})})};
  });
  CHECK(doubles(all[0]) == List{21, 43});
  CHECK(doubles(all[1]) == List{1, 3, 2, 4});
  CHECK(doubles(all[2]) == List{1, 3, 2, 4});
  CHECK((all[3].shape() == Shape{} && doubles(all[3]) == List{5}));
  CHECK(doubles(all[4]) == List{21, 43});
  CHECK((all[5].shape() == Shape{3, 2, 2} && doubles(all[5])[0] == 4));
  CHECK(doubles(all[6]) == List{4, 6});
  CHECK(doubles(all[7]) == List{2, 20});
  CHECK(doubles(all[8]) == List{2.5, 2});
  const Tensor m = tf::tensor({{1.f, 2.f, 3.f}});
  CHECK_ERROR(tf::einsum("ij,jk->ik", {m}), InvalidArgument, "it names 2 operands, but 1 came");
  CHECK_ERROR(tf::einsum("ij,jk->ik", {m, m}), InvalidArgument, "'j' has the extents 3 and 1");
  CHECK_ERROR(tf::einsum("i->i", {m}), InvalidArgument, "operand 0 has rank 2, but 1 axes are named");
  CHECK_ERROR(tf::einsum("ij->ik", {m}), InvalidArgument, "the result names 'k', which no operand has");
  CHECK_ERROR(tf::einsum("ij->ii", {m}), InvalidArgument, "the result names 'i' twice");
  CHECK_ERROR(tf::einsum("i1->i", {m}), InvalidArgument, "'1' is no letter");
  CHECK_ERROR(tf::einsum("...i->i", {m}), InvalidArgument, "the result must have \"...\" as the operands do");
  CHECK_ERROR(tf::einsum("ab,cd,ef,gh,ij->abcdefghij", {m, m, m, m, m}), Unimplemented, "more than 8 axes");
  FreshGraph fresh;
  CHECK_ERROR(tf::einsum("...i->...", {tf::placeholder(tf::float32)}), InvalidArgument, "needs the rank of operand 0");
  const Tensor x = tf::placeholder(tf::float32, {-1, -1, 4}), w = tf::placeholder(tf::float32, {4, 2, 3});
  CHECK(tf::einsum("btd,dhk->bthk", {x, w}).rank() == 4);
}
