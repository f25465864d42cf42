// The IDX format: real layouts, all types, and files that are not what they should be.
#include <limits>
#include <string>
#include <vector>

#include "../both_modes.h"
#include "../errors.h"
#include "../fresh_graph.h"
#include "scratch.h"

namespace tf = twofold;
using tf::Shape;
using tf::Tensor;
using tf::io::load_idx;
using tf::io::save_idx;

namespace {

std::string bytes(const std::vector<int>& values) {
  std::string text;
  for (const int v : values) text += static_cast<char>(v);
  return text;
}

/// The header of a file of this type and these extents.
std::string header(int code, const std::vector<uint32_t>& extents) {
  std::string text = bytes({0, 0, code, static_cast<int>(extents.size())});
  for (const uint32_t e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(e >> shift);
  return text;
}

const std::vector<float> kFloats = {1.f, -2.5f, 0.f, std::numeric_limits<float>::infinity()};

}  // namespace

TEST_CASE("Images and labels in the form of MNIST", "[idx]") {
  const Scratch scratch;
  put(scratch / "images", header(0x08, {2, 2, 3}) + bytes({0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255}));
  put(scratch / "labels", header(0x08, {2}) + bytes({7, 9}));
  const Tensor images = load_idx(scratch / "images");
  CHECK(images.dtype() == tf::uint8);
  CHECK(images.shape() == Shape{2, 2, 3});
  CHECK(testing::doubles(images[1]) == std::vector<double>{250, 251, 252, 253, 254, 255});
  CHECK(testing::doubles(load_idx(scratch / "labels")) == std::vector<double>{7, 9});
}

TEST_CASE("Elements of several bytes are big-endian", "[idx]") {
  const Scratch scratch;
  put(scratch / "int32", header(0x0C, {2}) + bytes({1, 2, 3, 4, 255, 255, 255, 254}));
  put(scratch / "float32", header(0x0D, {1}) + bytes({0xC0, 0x20, 0, 0}));
  put(scratch / "float64", header(0x0E, {1, 1}) + bytes({0x3F, 0xF8, 0, 0, 0, 0, 0, 0}));
  const Tensor i = load_idx(scratch / "int32"), f = load_idx(scratch / "float32"), d = load_idx(scratch / "float64");
  CHECK(i.dtype() == tf::int32);
  CHECK(testing::doubles(i) == std::vector<double>{0x01020304, -2});
  CHECK(f.dtype() == tf::float32);
  CHECK(testing::doubles(f) == std::vector<double>{-2.5});
  CHECK(d.dtype() == tf::float64);
  CHECK(d.shape() == Shape{1, 1});
  CHECK(testing::doubles(d) == std::vector<double>{1.5});
}

TEST_CASE("What is written is read again, to the bit", "[idx]") {
  const Scratch scratch;
  const std::vector<int32_t> integers = {1, -2, std::numeric_limits<int32_t>::min()};
  const std::vector<Tensor> all = {tf::tensor(integers, {3, 1}),
                                   tf::tensor(kFloats, {2, 2}),
                                   tf::tensor(1.5, {.dtype = tf::float64}),
                                   tf::cast(tf::tensor({0, 255}), tf::uint8),
                                   tf::tensor(std::vector<float>(), {0, 28, 28}),
                                   tf::tensor(std::vector<double>(300001, 0.1))};  // of more than one chunk
  for (const Tensor& t : all) {
    save_idx(scratch / "file", t);
    CHECK(testing::same_bits(load_idx(scratch / "file"), t));
  }
  CHECK(scratch.count() == 1);
  save_idx(scratch / "file", tf::cast(tf::tensor({{1, 2}}), tf::uint8));
  CHECK(contents(scratch / "file") == header(0x08, {1, 2}) + bytes({1, 2}));
}

TEST_CASE("Files that are not of the IDX format", "[idx]") {
  const Scratch scratch;
  const std::string path = scratch / "file";
  const auto lost = [&](const std::string& file, const std::string& words) {
    put(path, file);
    CHECK_ERROR(load_idx(path), DataLoss, words);
  };
  CHECK_ERROR(load_idx(scratch / "absent"), NotFound, "Cannot open '" + scratch / "absent" + "'");
  CHECK_ERROR(load_idx(scratch.folder()), FailedPrecondition, "is not a regular file");
  lost("", "a file begins with 4 bytes that tell its type; this one has 0");
  lost(bytes({0, 0, 8}), "this one has 3");
  lost(bytes({0x1f, 0x8b, 8, 0, 0}), "is compressed");
  lost(bytes({8, 0, 8, 1, 0, 0, 0, 0}), "it begins with the bytes 0x08 0x00, not with zeros");
  lost(bytes({0, 0, 7, 1, 0, 0, 0, 0}), "0x07 is the code of no type");
  lost(header(0x08, {2, 3}).substr(0, 11), "the header of 2 axes has 12 bytes; the file has 11");
  lost(bytes({0, 0, 8, 255}), "the header of 255 axes has 1024 bytes; the file has 4");
  lost(header(0x08, {2, 3}) + bytes({1, 2, 3, 4, 5}),
       "uint8 elements of shape (2, 3) are promised, of 1 bytes each; 5 bytes follow the header");
  lost(header(0x08, {2}) + bytes({1, 2, 3}), "3 bytes follow");
  lost(header(0x0D, {2}) + bytes({1, 2}), "of 4 bytes each; 2 bytes follow");
  lost(header(0x08, {1u << 31}), "the extent of axis 0 is negative");
  // No allocation is asked for what the file cannot hold; a product beyond 64 bits is one of those.
  lost(header(0x0E, {0x7fffffff, 0x7fffffff}), "0 bytes follow");
  lost(header(0x0E, {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff}) + "12345678", "8 bytes follow");
  put(path, header(0x08, {0x7fffffff, 0x7fffffff, 0x7fffffff, 0}));
  CHECK(load_idx(path).num_elements() == 0);
}

TEST_CASE("Every cut of a good file is an error", "[idx]") {
  const Scratch scratch;
  save_idx(scratch / "file", tf::tensor(kFloats, {2, 2}));
  const std::string good = contents(scratch / "file");
  for (size_t length = 0; length < good.size(); ++length) {
    put(scratch / "cut", good.substr(0, length));
    CHECK_ERROR(load_idx(scratch / "cut"), DataLoss, "is not of the IDX format");
  }
  put(scratch / "cut", good + "x");
  CHECK_ERROR(load_idx(scratch / "cut"), DataLoss, "17 bytes follow");
}

TEST_CASE("What IDX has and tensors have not, and the other way round", "[idx]") {
  FreshGraph fresh;
  const Scratch scratch;
  put(scratch / "int8", header(0x09, {1}) + "x");
  put(scratch / "int16", header(0x0B, {1}) + "xy");
  put(scratch / "axes", header(0x08, std::vector<uint32_t>(9, 1)) + "x");
  CHECK_ERROR(load_idx(scratch / "int8"), Unimplemented, "elements of type int8");
  CHECK_ERROR(load_idx(scratch / "int16"), Unimplemented, "idx_test.cc:");
  CHECK_ERROR(load_idx(scratch / "axes"), Unimplemented, "has 9 axes; at most 8 are supported");
  const Tensor wide = tf::tensor(std::vector<int64_t>{1});
  const Tensor symbol = tf::placeholder(tf::uint8);
  CHECK_ERROR(save_idx(scratch / "out", wide), InvalidArgument, "the IDX format has no type for int64");
  CHECK_ERROR(save_idx(scratch / "out", Tensor()), InvalidArgument, "None");
  CHECK_ERROR(save_idx(scratch / "out", symbol), FailedPrecondition, "has no value");
  CHECK_ERROR(save_idx(scratch / "absent/out", tf::tensor(1)), NotFound, "No such file or directory");
  const Tensor long_axis = tf::zeros({0, int64_t{1} << 31}, tf::uint8);
  const auto no_values = tf::eagerly([] { return tf::zeros({0, int64_t{1} << 31}, tf::uint8); });
  CHECK_ERROR(save_idx(scratch / "out", no_values), InvalidArgument, "below 2^31");
  CHECK_ERROR(save_idx(scratch / "out", long_axis), FailedPrecondition, "session.run(t)");
  CHECK(scratch.count() == 3);
}
