// The literals of the API, and what they become.
#include <array>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.h"
#include "errors.h"
#include "fresh_graph.h"

namespace tf = twofold;
using tf::Shape;

TEST_CASE("Bare numbers are int32, int64 where it does not fit, float32 and bool") {
  CHECK(tf::tensor(1).dtype() == tf::int32);
  CHECK(tf::tensor(2147483647).dtype() == tf::int32);
  CHECK(tf::tensor(2147483648).dtype() == tf::int64);
  CHECK(tf::tensor(-2147483649).dtype() == tf::int64);
  CHECK(tf::tensor(1u).dtype() == tf::int32);
  CHECK(tf::tensor('a').dtype() == tf::int32);
  CHECK(tf::tensor(size_t{3}).dtype() == tf::int32);
  CHECK(tf::tensor(1.0).dtype() == tf::float32);
  CHECK(tf::tensor(1.f).dtype() == tf::float32);
  CHECK(tf::tensor(true).dtype() == tf::bool_);
  CHECK(tf::tensor({1, 2147483648}).dtype() == tf::int64);
  CHECK(tf::tensor({1, 2.5}).dtype() == tf::float32);
  CHECK(elements<float>(tf::tensor({1, 2.5})) == std::vector<float>{1, 2.5});
}

TEST_CASE("Typed containers keep their dtype") {
  CHECK(tf::tensor(std::vector<double>{1}).dtype() == tf::float64);
  CHECK(tf::tensor(std::vector<float>{1}).dtype() == tf::float32);
  CHECK(tf::tensor(std::vector<int64_t>{1}).dtype() == tf::int64);
  CHECK(tf::tensor(std::vector<int32_t>{1}).dtype() == tf::int32);
  CHECK(tf::tensor(std::vector<uint8_t>{1}).dtype() == tf::uint8);
  CHECK(tf::tensor(std::vector<bool>{true, false}).dtype() == tf::bool_);
  const std::array<double, 2> array{1, 2};
  CHECK(tf::tensor(array).dtype() == tf::float64);
  CHECK(tf::tensor(std::span<const double>(array)).dtype() == tf::float64);
  const int64_t c_array[] = {1, 2, 3};
  CHECK(tf::tensor(c_array).dtype() == tf::int64);
  CHECK(tf::tensor(std::list<double>{1, 2}).dtype() == tf::float64);
  CHECK(tf::tensor(std::vector<long long>{1}).dtype() == tf::int64);
  CHECK(tf::tensor(std::vector<long long>{}).dtype() == tf::int64);
  CHECK(tf::tensor(std::vector<std::vector<long long>>{{1}, {2}}).dtype() == tf::int64);
}

TEST_CASE("Containers of types without a dtype hold bare numbers; a text is no list of numbers") {
  CHECK(tf::tensor(std::vector<short>{1}).dtype() == tf::int32);
  CHECK(tf::tensor(std::vector<size_t>{1}).dtype() == tf::int32);
  CHECK(tf::tensor(std::vector<unsigned>{1, 3000000000u}).dtype() == tf::int64);
  CHECK_ERROR(tf::tensor(std::vector<size_t>{~size_t{0}}), InvalidArgument, "beyond int64");
  CHECK(!std::is_convertible_v<std::string, tf::Literal>);
  CHECK(!std::is_convertible_v<const char*, tf::Literal>);
  CHECK(!std::is_convertible_v<std::vector<std::string>, tf::Literal>);
}

TEST_CASE("{.dtype} overrides") {
  CHECK(tf::tensor(1, {.dtype = tf::uint8}).dtype() == tf::uint8);
  CHECK(tf::tensor({1, 2}, {.dtype = tf::float64}).dtype() == tf::float64);
  CHECK(tf::tensor(0.5, {.dtype = tf::float64}).item<double>() == 0.5);
  CHECK(tf::tensor(0.1, {.dtype = tf::float64}).item<double>() == 0.1);
  CHECK(tf::eagerly([] { return tf::constant(3, {.dtype = tf::int64}); }).dtype() == tf::int64);
  CHECK_ERROR(tf::tensor(300, {.dtype = tf::uint8}), InvalidArgument, "The literal 300 does not fit dtype uint8");
  CHECK_ERROR(tf::tensor(0.5, {.dtype = tf::int32}), InvalidArgument, "The literal 0.5 does not fit dtype int32");
}

TEST_CASE("One literal type takes any rank and any nesting") {
  CHECK(tf::tensor({{1, 2}, {3, 4}}).shape() == Shape{2, 2});
  CHECK(tf::tensor({{{1, 2.5}}, {{3, 4}}}).shape() == Shape{2, 1, 2});
  CHECK(tf::tensor(std::vector<std::vector<float>>{{1, 2}, {3, 4}, {5, 6}}).shape() == Shape{3, 2});
  const float c[2][3] = {{1, 2, 3}, {4, 5, 6}};
  CHECK(tf::tensor(c).shape() == Shape{2, 3});
  CHECK(elements<float>(tf::tensor(c)) == std::vector<float>{1, 2, 3, 4, 5, 6});
  const std::vector<float> row{1, 2};
  CHECK(tf::tensor({row, row, row}).shape() == Shape{3, 2});
  CHECK(tf::tensor(std::vector<std::array<double, 2>>{{1, 2}}).dtype() == tf::float64);
  CHECK_ERROR(tf::tensor({{1, 2}, {3}}), InvalidArgument,
              "A nested list must be rectangular: element 0 has shape (2,), element 1 has (1,)");
}

TEST_CASE("Variable v{1} is Variable v(1)") {
  tf::EagerMode eager;
  const tf::Variable a{1}, b(1), c{{1, 2}}, d({1, 2});
  CHECK((a.shape() == Shape{} && b.shape() == Shape{}));
  CHECK((c.shape() == Shape{2} && d.shape() == Shape{2}));
}

TEST_CASE("Beside a tensor a literal takes that tensor's dtype") {
  for (tf::DType t : {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8}) {
    const tf::Tensor x = tf::tensor(3, {.dtype = t});
    CHECK((x + 1).dtype() == t);
    CHECK((1 + x).dtype() == t);
    CHECK((x * 2).item<int32_t>() == 6);
  }
  CHECK((tf::tensor(3, {.dtype = tf::float64}) * 0.1).item<double>() == 3 * 0.1);
  CHECK((tf::tensor(1.f) + std::vector<float>{1, 2}).shape() == Shape{2});
  CHECK_ERROR(tf::tensor(3) * 0.5, InvalidArgument, "'Mul' has a floating literal beside a tensor of dtype int32");
  CHECK_ERROR(0.5 + tf::tensor(3), InvalidArgument, "Try: cast the tensor: tf::cast(t, tf::float32)");
  CHECK_ERROR(tf::tensor(uint8_t{3}, {.dtype = tf::uint8}) + 300, InvalidArgument, "300 does not fit dtype uint8");
}

TEST_CASE("Between tensors PyTorch's promotion table holds") {
  // Rows and columns: float32 float64 int32 int64 uint8 bool.
  const tf::DType order[] = {tf::float32, tf::float64, tf::int32, tf::int64, tf::uint8, tf::bool_};
  const char* table[6][6] = {
      {"float32", "float64", "float32", "float32", "float32", "float32"},
      {"float64", "float64", "float64", "float64", "float64", "float64"},
      {"float32", "float64", "int32", "int64", "int32", "int32"},
      {"float32", "float64", "int64", "int64", "int64", "int64"},
      {"float32", "float64", "int32", "int64", "uint8", "uint8"},
      {"float32", "float64", "int32", "int64", "uint8", "bool"},
  };
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) {
      const tf::Tensor a = tf::cast(tf::tensor(1), order[i]), b = tf::cast(tf::tensor(1), order[j]);
      INFO(order[i] << " with " << order[j]);
      CHECK(std::string(name_of(tf::promote(order[i], order[j]))) == table[i][j]);
      if (i != 5 || j != 5) CHECK(std::string(name_of((a + b).dtype())) == table[i][j]);
    }
  }
}
