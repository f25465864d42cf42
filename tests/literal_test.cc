// Numbers as programs write them, and what dtype and shape they get.
#include <array>
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include <twofold/lib/op/literal.h>
#include <twofold/lib/op/tensor.h>

#include "catch.h"
#include "errors.h"

namespace tf = twofold;
using tf::Literal;
using tf::Shape;

namespace {
template <class T>
std::vector<T> elements(const tf::Tensor& t) {
  return {t.data<T>().begin(), t.data<T>().end()};
}
}  // namespace

TEST_CASE("Bare numbers have Python's dtypes") {
  CHECK(Literal(3).default_dtype() == tf::int32);
  CHECK(Literal(int64_t{3}).default_dtype() == tf::int32);
  CHECK(Literal(int64_t{1} << 31).default_dtype() == tf::int64);
  CHECK(Literal(-(int64_t{1} << 31)).default_dtype() == tf::int32);
  CHECK(Literal(2.5).default_dtype() == tf::float32);
  CHECK(Literal(true).default_dtype() == tf::bool_);
  CHECK(Literal{1, 2.5}.default_dtype() == tf::float32);
  CHECK(Literal{1, int64_t{1} << 40}.default_dtype() == tf::int64);
  CHECK(Literal{true, 2}.default_dtype() == tf::int32);
  CHECK_ERROR(Literal(UINT64_MAX), InvalidArgument, "beyond int64");
}

TEST_CASE("Typed containers keep their dtype") {
  const std::vector<double> doubles{1, 2};
  CHECK(Literal(doubles).default_dtype() == tf::float64);
  const float array[] = {1, 2, 3};
  CHECK(Literal(array).default_dtype() == tf::float32);
  CHECK(Literal(array).shape() == Shape{3});
  CHECK(Literal(std::span<const float>(array)).default_dtype() == tf::float32);
  CHECK(Literal(std::array<int64_t, 2>{1, 2}).default_dtype() == tf::int64);
  CHECK(Literal(std::vector<uint8_t>{1}).default_dtype() == tf::uint8);
  CHECK(Literal(std::vector<bool>{true, false}).default_dtype() == tf::bool_);
  CHECK(Literal(std::list<double>{1, 2}).default_dtype() == tf::float64);
  const std::vector<std::vector<double>> nested{{1, 2}, {3, 4}, {5, 6}};
  CHECK(Literal(nested).default_dtype() == tf::float64);
  CHECK(Literal(nested).shape() == Shape{3, 2});
  CHECK(elements<double>(Literal(nested).to_tensor(tf::float64)) == std::vector<double>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("Nested lists of any rank") {
  const Literal l{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8.5}}};
  CHECK(l.shape() == Shape{2, 2, 2});
  CHECK(elements<float>(l.to_tensor(tf::float32)) == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8.5});
  CHECK(Literal(std::vector<float>{}).shape() == Shape{0});
  CHECK_ERROR((Literal{{1, 2}, {3}}), InvalidArgument, "rectangular");
  CHECK_ERROR((Literal{{1, 2}, 3}), InvalidArgument, "rectangular");
}

TEST_CASE("A literal becomes another dtype only without loss") {
  CHECK(Literal(3).to_tensor(tf::float64).item<double>() == 3);
  CHECK(Literal(255).to_tensor(tf::uint8).item<uint8_t>() == 255);
  CHECK_ERROR(Literal(300).to_tensor(tf::uint8), InvalidArgument, "300");
  CHECK_ERROR(Literal(-1).to_tensor(tf::uint8), InvalidArgument, "-1");
  CHECK_ERROR(Literal(2.5).to_tensor(tf::int32), InvalidArgument, "2.5");
  CHECK_ERROR(Literal(int64_t{1} << 40).to_tensor(tf::int32), InvalidArgument, "does not fit");
  const std::vector<double> doubles{1};
  CHECK_ERROR(Literal(doubles).to_tensor(tf::float32), InvalidArgument, "float64");
}

TEST_CASE("A literal laid out in a shape") {
  const tf::Tensor t = Literal{1, 2, 3, 4, 5, 6}.to_tensor(tf::int32, {2, -1});
  CHECK(t.shape() == Shape{2, 3});
  CHECK(elements<int32_t>(t) == std::vector<int32_t>{1, 2, 3, 4, 5, 6});
  CHECK(elements<float>(Literal(7).to_tensor(tf::float32, {3})) == std::vector<float>{7, 7, 7});
  CHECK_ERROR((Literal{1, 2, 3}.to_tensor(tf::int32, {2, 2})), InvalidArgument, "3 elements");
  CHECK_ERROR((Literal{1, 2, 3}.to_tensor(tf::int32, {-1, 2})), InvalidArgument, "3 elements");
}

TEST_CASE("What a literal can stand beside") {
  CHECK(Literal(3).fits(tf::float32));
  CHECK(Literal(3).fits(tf::uint8));
  CHECK_FALSE(Literal(3).fits(tf::bool_));
  CHECK(Literal(2.5).fits(tf::float64));
  CHECK_FALSE(Literal(2.5).fits(tf::int32));
  CHECK(Literal(true).fits(tf::bool_));
  CHECK(Literal(std::array<float, 1>{1}).fits(tf::float32));
  CHECK_FALSE(Literal(std::array<float, 1>{1}).fits(tf::float64));
}

TEST_CASE("A tensor of more elements than memory holds is an error") {
  const int64_t large = int64_t{1} << 32;
  CHECK_ERROR(Literal(1).to_tensor(tf::float32, {large, large}), ResourceExhausted, "");
  CHECK_ERROR(Literal(1).to_tensor(tf::float64, {large, int64_t{1} << 29}), ResourceExhausted, "");
}
