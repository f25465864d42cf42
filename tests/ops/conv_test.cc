// What convolutions refuse, and how their options are written.
#include <string>
#include <vector>

#include <twofold/twofold.h>

#include "../catch.h"
#include "errors.h"

namespace tf = twofold;

namespace {

tf::Tensor blank(const tf::Shape& shape, tf::DType dtype = tf::float32) {
  const tf::EagerMode eager;
  return tf::zeros(shape, dtype);
}

}  // namespace

TEST_CASE("Convolutions refuse what does not fit, and say why") {
  const tf::Tensor x = blank({2, 4, 5, 6}), w = blank({6, 4, 3, 3});
  CHECK_ERROR(tf::conv2d(blank({4, 5, 6}), w), InvalidArgument, "Shape must be rank 4 but is rank 3");
  CHECK_ERROR(tf::conv2d(x, blank({6, 4, 3})), InvalidArgument, "Shape must be rank 4 but is rank 3");
  CHECK_ERROR(tf::conv2d(x, blank({6, 3, 3, 3})), InvalidArgument, "has 4 channels, but the weight is for 3");
  CHECK_ERROR(tf::conv2d(x, w, {.groups = 2}), InvalidArgument,
              "has 4 channels, but the weight is for 8 (2 groups of 4)");
  CHECK_ERROR(tf::conv2d(x, w, {.data_format = tf::DataFormat::nhwc}), InvalidArgument,
              "has 6 channels, but the weight is for 4");
  CHECK_ERROR(tf::conv2d(x, blank({6, 1, 3, 3}), {.groups = 4}), InvalidArgument,
              "4 groups do not divide the weight's first extent, 6");
  CHECK_ERROR(tf::conv2d(x, w, {.stride = 0}), InvalidArgument, "Stride must be positive, but is 0");
  CHECK_ERROR(tf::conv2d(x, w, {.stride = {1, -2}}), InvalidArgument, "Stride must be positive, but is -2");
  CHECK_ERROR(tf::conv2d(x, w, {.dilation = 0}), InvalidArgument, "Dilation must be positive, but is 0");
  CHECK_ERROR(tf::conv2d(x, w, {.groups = 0}), InvalidArgument, "The number of groups must be positive, but is 0");
  CHECK_ERROR(tf::conv2d(x, w, {.padding = -1}), InvalidArgument, "Padding must not be negative, but is -1");
  CHECK_ERROR(tf::conv2d(x, w, {.padding = "full"}), InvalidArgument,
              "Padding must be \"valid\", \"same\" or numbers, but is \"full\"");
  CHECK_ERROR(tf::conv2d(x, w, {.dilation = {3, 1}}), InvalidArgument,
              "A kernel of 3, which spans 7, does not fit into an extent of 5 with padding 0 and 0");
  CHECK_ERROR(tf::conv2d(x, blank({6, 4, 0, 3})), InvalidArgument, "A kernel must have elements");
  CHECK_ERROR(tf::conv2d(blank({1, 1, 3, 3}, tf::int32), blank({1, 1, 2, 2}, tf::int32)), InvalidArgument,
              "A convolution of int32 is not supported");
}

TEST_CASE("Transposed convolutions refuse what does not fit") {
  const tf::Tensor x = blank({2, 4, 5, 6}), w = blank({4, 6, 3, 3});
  CHECK_ERROR(tf::conv2d_transpose(x, blank({6, 4, 3, 3})), InvalidArgument, "has 4 channels, but the weight is for 6");
  CHECK_ERROR(tf::conv2d_transpose(x, w, {.stride = 2, .output_padding = 2}), InvalidArgument,
              "Output padding must be smaller than stride 2, but is 2");
  CHECK_ERROR(tf::conv2d_transpose(x, w, {.stride = 2, .padding = "same", .output_padding = 1}), InvalidArgument,
              "Output padding must be 0, but is 1");
  CHECK_ERROR(tf::conv2d_transpose(x, w, {.padding = 4}), InvalidArgument,
              "An extent of 5 has no transposed convolution with a kernel of 3 and padding 4 and 4");
}

TEST_CASE("Shapes of convolutions follow from what is known") {
  tf::Graph graph;
  const auto scope = graph.as_default();
  const tf::DeferredMode deferred;
  const auto x = [](const tf::Shape& s) { return tf::placeholder(tf::float32, s); };
  const tf::Tensor w = x({6, 4, 3, 3});
  CHECK(tf::conv2d(x({-1, 4, 28, -1}), w).shape() == tf::Shape{-1, 6, 26, -1});
  CHECK(tf::conv2d(x({2, 28, 27, -1}), w, {.stride = 2, .padding = "same", .data_format = tf::DataFormat::nhwc})
            .shape() == tf::Shape{2, 14, 14, 6});
  CHECK(tf::conv2d(x(tf::unknown_shape), w).shape() == tf::Shape{-1, 6, -1, -1});
  CHECK(tf::conv2d(x({2, 4, 8, 8}), x(tf::unknown_shape)).shape() == tf::Shape{2, -1, -1, -1});
  CHECK(tf::conv2d(x({2, 4, 8, 7}), x(tf::unknown_shape), {.padding = "same"}).shape() == tf::Shape{2, -1, 8, 7});
  CHECK(tf::conv2d_transpose(x({-1, 6, 5, -1}), w, {.stride = 2, .padding = 1, .output_padding = 1}).shape() ==
        tf::Shape{-1, 4, 10, -1});
}
