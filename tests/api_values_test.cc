// The handles of the API: Tensor, values among symbols, shapes, truth and equality.
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Shape;

// ---- Tensor ----

TEST_CASE("A Tensor is one 16-byte handle, symbolic or concrete") {
  FreshGraph fresh;
  const tf::Tensor none, value = tf::tensor(1.f), symbol = tf::constant(1.f);
  CHECK(sizeof(tf::Tensor) == 16);
  CHECK((!none.defined() && !none.is_symbolic() && !none.is_concrete()));
  CHECK((value.defined() && !value.is_symbolic() && value.is_concrete()));
  CHECK((symbol.defined() && symbol.is_symbolic() && !symbol.is_concrete()));
  CHECK(printed(none) == "None");
}

TEST_CASE("A symbol keeps its graph alive") {
  tf::Tensor y;
  {
    FreshGraph fresh;
    y = tf::constant(2.f) * tf::constant(3.f);
  }
  CHECK(y.name() == "mul:0");
  const tf::Tensor z = y + 1.f;  // goes to the graph of its operand
  CHECK(z.name() == "add:0");
  CHECK(z.op().type() == "Add");
}

TEST_CASE("An op goes to its operand's graph, whatever scope the current graph is in") {
  FreshGraph fresh;
  const tf::Tensor y = tf::constant(2.f);
  const tf::Graph other;
  const auto current = other.as_default();
  const auto outer = tf::name_scope("outer");
  const auto inner = tf::name_scope("inner");
  const tf::Tensor z = y + 1.f;
  CHECK(z.name() == "add:0");
  CHECK(z.op().type() == "Add");
  CHECK(other.num_operations() == 0);
  CHECK(tf::constant(1.f).name() == "outer/inner/Const:0");
  CHECK(tf::Session(fresh.graph).run(z).item<float>() == 3);
}

TEST_CASE("dtype, shape, dim, name, id and defined answer for both kinds") {
  FreshGraph fresh;
  const tf::Tensor value = tf::tensor({{1, 2, 3}, {4, 5, 6}});
  const tf::Tensor symbol = tf::placeholder(tf::float64, {-1, 3}, {.name = "x"});
  CHECK(value.dtype() == tf::int32);
  CHECK(symbol.dtype() == tf::float64);
  CHECK(value.shape() == Shape{2, 3});
  CHECK(symbol.shape() == Shape{-1, 3});
  CHECK(value.rank() == 2);
  CHECK((value.dim(0) == 2 && value.dim(1) == 3 && value.dim(-1) == 3 && value.dim(-2) == 2));
  CHECK(symbol.dim(-1) == 3);
  CHECK(value.name().empty());
  CHECK(symbol.name() == "x:0");
  const tf::Tensor copy = value, symbol_copy = symbol;
  CHECK((copy.id() == value.id() && symbol_copy.id() == symbol.id()));
  CHECK((value.id() != symbol.id() && tf::tensor(1).id() != value.id()));
  CHECK_ERROR(value.dim(2), OutOfRange, "dim(2) of a tensor of shape (2, 3)");
  CHECK_ERROR(value.dim(-3), OutOfRange, "dim(-3)");
}

TEST_CASE("item is lossless only") {
  CHECK(tf::tensor(3).item<float>() == 3.f);
  CHECK(tf::tensor(3.f).item<int32_t>() == 3);
  CHECK(tf::tensor(0.1f).item<double>() == static_cast<double>(0.1f));
  CHECK(tf::tensor(1).item<bool>());
  CHECK(tf::tensor(true).item<float>() == 1.f);
  CHECK(tf::tensor({{7}}).item<int64_t>() == 7);
  CHECK(std::isnan(tf::tensor(std::numeric_limits<float>::quiet_NaN()).item<double>()));
  CHECK_ERROR(tf::tensor(0.5f).item<int32_t>(), InvalidArgument,
              "item<int32>() would lose: the value is 0.5 of dtype float32");
  CHECK_ERROR(tf::tensor(-1).item<uint8_t>(), InvalidArgument, "would lose");
  CHECK_ERROR(tf::tensor(16777217).item<float>(), InvalidArgument, "would lose");
  CHECK_ERROR(tf::tensor(2).item<bool>(), InvalidArgument, "would lose");
  CHECK_ERROR(tf::tensor(1e300, {.dtype = tf::float64}).item<float>(), InvalidArgument, "would lose");
  CHECK_ERROR(tf::tensor(int64_t{1} << 40).item<int32_t>(), InvalidArgument, "Try: tf::cast(t, tf::int32)");
  CHECK_ERROR(tf::tensor({1, 2}).item<int32_t>(), InvalidArgument,
              "item() needs exactly one element; the shape is (2,)");
}

TEST_CASE("data is a span of the dtype's own type") {
  const tf::Tensor t = tf::tensor({{1.f, 2.f}, {3.f, 4.f}});
  const std::span<const float> data = t.data<float>();
  CHECK(std::vector<float>(data.begin(), data.end()) == std::vector<float>{1, 2, 3, 4});
  CHECK(t.num_elements() == 4);
  CHECK(tf::tensor(1.f).num_elements() == 1);
  CHECK_ERROR(t.data<double>(), InvalidArgument, "data<float64>() of a tensor of dtype float32");
}

TEST_CASE("Iterating goes over slices of the first axis") {
  int32_t sum = 0;
  int rows = 0;
  for (const tf::Tensor row : tf::tensor({{1, 2}, {3, 4}, {5, 6}})) {
    CHECK(row.shape() == Shape{2});
    for (const tf::Tensor element : row) sum += element.item<int32_t>();
    ++rows;
  }
  CHECK((rows == 3 && sum == 21));
  CHECK_ERROR(tf::tensor(1).end(), InvalidArgument, "A scalar has no axis to iterate over");
}

TEST_CASE("A symbol asked for elements throws and says what to write instead") {
  FreshGraph fresh;
  const tf::Tensor symbol = tf::constant(1.f, {.name = "c"});
  for (const auto& ask :
       std::vector<std::function<void()>>{[&] { (void)symbol.item<float>(); }, [&] { (void)symbol.data<float>(); },
                                          [&] { (void)symbol.num_elements(); }, [&] { (void)symbol.end(); }}) {
    CHECK_ERROR((ask(), 0), FailedPrecondition, "Tensor(\"c:0\", shape=(), dtype=float32) is a symbol");
    CHECK_ERROR((ask(), 0), FailedPrecondition, "Try: session.run(t), or compute in tf::EagerMode");
  }
}

TEST_CASE("Reshape, outer slices and what they are made of share storage") {
  std::vector<float> numbers(6 * 50);
  const tf::Tensor t = tf::tensor(numbers, {6, 50});
  const float* at = t.data<float>().data();
  CHECK(tf::reshape(t, {50, 6}).data<float>().data() == at);
  CHECK(tf::reshape(t, {-1}).data<float>().data() == at);
  CHECK(tf::expand_dims(t, 0).data<float>().data() == at);
  CHECK(tf::squeeze(tf::expand_dims(t, 1)).data<float>().data() == at);
  CHECK(tf::identity(t).data<float>().data() == at);
  CHECK(t[0].data<float>().data() == at);
  CHECK(t[4].data<float>().data() == at + 200);
  CHECK(t[-1].data<float>().data() == at + 250);
  CHECK(t[2][3].data<float>().data() == at + 103);
  CHECK(tf::reshape(t[3], {5, 10})[1].data<float>().data() == at + 160);
}

TEST_CASE("A slice keeps the storage it lies in alive") {
  tf::Tensor row;
  {
    std::vector<int32_t> numbers(1000);
    for (int32_t i = 0; i < 1000; ++i) numbers[static_cast<size_t>(i)] = i;
    row = tf::tensor(numbers, {10, 100})[7];
  }
  CHECK((row[0].item<int32_t>() == 700 && row[-1].item<int32_t>() == 799));
}

// ---- Values stay values ----

TEST_CASE("An op whose operands are all concrete computes at once, in every mode") {
  FreshGraph fresh;
  const tf::Tensor a = tf::tensor(2.f);
  CHECK((a * 0.5f).item<float>() == 1);
  CHECK(tf::matmul(tf::tensor({{1.f, 2.f}}), tf::tensor({{3.f}, {4.f}})).item<float>() == 11);
  CHECK(fresh.graph.num_operations() == 0);
  CHECK(tf::eagerly([&] { return a + a; }).item<float>() == 4);
  CHECK(tf::Session().graph() == fresh.graph);
}

TEST_CASE("What a session returns is a number to compute with") {
  FreshGraph fresh;
  const tf::Tensor loss = tf::constant(4.f) + 2.f;
  tf::Session session;
  const tf::Tensor half = session.run(loss) * 0.5f;
  CHECK(half.is_concrete());
  CHECK(half.item<float>() == 3);
}

TEST_CASE("An op with a symbolic operand adds a node") {
  FreshGraph fresh;
  const tf::Tensor symbol = tf::constant(2.f), value = tf::tensor(3.f);
  for (const tf::Tensor& t : {symbol + value, value + symbol, symbol * 2, 2 * symbol, -symbol}) CHECK(t.is_symbolic());
  CHECK(tf::Session().run(value * symbol).item<float>() == 6);
}

TEST_CASE("A constant can be made from a value, which it copies") {
  FreshGraph fresh;
  const auto check = [](const tf::Tensor& value) {
    const tf::Tensor c = tf::constant(value), again = tf::tensor(value);
    CHECK((c.dtype() == value.dtype() && c.shape() == value.shape()));
    CHECK((again.is_concrete() && !again.same_as(value) && printed(again) == printed(value)));
    CHECK(printed(tf::Session().run(c)) == printed(value));
  };
  for (const tf::Tensor& value :
       {tf::tensor(2.5), tf::tensor({true, false}), tf::tensor({{1, 2}, {3, 4}}), tf::tensor({1.f}, {0, 3})})
    check(value);
  CHECK(tf::constant(tf::tensor({1, 2}), {.name = "c"}).name() == "c:0");
  CHECK(tf::tensor(tf::tensor({1, 2, 3, 4}), {2, 2})[1][0].item<int>() == 3);
  CHECK(tf::tensor(tf::tensor(7), {2, 2})[1][0].item<int>() == 7);
  CHECK(tf::eagerly([] { return tf::constant(tf::tensor(7)); }).item<int>() == 7);
  CHECK_ERROR(tf::constant(tf::constant(1)), InvalidArgument, "A constant is made from a value, and Tensor(");
  CHECK_ERROR(tf::tensor(tf::Tensor()), InvalidArgument, "A constant is made from a value, and None is none");
  CHECK_ERROR(tf::tensor(tf::tensor(7), {.dtype = tf::float32}), InvalidArgument,
              "Elements of dtype int32 were given where float32 is wanted");
}

TEST_CASE("constant is a source, tensor is always concrete, and both take a shape") {
  FreshGraph fresh;
  CHECK(tf::constant(1).is_symbolic());
  CHECK(tf::tensor(1).is_concrete());
  CHECK((tf::zeros({2}).is_symbolic() && tf::ones({2}).is_symbolic() && tf::full({2}, 7).is_symbolic()));
  CHECK((tf::random_normal({2}).is_symbolic() && tf::random_uniform({2}).is_symbolic()));
  {
    tf::EagerMode eager;
    CHECK((tf::constant(1).is_concrete() && tf::tensor(1).is_concrete() && tf::zeros({2}).is_concrete()));
    CHECK((tf::random_normal({2}).is_concrete() && tf::random_uniform({2}).is_concrete()));
    CHECK(tf::constant({1, 2, 3, 4}, {2, 2}).shape() == Shape{2, 2});
  }
  std::vector<float> v(37 * 19, 1.f);
  CHECK(tf::tensor(v, {37, 19}).shape() == Shape{37, 19});
  CHECK(tf::constant(v, {37, 19}).shape() == Shape{37, 19});
  CHECK(tf::tensor(v, {-1, 19}).shape() == Shape{37, 19});
  CHECK(elements<int32_t>(tf::tensor(7, {3})) == std::vector<int32_t>{7, 7, 7});
  CHECK_ERROR(tf::tensor(v, {37, 20}), InvalidArgument, "703 elements cannot take the shape (37, 20)");
}

TEST_CASE("What is filled with one number has a shape in full") {
  tf::EagerMode eager;
  CHECK_ERROR(tf::zeros({-1}), InvalidArgument, "The shape of zeros must be fully known, but is (?,)");
  CHECK_ERROR(tf::ones({2, -1}), InvalidArgument, "The shape of ones must be fully known, but is (2, ?)");
  CHECK_ERROR(tf::full(tf::unknown_shape, 3), InvalidArgument,
              "The shape of full must be fully known, but is <unknown>");
  CHECK_ERROR(tf::full({2}, {1, 2}), InvalidArgument, "full is filled with one number");
  CHECK(printed(tf::full({2}, 1.5)) == "[1.5 1.5]");
}

// ---- Shape ----

TEST_CASE("Shapes are {2, -1} in programs and (2, ?) in print") {
  CHECK(printed(Shape{2, -1}) == "(2, ?)");
  CHECK(printed(Shape{}) == "()");
  CHECK(printed(Shape{3}) == "(3,)");
  CHECK(printed(Shape{-1}) == "(?,)");
  CHECK(printed(tf::unknown_shape) == "<unknown>");
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.num_elements() == 1);
  CHECK(tf::unknown_shape.rank() == -1);
  CHECK_FALSE(Shape({2, -1}).known_elements());
}

TEST_CASE("unknown_shape is placeholder's default") {
  FreshGraph fresh;
  CHECK(tf::placeholder(tf::float32).shape() == tf::unknown_shape);
}

TEST_CASE("Extents are taken from any integral type") {
  const std::vector<int> v(3);
  const unsigned char small = 4;
  const long long wide = 5;
  CHECK(Shape{v.size(), small, wide} == Shape{3, 4, 5});
  CHECK(tf::reshape(tf::tensor({1, 2, 3}), {v.size(), 1u}).shape() == Shape{3, 1});
  CHECK_ERROR(Shape({2, -2}), InvalidArgument, "A shape has the extent -2");
  CHECK_ERROR(Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}), InvalidArgument, "at most 8 axes are supported");
  const std::vector<int> empty;
  CHECK_ERROR(Shape({empty.size() - 1}), InvalidArgument, "A shape has an extent beyond int64");
  CHECK_ERROR(Shape(std::vector<size_t>{empty.size() - 1}), InvalidArgument, "A shape has an extent beyond int64");
}

// ---- Truth and equality ----

TEST_CASE("explicit operator bool gives a concrete scalar's truth") {
  CHECK((static_cast<bool>(tf::tensor(true)) && static_cast<bool>(tf::tensor(2)) &&
         static_cast<bool>(tf::tensor({0.5f}))));
  CHECK((!tf::tensor(false) && !tf::tensor(0) && !tf::tensor(-0.f)));
  CHECK(static_cast<bool>(tf::tensor(1.f) < 2.f));
  CHECK_ERROR(static_cast<bool>(tf::tensor({1, 2})), InvalidArgument,
              "The truth of a tensor of shape (2,) is ambiguous");
  CHECK_ERROR(static_cast<bool>(tf::Tensor()), InvalidArgument, "None");
}

TEST_CASE("The truth of a symbol throws and names cond") {
  FreshGraph fresh;
  CHECK_ERROR(
      static_cast<bool>(tf::constant(true)), FailedPrecondition,
      "Using a symbolic `tf::Tensor` as a `bool` is not allowed: it has no value before a session runs. Use "
      "`if (t.defined())` to test if a tensor is defined, and ops such as tf::cond to execute subgraphs conditioned on "
      "the value of a tensor.");
}

TEST_CASE("equal is an op, same_as is identity, and < <= > >= are ops") {
  const tf::Tensor a = tf::tensor({1, 2, 3}), b = tf::tensor({1, 0, 3}), c = a;
  CHECK(printed(tf::equal(a, b)) == "[ True False  True]");
  CHECK(printed(tf::not_equal(a, b)) == "[False  True False]");
  CHECK((a.same_as(c) && !a.same_as(b) && !a.same_as(tf::tensor({1, 2, 3}))));
  CHECK(printed(a < 2) == "[ True False False]");
  CHECK(printed(a <= 2) == "[ True  True False]");
  CHECK(printed(a > 2) == "[False False  True]");
  CHECK(printed(a >= b) == "[ True  True  True]");
  FreshGraph fresh;
  const tf::Tensor x = tf::placeholder(tf::float32), again = x, less = x < 1.f;
  CHECK((x.same_as(again) && !x.same_as(less)));
  CHECK((less.dtype() == tf::bool_ && less.op().type() == "Less"));
}
