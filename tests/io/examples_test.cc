// Examples in memory and in mapped files: what is shared, what is copied, what is refused.
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "../both_modes.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "scratch.h"

namespace tf = twofold;
namespace io = twofold::io;
using tf::Shape;
using tf::Tensor;

namespace {

/// The tensor's elements, where they lie.
const void* place(const Tensor& t) {
  return tf::dispatch(t.dtype(), [&](auto zero) -> const void* { return t.data<decltype(zero)>().data(); });
}

std::vector<float> ramp(size_t n) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = static_cast<float>(i);
  return v;
}

/// `header` bytes, then the elements.
template <class T>
std::string file_of(size_t header, const std::vector<T>& elements) {
  std::string bytes(header, 'h');
  return bytes.append(reinterpret_cast<const char*>(elements.data()), elements.size() * sizeof(T));
}

}  // namespace

TEST_CASE("Examples are the slices of a tensor's first axis, and share its storage") {
  const Tensor t = tf::tensor(ramp(60), {10, 2, 3});
  const io::Examples examples = t;
  CHECK(examples.size() == 10);
  CHECK(examples.dtype() == tf::float32);
  CHECK(examples.shape() == Shape{2, 3});
  const Tensor some = examples.slice(4, 3);
  CHECK(some.shape() == Shape{3, 2, 3});
  CHECK(place(some) == t.data<float>().data() + 24);
  CHECK(elements<float>(some[0]) == elements<float>(t[4]));
  const std::vector<int64_t> numbers = {9, 0, 9};
  const Tensor gathered = examples.gather(numbers);
  CHECK(gathered.shape() == Shape{3, 2, 3});
  for (int i = 0; i < 3; ++i)
    CHECK(elements<float>(gathered[i]) == elements<float>(t[numbers[static_cast<size_t>(i)]]));
  CHECK(examples.slice(10, 0).shape() == Shape{0, 2, 3});
  CHECK(examples.gather({}).shape() == Shape{0, 2, 3});
}

TEST_CASE("A slice keeps its examples alive, and their elements as they were") {
  Tensor slice;
  {
    const io::Examples examples = tf::tensor(ramp(1000), {500, 2});
    slice = examples.slice(1, 2);
  }
  const Tensor other = tf::tensor(std::vector<float>(1000, -1.f));
  CHECK(elements<float>(slice) == std::vector<float>{2, 3, 4, 5});
  // Nothing computes in place on a view.
  const io::Examples examples = tf::tensor(ramp(1000), {500, 2});
  const Tensor sum = tf::relu(examples.slice(0, 500) - 1.f) + examples.slice(0, 500);
  CHECK(elements<float>(examples.slice(0, 500)) == ramp(1000));
}

TEST_CASE("Tensors that hold no examples") {
  FreshGraph fresh;
  CHECK_ERROR(io::Examples(Tensor()), InvalidArgument, "Examples were asked of an undefined Tensor (None)");
  CHECK_ERROR(io::Examples(tf::tensor(1.f)), InvalidArgument, "the slices of the first axis; a scalar has none");
  CHECK_ERROR(io::Examples(tf::placeholder(tf::float32)), FailedPrecondition,
              "Examples were asked of the symbol Tensor(\"Placeholder:0\"");
  const io::Examples three = tf::tensor(ramp(3));
  const std::vector<int64_t> beyond = {0, 3}, negative = {-1};
  CHECK(three.shape() == Shape{});
  CHECK_ERROR(three.slice(1, 3), OutOfRange, "3 examples from number 1 on were asked for; there are 3");
  CHECK_ERROR(three.slice(-1, 1), OutOfRange, "from number -1 on");
  CHECK_ERROR(three.slice(1, INT64_MAX), OutOfRange, "there are 3");
  CHECK_ERROR(three.gather(beyond), OutOfRange, "Example 3 was asked for; there are 3");
  CHECK_ERROR(three.gather(negative), OutOfRange, "examples_test.cc:");
}

TEST_CASE("A mapped file: batches alias the mapping and keep it") {
  const Scratch scratch;
  const std::string path = scratch / "floats";
  put(path, file_of(16, ramp(600)));
  Tensor kept;
  {
    const io::Examples examples = io::map_file(path, {.shape = {2, 3}, .offset = 16});
    CHECK(examples.size() == 100);
    const int64_t before = tf::allocator_stats().in_use;
    const Tensor first = examples.slice(0, 40), second = examples.slice(40, 60);
    CHECK(tf::allocator_stats().in_use == before);
    CHECK(first.shape() == Shape{40, 2, 3});
    CHECK(static_cast<const float*>(place(second)) == static_cast<const float*>(place(first)) + 240);
    CHECK(testing::same_bits(first, tf::tensor(ramp(240), {40, 2, 3})));
    kept = second;
  }
  std::filesystem::remove(path);
  const std::vector<float> all = ramp(600);
  CHECK(elements<float>(kept) == std::vector<float>(all.begin() + 240, all.end()));
}

TEST_CASE("A mapped file whose elements are not aligned is copied from") {
  const Scratch scratch;
  const std::string path = scratch / "floats";
  put(path, file_of(7, ramp(50)));
  const io::Examples examples = io::map_file(path, {.offset = 7});
  CHECK(examples.size() == 50);
  CHECK(elements<float>(examples.slice(0, 50)) == ramp(50));
  CHECK(place(examples.slice(0, 50)) != place(examples.slice(0, 50)));
  CHECK(elements<float>(examples.gather(std::vector<int64_t>{3, 1})) == std::vector<float>{3, 1});
}

TEST_CASE("Mapped files of every dtype, with a count, and empty") {
  const Scratch scratch;
  const std::string path = scratch / "file";
  const auto check = [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> written = {T(1), T(2), T(3), T(255)};
    put(path, file_of(8, written));
    const io::Examples all = io::map_file(path, {.dtype = tf::dtype_of<T>, .offset = 8});
    CHECK(elements<T>(all.slice(0, 4)) == written);
    const io::Examples two = io::map_file(path, {.dtype = tf::dtype_of<T>, .offset = 8, .count = 2});
    CHECK(two.size() == 2);
    const io::Examples none = io::map_file(path, {.dtype = tf::dtype_of<T>, .offset = 8, .count = 0});
    CHECK(none.slice(0, 0).shape() == Shape{0});
  };
  check(float{}), check(double{}), check(int32_t{}), check(int64_t{}), check(uint8_t{});
  put(path, "");
  CHECK(io::map_file(path).size() == 0);
  const io::Examples none = io::map_file(path, {.shape = {5}});
  CHECK(none.slice(0, 0).shape() == Shape{0, 5});
}

TEST_CASE("Files and options that do not fit") {
  const Scratch scratch;
  const std::string path = scratch / "file";
  put(path, std::string(30, 'x'));
  const auto invalid = [&](const io::MapOptions& options, const std::string& words) {
    CHECK_ERROR(io::map_file(path, options), InvalidArgument, words);
  };
  const auto lost = [&](const io::MapOptions& options, const std::string& words) {
    CHECK_ERROR(io::map_file(path, options), DataLoss, words);
  };
  CHECK_ERROR(io::map_file(scratch / "absent"), NotFound, "absent': No such file or directory");
  CHECK_ERROR(io::map_file(scratch.folder()), FailedPrecondition, "is not a regular file");
  invalid({.dtype = tf::bool_}, "a bool is 0 or 1, and a file's bytes could be");
  invalid({.shape = {2, -1}}, "at most 7 axes; it is (2, ?)");
  invalid({.shape = Shape::of_rank(8)}, "at most 7 axes");
  invalid({.shape = tf::unknown_shape}, "it is <unknown>");
  invalid({.shape = {3, 0}}, "an example of shape (3, 0) has no elements");
  invalid({.offset = -1}, "they are -1 and -1");
  invalid({.count = -2}, "they are 0 and -2");
  lost({.offset = 31}, "the file has 30 bytes, less than the offset of 31");
  CHECK_ERROR(
      io::map_file(path, {.shape = {2}, .offset = 4}), DataLoss,
      "the file has 26 bytes after the offset of 4, which is no whole number of examples of shape (2,) and dtype "
      "float32, 8 bytes each");
  lost({.shape = {2}, .offset = 4, .count = 4}, "too few for 4 examples of shape (2,)");
  const int64_t huge = INT64_MAX;
  lost({.shape = {huge, huge}, .count = 1}, "too few for 1 examples");
  lost({.shape = {2}}, "examples_test.cc:");
}
