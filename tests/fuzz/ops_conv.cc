// Convolutions and pooling.
#include <twofold/lib/op/vjp.h>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

/// Images and a weight. `sizes` holds the padding of conv2d, the output padding of conv2d_transpose.
bool propose_conv2d(Generator& g, Instruction& i, bool transposed) {
  const auto extent = [&](int64_t least) { return least + g.rng().below(4); };
  const int64_t groups = i.integer = 1 + g.rng().below(2), in = g.rng().below(3), out = g.rng().below(3);
  const int64_t kernel[] = {extent(1), extent(1)};
  i.flag[0] = g.rng().one_in(2);                               // nhwc
  i.flag[1] = kernel[0] + kernel[1] < 6 && g.rng().one_in(3);  // dilation 2
  i.axes = {1 + g.rng().below(3), 1 + g.rng().below(3)};
  int64_t size[2];
  for (int k = 0; k < 2; ++k) size[k] = transposed ? extent(1) : extent(i.flag[1] ? 2 * kernel[k] - 1 : kernel[k]);
  for (int k = 0; k < (transposed ? 2 : 4); ++k) i.sizes.push_back(g.rng().below(transposed ? i.axes[k] : 3));
  const int64_t batch = g.rng().below(4), channels = groups * in;
  const tf::Shape x =
      i.flag[0] ? tf::Shape{batch, size[0], size[1], channels} : tf::Shape{batch, channels, size[0], size[1]};
  const tf::DType dtype = g.rng().one_in(2) ? tf::float32 : tf::float64;
  i.inputs = {g.rng().one_in(4) ? g.vague_leaf(dtype, x) : g.value_of(dtype, x)};
  i.inputs.push_back(g.value_of(dtype, transposed ? tf::Shape{channels, out, kernel[0], kernel[1]}
                                                  : tf::Shape{groups * out, in, kernel[0], kernel[1]}));
  return true;
}
bool propose_pool2d(Generator& g, Instruction& i) {
  i.flag[0] = g.rng().one_in(2);  // nhwc
  i.flag[1] = g.rng().one_in(2);
  i.integer = 1 + g.rng().below(3);
  i.axes = {1 + g.rng().below(3), 1 + g.rng().below(3)};
  for (int k = 0; k < 4; ++k) i.sizes.push_back(g.rng().below(i.axes[k / 2]));
  const int64_t h = i.axes[0] + g.rng().below(4), w = i.axes[1] + g.rng().below(4);
  const int64_t batch = g.rng().below(3), channels = g.rng().below(4);
  const tf::Shape x = i.flag[0] ? tf::Shape{batch, h, w, channels} : tf::Shape{batch, channels, h, w};
  const tf::DType dtype = g.rng().one_in(2) ? tf::float32 : tf::float64;
  i.inputs = {g.rng().one_in(4) ? g.vague_leaf(dtype, x) : g.value_of(dtype, x)};
  return true;
}
tf::DataFormat data_format(const Instruction& i) { return i.flag[0] ? tf::DataFormat::nhwc : tf::DataFormat::nchw; }

using T = tf::Tensor;
using I = Instruction;

template <class F>
auto binary(F f) {
  return [f](State& s, const I& i) { return std::vector{f(s.value(i.inputs[0]), s.value(i.inputs[1]), i)}; };
}

}  // namespace

void add_conv_entries(std::vector<OpEntry>& all) {
  all.insert(all.end(),
             {
                 {"conv2d", 8,
                  "tf::conv2d($0, $1, {.stride = $axes, .padding = $sizes, .dilation = $g ? 2 : 1, .groups = $n, "
                  ".data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  [](Generator& g, I& i) { return propose_conv2d(g, i, false); },
                  binary([](const T& x, const T& w, const I& i) {
                    return tf::conv2d(x, w,
                                      {.stride = {i.axes[0], i.axes[1]},
                                       .padding = {i.sizes[0], i.sizes[1], i.sizes[2], i.sizes[3]},
                                       .dilation = i.flag[1] ? 2 : 1,
                                       .groups = i.integer,
                                       .data_format = data_format(i)});
                  })},
                 {"conv2d_bias", 4,
                  "tf::conv2d($0, $1, $2, {.stride = $axes, .padding = $sizes, .dilation = $g ? 2 : 1, .groups = $n, "
                  ".data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  [](Generator& g, I& i) {
                    if (!propose_conv2d(g, i, false)) return false;
                    i.inputs.push_back(g.value_of(g.dtype(i.inputs[1]), {g.shape(i.inputs[1])[0]}));
                    return true;
                  },
                  [](State& s, const I& i) {
                    return std::vector{tf::conv2d(s.value(i.inputs[0]), s.value(i.inputs[1]), s.value(i.inputs[2]),
                                                  {.stride = {i.axes[0], i.axes[1]},
                                                   .padding = {i.sizes[0], i.sizes[1], i.sizes[2], i.sizes[3]},
                                                   .dilation = i.flag[1] ? 2 : 1,
                                                   .groups = i.integer,
                                                   .data_format = data_format(i)})};
                  }},
                 {"conv2d_same", 4,
                  "tf::conv2d($0, $1, {.stride = $axes, .padding = \"same\", .dilation = $g ? 2 : 1, .groups = $n, "
                  ".data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  [](Generator& g, I& i) { return propose_conv2d(g, i, false); },
                  binary([](const T& x, const T& w, const I& i) {
                    return tf::conv2d(x, w,
                                      {.stride = {i.axes[0], i.axes[1]},
                                       .padding = "same",
                                       .dilation = i.flag[1] ? 2 : 1,
                                       .groups = i.integer,
                                       .data_format = data_format(i)});
                  })},
                 {"max_pool2d", 6,
                  "tf::max_pool2d($0, $axes, {.stride = $n, .padding = $sizes, "
                  ".data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  propose_pool2d,
                  [](State& s, const I& i) {
                    return std::vector{tf::max_pool2d(s.value(i.inputs[0]), {i.axes[0], i.axes[1]},
                                                      {.stride = i.integer,
                                                       .padding = {i.sizes[0], i.sizes[1], i.sizes[2], i.sizes[3]},
                                                       .data_format = data_format(i)})};
                  }},
                 {"max_pool2d_twice", 3,
                  "/* the derivative by dy of max_pool2d's vjp */ tf::max_pool2d($0, $axes, {.stride = $n, .padding = "
                  "$sizes, .data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  propose_pool2d,
                  [](State& s, const I& i) {
                    const T& x = s.value(i.inputs[0]);
                    const auto pool = [&](std::span<const T> in) {
                      return std::vector{tf::max_pool2d(in[0], {i.axes[0], i.axes[1]},
                                                        {.stride = i.integer,
                                                         .padding = {i.sizes[0], i.sizes[1], i.sizes[2], i.sizes[3]},
                                                         .data_format = data_format(i)})};
                    };
                    const T y = pool(std::span(&x, 1))[0];
                    const auto back = [&](std::span<const T> dy) { return tf::vjp(pool, std::span(&x, 1), dy); };
                    return tf::vjp(back, std::span(&y, 1), std::span(&x, 1));
                  }},
                 {"avg_pool2d", 4,
                  "tf::avg_pool2d($0, $axes, {.stride = $n, .padding = $sizes, .count_include_pad = $g, "
                  ".data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  propose_pool2d,
                  [](State& s, const I& i) {
                    return std::vector{tf::avg_pool2d(s.value(i.inputs[0]), {i.axes[0], i.axes[1]},
                                                      {.stride = i.integer,
                                                       .padding = {i.sizes[0], i.sizes[1], i.sizes[2], i.sizes[3]},
                                                       .count_include_pad = i.flag[1],
                                                       .data_format = data_format(i)})};
                  }},
                 {"conv2d_transpose", 4,
                  "tf::conv2d_transpose($0, $1, {.stride = $axes, .output_padding = $sizes, .groups = $n, "
                  ".dilation = $g ? 2 : 1, .data_format = $f ? tf::DataFormat::nhwc : tf::DataFormat::nchw})",
                  [](Generator& g, I& i) { return propose_conv2d(g, i, true); },
                  binary([](const T& x, const T& w, const I& i) {
                    return tf::conv2d_transpose(x, w,
                                                {.stride = {i.axes[0], i.axes[1]},
                                                 .output_padding = {i.sizes[0], i.sizes[1]},
                                                 .groups = i.integer,
                                                 .dilation = i.flag[1] ? 2 : 1,
                                                 .data_format = data_format(i)});
                  })},
             });
}

}  // namespace fuzz
