// Records of convolution, its transpose and its gradients.
#include <algorithm>
#include <cmath>

#include <twofold/lib/op/apply.h>

#include "convolution.h"
#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

enum class Part { x, w, y };

/// Sums each product of two of the parts into the third, which is of shape `shape`.
Array sums(const Convolution& conv, Part into, const Array& a, const Array& b, const Shape& shape) {
  const auto n = static_cast<size_t>(shape.num_elements());
  Array result{a.dtype, shape, std::vector<double>(n), std::vector<double>(n)};
  conv.for_each_product([&](size_t x, size_t w, size_t y) {
    const size_t to = into == Part::x ? x : into == Part::w ? w : y;
    const double term = a.values[into == Part::x ? y : x] * b.values[into == Part::y ? w : into == Part::x ? w : y];
    result.values[to] += term;
    result.magnitude[to] += std::abs(term);
  });
  for (double& value : result.values) value = stored(value, a.dtype);
  return result;
}

struct Case {
  std::string label;
  Conv2dOptions options;
  std::vector<std::vector<Shape>> shapes;  ///< of x and weight, in nchw
};

Shape channels_last(const Shape& s) { return {s[0], s[2], s[3], s[1]}; }

std::vector<Case> cases() {
  std::vector<Case> all{
      {"plain",
       {},
       {{{1, 1, 1, 1}, {1, 1, 1, 1}},
        {{2, 2, 3, 3}, {2, 2, 2, 2}},
        {{0, 2, 3, 3}, {2, 2, 2, 2}},
        {{1, 0, 3, 3}, {2, 0, 2, 2}},
        {{1, 2, 3, 3}, {0, 2, 2, 2}},
        {{1, 3, 2, 5}, {2, 3, 1, 1}},
        {{3, 5, 9, 13}, {7, 5, 3, 1}},
        {{2, 33, 19, 20}, {67, 33, 1, 1}},
        {{2, 17, 23, 29}, {70, 17, 3, 3}}}},
      {"padding 1",
       {.padding = 1},
       {{{1, 2, 3, 2}, {2, 2, 3, 3}}, {{5, 3, 28, 28}, {16, 3, 3, 3}}, {{1, 2, 3, 150}, {3, 2, 3, 3}}}},
      {"as wide as the image", {}, {{{2, 1, 5, 24}, {5, 1, 3, 24}}}},
      {"one channel, stride 2", {.stride = 2, .padding = 1}, {{{1, 1, 8, 8}, {12, 1, 4, 4}}}},
      {"many channels by 3x3",
       {.padding = 1},
       {{{1, 16, 8, 8}, {16, 16, 3, 3}}, {{2, 32, 9, 10}, {34, 32, 3, 3}}, {{1, 17, 8, 37}, {16, 17, 3, 3}}}},
      {"many channels by 3x3, uneven padding", {.padding = {3, 0, 0, 2}}, {{{2, 17, 10, 9}, {35, 17, 3, 3}}}},
      {"many channels by 3x3 in 2 groups", {.padding = 1, .groups = 2}, {{{2, 34, 8, 9}, {66, 17, 3, 3}}}},
      {"padding {2, 1}", {.padding = {2, 1}}, {{{1, 1, 3, 4}, {2, 1, 4, 3}}, {{1, 1, 1, 1}, {1, 1, 5, 3}}}},
      {"four paddings", {.padding = {0, 2, 3, 1}}, {{{2, 1, 3, 2}, {2, 1, 3, 3}}, {{2, 3, 11, 7}, {4, 3, 5, 5}}}},
      {"same",
       {.padding = "same"},
       {{{1, 1, 3, 4}, {2, 1, 2, 3}}, {{2, 3, 0, 2}, {2, 3, 3, 3}}, {{2, 4, 10, 13}, {5, 4, 4, 3}}}},
      {"same, stride {2, 3}",
       {.stride = {2, 3}, .padding = "same"},
       {{{1, 1, 5, 4}, {2, 1, 3, 2}}, {{2, 3, 17, 16}, {4, 3, 3, 5}}}},
      {"stride 2",
       {.stride = 2, .padding = 1},
       {{{1, 2, 4, 3}, {1, 2, 3, 3}}, {{2, 5, 28, 27}, {66, 5, 3, 3}}, {{2, 9, 15, 16}, {8, 9, 4, 4}}}},
      {"stride {3, 2}, beyond the kernel",
       {.stride = {3, 2}, .padding = "valid"},
       {{{1, 2, 5, 3}, {2, 2, 2, 1}}, {{2, 3, 17, 16}, {4, 3, 1, 1}}}},
      {"dilation {2, 1}",
       {.padding = 1, .dilation = {2, 1}},
       {{{1, 1, 5, 4}, {2, 1, 3, 2}}, {{2, 3, 13, 12}, {4, 3, 3, 3}}}},
      {"stride and dilation",
       {.stride = {4, 2}, .padding = 3, .dilation = {2, 3}},
       {{{1, 1, 5, 6}, {2, 1, 3, 2}}, {{2, 3, 21, 22}, {4, 3, 3, 4}}}},
      {"2 groups",
       {.padding = 1, .groups = 2},
       {{{1, 4, 2, 3}, {2, 2, 2, 2}}, {{2, 0, 2, 3}, {2, 0, 2, 2}}, {{3, 6, 14, 15}, {10, 3, 3, 3}}}},
      {"depthwise", {.stride = {1, 2}, .groups = 3}, {{{1, 3, 3, 4}, {6, 1, 2, 2}}, {{2, 3, 20, 21}, {3, 1, 3, 3}}}},
  };
  for (size_t i = 0, n = all.size(); i < n; ++i) {
    Case last = all[i];
    last.label += ", nhwc";
    last.options.data_format = DataFormat::nhwc;
    for (auto& s : last.shapes) s[0] = channels_last(s[0]);
    all.push_back(last);
  }
  return all;
}

Tensor call(const char* op, std::initializer_list<const Tensor*> inputs, AttrsView attrs) {
  return apply(*find_op(op), inputs, attrs, std::source_location::current());
}

void add_case(std::vector<Record>& all, const Case& c) {
  const Conv2dOptions o = c.options;
  Record r{.op = "Conv2D", .label = c.label};
  r.call = [o](auto in) { return Tensors{conv2d(in[0], in[1], o)}; };
  r.reference = [o](auto in) {
    const Convolution conv(o, in[0].shape, in[1].shape);
    return Arrays{sums(conv, Part::y, in[0], in[1], conv.y())};
  };
  r.shapes = c.shapes;
  r.dtypes = {float32, float64};
  r.gradient_of = {0, 1};
  all.push_back(r);

  Record biased{.op = "Conv2D", .label = c.label + ", bias"};
  biased.call = [o](auto in) { return Tensors{conv2d(in[0], in[1], in[2], o)}; };
  biased.reference = [o](auto in) {
    const Convolution conv(o, in[0].shape, in[1].shape);
    Array y = sums(conv, Part::y, in[0], in[1], conv.y());
    const auto n = static_cast<int64_t>(y.values.size()), channels = conv.w[0];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t channel = conv.last() ? i % channels : i / (conv.v.out * conv.h.out) % channels;
      const double bias = in[2].values[static_cast<size_t>(channel)];
      y.values[static_cast<size_t>(i)] = stored(y.values[static_cast<size_t>(i)] + bias, y.dtype);
      y.magnitude[static_cast<size_t>(i)] += std::abs(bias);
    }
    return Arrays{y};
  };
  for (const auto& s : c.shapes) biased.shapes.push_back({s[0], s[1], {s[1][0]}});
  biased.dtypes = r.dtypes;
  biased.gradient_of = {0, 1, 2};
  all.push_back(biased);

  Record input{.op = "Conv2DBackpropInput", .label = c.label};
  input.call = [o](auto in) {
    const Conv2dTransposeOptions options{.stride = o.stride,
                                         .padding = o.padding,
                                         .groups = o.groups,
                                         .dilation = o.dilation,
                                         .data_format = o.data_format};
    return Tensors{call("Conv2DBackpropInput", {&in[0], &in[1], &in[2]}, options)};
  };
  input.reference = [o](auto in) {
    const Convolution conv(o, in[2].shape, in[1].shape);
    return Arrays{sums(conv, Part::x, in[0], in[1], in[2].shape)};
  };
  Record weight{.op = "Conv2DBackpropFilter", .label = c.label};
  weight.call = [o](auto in) { return Tensors{call("Conv2DBackpropFilter", {&in[0], &in[1], &in[2]}, o)}; };
  weight.reference = [o](auto in) {
    const Convolution conv(o, in[0].shape, in[2].shape);
    return Arrays{sums(conv, Part::w, in[0], in[1], in[2].shape)};
  };
  for (const auto& s : c.shapes) {
    const Shape y = Convolution(o, s[0], s[1]).y();
    input.shapes.push_back({y, s[1], s[0]});
    weight.shapes.push_back({s[0], y, s[1]});
  }
  for (Record* grad : {&input, &weight}) {
    grad->dtypes = r.dtypes;
    grad->gradient_of = {0, 1};
    all.push_back(*grad);
  }
}

void add_transpose(std::vector<Record>& all, const std::string& label, const Conv2dTransposeOptions& o,
                   std::vector<std::vector<Shape>> shapes) {
  Record r{.op = "Conv2DBackpropInput", .label = "transpose, " + label};
  r.call = [o](auto in) { return Tensors{conv2d_transpose(in[0], in[1], o)}; };
  r.reference = [o](auto in) {
    const bool last = o.data_format == DataFormat::nhwc;
    const Shape &x = in[0].shape, &w = in[1].shape;
    const auto extent = [&](int64_t n, int64_t kernel, int64_t stride, int64_t dilation, int64_t pads, int64_t more) {
      return o.padding.same ? n * stride : (n - 1) * stride - pads + span_of(kernel, dilation) + more;
    };
    const Padding2d& p = o.padding;
    const int64_t channels = w[1] * o.groups;
    const int64_t height =
        extent(x[last ? 1 : 2], w[2], o.stride.h, o.dilation.h, p.top + p.bottom, o.output_padding.h);
    const int64_t width = extent(x[last ? 2 : 3], w[3], o.stride.w, o.dilation.w, p.left + p.right, o.output_padding.w);
    const Shape y = last ? Shape{x[0], height, width, channels} : Shape{x[0], channels, height, width};
    const Convolution conv({o.stride, o.padding, o.dilation, o.groups, o.data_format}, y, w);
    return Arrays{sums(conv, Part::x, in[0], in[1], y)};
  };
  r.shapes = std::move(shapes);
  r.dtypes = {float32, float64};
  r.gradient_of = {0, 1};
  all.push_back(r);
}

}  // namespace

void add_conv_records(std::vector<Record>& all) {
  for (const Case& c : cases()) add_case(all, c);
  add_transpose(all, "plain", {},
                {{{1, 1, 1, 1}, {1, 1, 1, 1}},
                 {{1, 2, 2, 3}, {2, 3, 2, 2}},
                 {{0, 2, 2, 3}, {2, 3, 2, 2}},
                 {{1, 0, 2, 3}, {0, 3, 2, 2}},
                 {{2, 40, 13, 14}, {40, 70, 3, 3}}});
  add_transpose(all, "output padding",
                {.stride = {2, 3}, .padding = {1, 0, 2, 0}, .output_padding = {1, 2}, .groups = 2, .dilation = {1, 2}},
                {{{1, 2, 2, 3}, {2, 1, 3, 2}}, {{3, 4, 9, 8}, {4, 5, 3, 3}}});
  add_transpose(all, "same, nhwc", {.stride = 2, .padding = "same", .data_format = DataFormat::nhwc},
                {{{1, 2, 3, 2}, {2, 1, 3, 3}}, {{2, 7, 8, 3}, {3, 6, 3, 3}}});
}

}  // namespace op_test
