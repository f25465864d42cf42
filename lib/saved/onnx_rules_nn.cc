// Reductions, products, convolutions, pools and what looks up, in ONNX.
#include <algorithm>
#include <optional>

#include <twofold/kernels/conv2d/conv2d.h>
#include <twofold/kernels/cumsum/cumsum.h>
#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/matmul/matmul.h>
#include <twofold/kernels/pool2d/problem.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/softmax/softmax.h>
#include <twofold/kernels/top_k/top_k.h>
#include <twofold/kernels/window2d/axes.h>
#include <twofold/lib/saved/onnx_rules.h>

namespace twofold::saved {
namespace {

OnnxInts list(const Axes& axes) { return {axes.begin(), axes.end()}; }

// Reductions.

std::string summed(OnnxOp& c, const std::string& x, const Axes& axes, bool keepdims) {
  OnnxNames inputs{x};
  if (!axes.empty()) inputs.push_back(c.ints(list(axes)));
  return c.add("ReduceSum", inputs, {{"keepdims", int64_t{keepdims}}});
}
std::string reduced(OnnxOp& c, std::string_view type, const std::string& x, const Axes& axes, bool keepdims) {
  OnnxAttributes attributes{{"keepdims", int64_t{keepdims}}};
  if (!axes.empty()) attributes.push_back({"axes", list(axes)});
  return c.add(type, {x}, attributes);
}
void sum(OnnxOp& c) {
  const auto [axes, keepdims] = c.attrs<ReduceAttrs>().fields();
  c.set_narrow(0, summed(c, c.wide_in(0), axes, keepdims));
}
void reduce(OnnxOp& c) {
  const auto [axes, keepdims] = c.attrs<ReduceAttrs>().fields();
  c.set_narrow(0, reduced(c, c.rule().onnx, c.wide_in(0), axes, keepdims));
}

/// How many elements are reduced to one, a scalar.
std::string count(OnnxOp& c, const Axes& axes, DType dtype) {
  std::string extents = c.shape_of(0);
  if (!axes.empty()) extents = c.add("Gather", {extents, c.ints(list(axes))});
  return c.cast(reduced(c, "ReduceProd", extents, {}, false), dtype);
}
void reduced_count(OnnxOp& c) { c.set(count(c, c.attrs<ReduceAttrs>().axes, c.dtype(0))); }

void sum_of_squares(OnnxOp& c) {
  const SumOfSquaresAttrs& a = c.attrs<SumOfSquaresAttrs>();
  const std::string x = a.dtype == c.dtype(0) ? c.in(0) : c.cast(c.in(0), a.dtype), squares = c.add("Mul", {x, x});
  std::string y;
  if (a.mean && a.correction == 0) {
    y = reduced(c, "ReduceMean", squares, a.axes, a.keepdims);
  } else {
    y = summed(c, squares, a.axes, a.keepdims);
    if (a.mean) {
      const std::string n = c.add("Sub", {count(c, a.axes, a.dtype), c.number(a.correction, a.dtype)});
      y = c.add("Div", {y, c.add("Max", {n, c.number(0, a.dtype)})});
    }
  }
  if (a.epsilon != 0) y = c.add("Add", {y, c.number(a.epsilon, a.dtype)});
  c.set(a.root ? c.add("Sqrt", {y}) : y);
}

/// Of the maximum of k and their places, int64, along an axis.
OnnxNames top(OnnxOp& c, const std::string& x, int64_t k, int64_t axis) {
  return c.add_all("TopK", {x, c.ints({k})}, 2, {{"axis", axis}});
}
void argmax(OnnxOp& c) {
  const auto [axis, keepdims] = c.attrs<ArgMaxAttrs>().fields();
  if (c.dtype(0) != int64)
    return c.set(c.add("ArgMax", {c.wide_in(0)}, {{"axis", axis}, {"keepdims", int64_t{keepdims}}}));
  const std::string places = top(c, c.in(0), 1, axis)[1];  // ONNX Runtime has no ArgMax of int64
  c.set(keepdims ? places : c.add("Squeeze", {places, c.ints({axis})}));
}
void top_k(OnnxOp& c) {
  const OnnxNames found = top(c, c.wide_in(0), c.attrs<TopKAttrs>().k, -1);
  c.set_narrow(0, found[0]);
  c.set(1, c.cast(found[1], int32));
}

// The sum over the axes that a shape does not have, or has with extent 1, under that shape.
void sum_to(OnnxOp& c) {
  const Shape& to = c.attrs<SumToAttrs>().shape;
  OnnxInts axes;
  const int lead = c.known_rank(0) - to.rank();
  for (int i = 0; i < c.shape(0).rank(); ++i)
    if (i < lead || to[i - lead] == 1) axes.push_back(i);
  std::string y = c.wide_in(0);
  if (!axes.empty()) y = c.add("ReduceSum", {y, c.ints(axes)});
  c.set_narrow(0, c.add("Reshape", {y, c.ints({to.raw().begin(), to.raw().end()})}, {{"allowzero", int64_t{1}}}));
}
void sum_to_like(OnnxOp& c) {
  const int lead = c.known_rank(0) - c.known_rank(1);
  const std::string to = c.shape_of(1);
  const std::string extents = lead ? c.joined({c.ints(OnnxInts(static_cast<size_t>(lead), 1)), to}) : to;
  const std::string ones = c.add("NonZero", {c.add("Equal", {extents, c.number(1, int64)})});
  const std::string axes = c.add("Reshape", {ones, c.ints({-1})});
  const std::string y = c.add("ReduceSum", {c.wide_in(0), axes}, {{"noop_with_empty_axes", int64_t{1}}});
  c.set_narrow(0, c.add("Reshape", {y, to}, {{"allowzero", int64_t{1}}}));
}

void cumsum(OnnxOp& c) {
  const CumsumAttrs& a = c.attrs<CumsumAttrs>();
  c.set_narrow(0, c.add("CumSum", {c.wide_in(0), c.number(a.axis, int64)},
                        {{"exclusive", int64_t{a.exclusive}}, {"reverse", int64_t{a.reverse}}}));
}
void softmax(OnnxOp& c) { c.set(c.add(c.rule().onnx, {c.in(0)}, {{"axis", c.attrs<SoftmaxAttrs>().axis}})); }

// Products.

void matmul(OnnxOp& c) {
  const auto [transpose_a, transpose_b] = c.attrs<MatMulAttrs>().fields();
  const auto operand = [&](int i, bool transpose) {
    if (!transpose) return c.in(i);
    OnnxInts permutation;
    const int rank = c.known_rank(i);
    for (int k = 0; k < rank; ++k) permutation.push_back(k < rank - 2 ? k : 2 * rank - 3 - k);
    return c.transposed(c.in(i), permutation);
  };
  c.set(c.add("MatMul", {operand(0, transpose_a), operand(1, transpose_b)}));
}

// Windows over images, which ONNX lays out NCHW.

const OnnxInts kToNchw = {0, 3, 1, 2}, kToNhwc = {0, 2, 3, 1};

std::string image_in(OnnxOp& c, DataFormat format) {
  return format == DataFormat::nchw ? c.in(0) : c.transposed(c.in(0), kToNchw);
}
void set_image(OnnxOp& c, const std::string& y, DataFormat format) {
  c.set(format == DataFormat::nchw ? y : c.transposed(y, kToNhwc));
}

/// "pads" of both axes, or "auto_pad" where they follow from an image that only the run knows.
OnnxAttribute pads(OnnxOp& c, WindowAxis h, WindowAxis w, DataFormat format, bool is_pool) {
  const ImageAxes places(format);
  OnnxInts before, after;
  for (auto [axis, place] : {std::pair(h, places.h), std::pair(w, places.w)}) {
    if (!axis.same) {
      before.push_back(axis.before), after.push_back(axis.after);
      continue;
    }
    const auto in = c.shape(0).has_rank() ? c.shape(0).extent(place) : std::nullopt;
    if (axis.kernel < 0 || (!in && axis.stride != 1)) {
      // What runtimes work out themselves: no dilations, and with windows narrower than steps pools of ONNX Runtime
      // fail.
      if (h.dilation != 1 || w.dilation != 1 || (is_pool && std::min(h.kernel - h.stride, w.kernel - w.stride) < 0))
        c.refuse("its padding \"same\" follows from the image, whose extents are not known",
                 "{.shapes = {{-1, 3, 224, 224}}} in tf::function's options");
      return {"auto_pad", std::string_view("SAME_UPPER")};
    }
    const int64_t out = in ? (*in + axis.stride - 1) / axis.stride : 0;
    // Steps of 1 need one less than a window spans, whatever the image.
    const int64_t all = in ? std::max<int64_t>((out - 1) * axis.stride + axis.window() - *in, 0) : axis.window() - 1;
    before.push_back(all / 2), after.push_back(all - all / 2);
  }
  before.insert(before.end(), after.begin(), after.end());
  return {"pads", before};
}

int64_t extent_or(const Shape& s, int axis, int64_t otherwise) {
  return s.has_rank() ? s.extent(axis).value_or(otherwise) : otherwise;
}

void conv2d(OnnxOp& c) {
  const Conv2dOptions& o = c.attrs<Conv2dOptions>();
  const int64_t kh = extent_or(c.shape(1), 2, -1), kw = extent_or(c.shape(1), 3, -1);
  OnnxAttributes attributes{{"strides", OnnxInts{o.stride.h, o.stride.w}},
                            {"dilations", OnnxInts{o.dilation.h, o.dilation.w}},
                            {"group", o.groups},
                            pads(c, vertical_axis(o, kh), horizontal_axis(o, kw), o.data_format, false)};
  if (kh > 0 && kw > 0) attributes.push_back({"kernel_shape", OnnxInts{kh, kw}});
  OnnxNames inputs{image_in(c, o.data_format), c.in(1)};
  if (c.num_inputs() == 3) inputs.push_back(c.in(2));
  set_image(c, c.add("Conv", inputs, attributes), o.data_format);
}

void conv2d_transpose(OnnxOp& c) {
  if (c.num_inputs() == 3) c.refuse("it is the gradient of a convolution, and ONNX models are for inference");
  const Conv2dTransposeOptions& o = c.attrs<Conv2dTransposeOptions>();
  OnnxInts before, after, more{o.output_padding.h, o.output_padding.w};
  size_t i = 0;
  for (const WindowAxis& axis :
       {vertical_axis(o, extent_or(c.shape(1), 2, -1)), horizontal_axis(o, extent_or(c.shape(1), 3, -1))}) {
    if (axis.same && axis.kernel < 0)
      c.refuse("padding \"same\" follows from the kernel's extents, which are not known");
    // "same" makes each input `stride` outputs: what a window spans beyond is cut off, what it lacks is added.
    const int64_t all = axis.same ? axis.window() - axis.stride : 0;
    before.push_back(axis.same ? std::max<int64_t>(all, 0) / 2 : axis.before);
    after.push_back(axis.same ? std::max<int64_t>(all, 0) - before.back() : axis.after);
    if (all < 0) more[i] = -all;
    ++i;
  }
  before.insert(before.end(), after.begin(), after.end());
  const std::string y = c.add("ConvTranspose", {image_in(c, o.data_format), c.in(1)},
                              {{"strides", OnnxInts{o.stride.h, o.stride.w}},
                               {"dilations", OnnxInts{o.dilation.h, o.dilation.w}},
                               {"group", o.groups},
                               {"pads", before},
                               {"output_padding", more}});
  set_image(c, y, o.data_format);
}

void pool(OnnxOp& c) {
  const Pool2dAttrs& a = c.attrs<Pool2dAttrs>();
  const OnnxAttribute padding = pads(c, pool_axis(a, true), pool_axis(a, false), a.data_format, true);
  OnnxAttributes attributes{{"kernel_shape", OnnxInts{a.kernel_size.h, a.kernel_size.w}},
                            {"strides", OnnxInts{a.stride.h, a.stride.w}},
                            padding};
  if (c.rule().onnx == "AveragePool") attributes.push_back({"count_include_pad", int64_t{a.count_include_pad}});
  set_image(c, c.add(c.rule().onnx, {image_in(c, a.data_format)}, attributes), a.data_format);
}

// Looking up.

void gather(OnnxOp& c) {
  int64_t axis = c.attrs<GatherAttrs>().axis, batch = c.attrs<GatherAttrs>().batch_dims;
  if (batch < 0) batch += c.known_rank(1);
  if (batch == 0) return c.set(c.add("Gather", {c.in(0), c.in(1)}, {{"axis", axis}}));
  // GatherND looks up along the axis behind the batch: the axis is brought there, and what came before it back.
  const int rank = c.known_rank(0), of_indices = c.known_rank(1);
  if (axis < 0) axis += rank;
  OnnxInts there;
  for (int64_t i = 0; i < batch; ++i) there.push_back(i);
  there.push_back(axis);
  for (int64_t i = batch; i < rank; ++i)
    if (i != axis) there.push_back(i);
  const std::string params = axis == batch ? c.in(0) : c.transposed(c.in(0), there);
  const std::string indices = c.dtype(1) == int64 ? c.in(1) : c.cast(c.in(1), int64);
  const std::string y =
      c.add("GatherND", {params, c.add("Unsqueeze", {indices, c.ints({-1})})}, {{"batch_dims", batch}});
  if (axis == batch) return c.set(y);
  const int64_t taken = of_indices - batch, outer = axis - batch;  // axes of y: batch, taken, outer, inner
  OnnxInts back;
  for (int64_t i = 0; i < batch; ++i) back.push_back(i);
  for (int64_t i = 0; i < outer; ++i) back.push_back(batch + taken + i);
  for (int64_t i = 0; i < taken; ++i) back.push_back(batch + i);
  for (int64_t i = batch + taken + outer; i < of_indices + rank - 1 - batch; ++i) back.push_back(i);
  c.set(c.transposed(y, back));
}

void scatter_add(OnnxOp& c) {
  const GatherAttrs& a = c.attrs<GatherAttrs>();
  if (a.batch_dims != 0 || (a.axis != 0 && a.axis + c.known_rank(2) != 0))
    c.refuse("ONNX adds at indices along the first axis only");
  const DType t = OnnxOp::wide(c.dtype(0));
  const std::string zeros = c.add("ConstantOfShape", {c.shape_of(2)}, {{"value", std::pair(t, Number(0))}});
  const std::string indices = c.dtype(1) == int64 ? c.in(1) : c.cast(c.in(1), int64);
  c.set_narrow(0, c.add("ScatterND", {zeros, c.add("Unsqueeze", {indices, c.ints({-1})}), c.wide_in(0)},
                        {{"reduction", std::string_view("add")}}));
}

// clang-format off
constexpr DTypes kProducts = dtypes({float32, float64, int32, int64});
constexpr OnnxRule kNn[] = {
    {"Sum", "ReduceSum", kNumbers, sum},
    {"Mean", "ReduceMean", kFloats, reduce},
    {"Max", "ReduceMax", kNumbers, reduce},
    {"Min", "ReduceMin", kNumbers, reduce},
    {"Prod", "ReduceProd", kNumbers, reduce},
    {"ReducedCount", "Shape, ReduceProd", kFloats, reduced_count},
    {"SumOfSquares", "Mul, ReduceSum or ReduceMean, Sqrt", kFloats, sum_of_squares},
    {"SumTo", "ReduceSum, Reshape", kNumbers, sum_to},
    {"SumToLike", "Shape, ReduceSum, Reshape", kNumbers, sum_to_like},
    {"ArgMax", "ArgMax", kNumbers, argmax},
    {"TopK", "TopK", kNumbers, top_k},
    {"Cumsum", "CumSum", kNumbers, cumsum},
    {"Softmax", "Softmax", kFloats, softmax},
    {"LogSoftmax", "LogSoftmax", kFloats, softmax},
    {"MatMul", "Transpose, MatMul", kProducts, matmul},
    {"Conv2D", "Conv", kFloats, conv2d},
    {"Conv2DBackpropInput", "ConvTranspose", kFloats, conv2d_transpose},
    {"MaxPool2D", "MaxPool", kFloats, pool},
    {"AvgPool2D", "AveragePool", kFloats, pool},
    {"Gather", "Gather or GatherND", kAllDTypes, gather},
    {"ScatterAdd", "ScatterND", kNumbers, scatter_add},
};
// clang-format on

}  // namespace

std::span<const OnnxRule> onnx_nn_rules() { return kNn; }

}  // namespace twofold::saved
