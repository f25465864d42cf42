// Ops that move elements, in ONNX.
#include <algorithm>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pad/pad.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/lib/saved/onnx_rules.h>

namespace twofold::saved {
namespace {

OnnxInts list(const Axes& axes) { return {axes.begin(), axes.end()}; }

/// A vector of places or extents, int64.
std::string vector_in(OnnxOp& c, int i) { return c.dtype(i) == int64 ? c.in(i) : c.cast(c.in(i), int64); }

/// x under a shape that is a value; 0 is an extent.
std::string reshaped(OnnxOp& c, const std::string& shape) {
  return c.add("Reshape", {c.in(0), shape}, {{"allowzero", int64_t{1}}});
}

void reshape(OnnxOp& c) {
  if (c.num_inputs() == 2) return c.set(reshaped(c, vector_in(c, 1)));
  const auto raw = c.attrs<ShapeAttrs>().shape.raw();
  const OnnxInts to(raw.begin(), raw.end());
  if (std::ranges::count(to, 0)) return c.set(reshaped(c, c.ints(to)));
  c.set(c.add("Reshape", {c.in(0), c.ints(to)}));
}
void reshape_like(OnnxOp& c) { c.set(reshaped(c, c.shape_of(1))); }

void expand_dims(OnnxOp& c) {
  const Axes& axes = c.attrs<AxesAttrs>().axes;
  c.set(axes.empty() ? c.in(0) : c.add("Unsqueeze", {c.in(0), c.ints(list(axes))}));
}
void squeeze(OnnxOp& c) {
  const Axes& axes = c.attrs<AxesAttrs>().axes;
  c.set(axes.empty() ? c.add("Squeeze", {c.in(0)}) : c.add("Squeeze", {c.in(0), c.ints(list(axes))}));
}

void transpose(OnnxOp& c) {
  OnnxInts permutation = list(c.attrs<AxesAttrs>().axes);
  if (permutation.empty()) return c.set(c.add("Transpose", {c.in(0)}));
  for (int64_t& p : permutation) p += p < 0 ? static_cast<int64_t>(permutation.size()) : 0;
  c.set(c.transposed(c.in(0), permutation));
}

// ONNX broadcasts both ways: where the shape says 1, x's extent stays.
void broadcast_to(OnnxOp& c) {
  if (c.num_inputs() == 1) {
    OnnxInts to;
    for (int64_t d : c.attrs<ShapeAttrs>().shape.raw()) to.push_back(d < 0 ? 1 : d);
    return c.set(c.add("Expand", {c.in(0), c.ints(to)}));
  }
  const std::string to = vector_in(c, 1), open = c.add("Less", {to, c.number(0, int64)});
  c.set(c.add("Expand", {c.in(0), c.add("Where", {open, c.number(1, int64), to})}));
}
void broadcast_like(OnnxOp& c) { c.set(c.add("Expand", {c.in(0), c.shape_of(1)})); }

void concat(OnnxOp& c) {
  OnnxNames parts;
  for (int i = 0; i < c.num_inputs(); ++i) parts.push_back(c.in(i));
  c.set(c.add("Concat", parts, {{"axis", c.attrs<ConcatAttrs>().axis}}));
}
void concat_part(OnnxOp& c) {
  const auto [axis, part] = c.attrs<ConcatPartAttrs>().fields();
  std::string begin = c.ints({0});
  for (int i = 0; i < part; ++i) begin = c.add("Add", {begin, c.extent_of(i + 1, axis)});
  const std::string end = c.add("Add", {begin, c.extent_of(static_cast<int>(part) + 1, axis)});
  c.set(c.add("Slice", {c.in(0), begin, end, c.ints({axis})}));
}

OnnxInts first_axes(int64_t n) {
  OnnxInts axes;
  for (int64_t i = 0; i < n; ++i) axes.push_back(i);
  return axes;
}

/// Where slices begin that may be counted from the ends of x's first axes.
std::string counted_from_start(OnnxOp& c, const std::string& begin, const std::string& extents) {
  const std::string back = c.add("Less", {begin, c.number(0, int64)});
  return c.add("Where", {back, c.add("Add", {begin, extents}), begin});
}

void slice(OnnxOp& c) {
  const SliceAttrs& a = c.attrs<SliceAttrs>();
  if (c.num_inputs() == 2) {  // as many of each as input 1 has
    const int rank = c.known_rank(1);
    OnnxInts begin = list(a.begin);
    begin.resize(static_cast<size_t>(rank));
    const std::string from = counted_from_start(c, c.ints(begin), c.shape_of(0));
    return c.set(c.add("Slice", {c.in(0), from, c.add("Add", {from, c.shape_of(1)}), c.ints(first_axes(rank))}));
  }
  OnnxInts begin = list(a.begin), end;
  for (int i = 0; i < a.begin.size(); ++i) {
    const int64_t size = i < a.size.size() ? a.size[i] : -1, last = a.begin[i] + size;
    end.push_back(size < 0 || (a.begin[i] < 0 && last >= 0) ? INT64_MAX : last);
  }
  if (begin.empty()) return c.set(c.in(0));
  c.set(c.add("Slice", {c.in(0), c.ints(begin), c.ints(end), c.ints(first_axes(static_cast<int64_t>(begin.size())))}));
}

void slice_at(OnnxOp& c) {
  const std::string begin = vector_in(c, 1), size = vector_in(c, 2), n = c.add("Shape", {begin});
  const std::string extents = c.add("Slice", {c.shape_of(0), c.ints({0}), n, c.ints({0})});
  const std::string from = counted_from_start(c, begin, extents);
  const std::string open = c.add("Less", {size, c.number(0, int64)});
  const std::string to = c.add("Where", {open, extents, c.add("Add", {from, size})});
  const std::string axes = c.add("Range", {c.number(0, int64), c.add("Squeeze", {n, c.ints({0})}), c.number(1, int64)});
  c.set(c.add("Slice", {c.in(0), from, to, axes}));
}

/// x with zeros before and behind it, in the shape that `whole` is.
void padded_to(OnnxOp& c, int x, const std::string& begin, const std::string& whole) {
  const std::string from = counted_from_start(c, begin, whole);
  const std::string behind = c.add("Sub", {c.add("Sub", {whole, from}), c.shape_of(x)});
  c.set(c.add("Pad", {c.in(x), c.joined({from, behind})}));
}
void pad_like(OnnxOp& c) {
  const PadAttrs& a = c.attrs<PadAttrs>();
  OnnxInts begin = list(a.begin);
  begin.resize(static_cast<size_t>(c.known_rank(0)));
  if (c.num_inputs() == 2) return padded_to(c, 0, c.ints(begin), c.shape_of(1));
  const auto raw = a.shape.raw();
  padded_to(c, 0, c.ints(begin), c.ints({raw.begin(), raw.end()}));
}
void pad_at(OnnxOp& c) {
  const int rank = c.known_rank(0);
  std::string begin = vector_in(c, 2);
  if (!c.shape(2).has_rank() || !c.shape(2).knows(0)) c.refuse("how many places it has is not known");
  const OnnxInts rest(static_cast<size_t>(rank - c.shape(2)[0]));
  if (!rest.empty()) begin = c.joined({begin, c.ints(rest)});
  padded_to(c, 1, begin, c.shape_of(0));
}

void filled(OnnxOp& c, int value) {
  c.set(c.add("ConstantOfShape", {c.shape_of(0)}, {{"value", std::pair(c.dtype(0), Number(value))}}));
}
void zeros_like(OnnxOp& c) { filled(c, 0); }
void ones_like(OnnxOp& c) { filled(c, 1); }

void shape(OnnxOp& c) { c.set(c.cast(c.shape_of(0), int32)); }

void extents(OnnxOp& c) {
  const ExtentsAttrs& a = c.attrs<ExtentsAttrs>();
  OnnxNames parts;
  OnnxInts known;
  int input = 0;
  const auto flush = [&] {
    if (!known.empty()) parts.push_back(c.ints(known));
    known.clear();
  };
  for (int64_t i = 0; i < a.numbers.size(); ++i) {
    if (std::ranges::find(a.places, i) == a.places.end()) {
      known.push_back(a.numbers[static_cast<int>(i)]);
      continue;
    }
    flush();
    parts.push_back(c.add("Reshape", {vector_in(c, input++), c.ints({1})}));
  }
  flush();
  c.set(c.joined(parts));
}

void pad(OnnxOp& c) {
  const PadConstantAttrs& a = c.attrs<PadConstantAttrs>();
  OnnxInts pads = list(a.before);
  pads.insert(pads.end(), a.after.begin(), a.after.end());
  if (std::ranges::count(pads, 0) == std::ssize(pads)) return c.set(c.in(0));
  c.set(c.add("Pad", {c.in(0), c.ints(pads), c.number(a.value, c.dtype(0))}));
}
void pad_by(OnnxOp& c) {
  const std::string pads = c.joined({vector_in(c, 1), vector_in(c, 2)});
  c.set(c.add("Pad", {c.in(0), pads, c.number(c.attrs<PadByAttrs>().value, c.dtype(0))}));
}

void strided_slice(OnnxOp& c) {
  const StridedSliceAttrs& a = c.attrs<StridedSliceAttrs>();
  if (a.begin.empty()) return c.set(c.in(0));
  OnnxInts begin, end;
  for (int i = 0; i < a.begin.size(); ++i) {
    const bool forward = a.strides[i] > 0;
    begin.push_back(a.begin[i] != omitted ? a.begin[i] : forward ? 0 : INT64_MAX);
    end.push_back(a.end[i] != omitted ? a.end[i] : forward ? INT64_MAX : INT64_MIN);
  }
  c.set(c.add("Slice",
              {c.in(0), c.ints(begin), c.ints(end), c.ints(first_axes(a.begin.size())), c.ints(list(a.strides))}));
}
void reverse(OnnxOp& c) {
  const Axes& axes = c.attrs<ReverseAttrs>().axes;
  if (axes.empty()) return c.set(c.in(0));
  const auto n = static_cast<size_t>(axes.size());
  c.set(c.add("Slice", {c.in(0), c.ints(OnnxInts(n, -1)), c.ints(OnnxInts(n, INT64_MIN)), c.ints(list(axes)),
                        c.ints(OnnxInts(n, -1))}));
}

// clang-format off
constexpr OnnxRule kLayout[] = {
    {"Reshape", "Reshape", kAllDTypes, reshape},
    {"ReshapeLike", "Shape, Reshape", kAllDTypes, reshape_like},
    {"ExpandDims", "Unsqueeze", kAllDTypes, expand_dims},
    {"Squeeze", "Squeeze", kAllDTypes, squeeze},
    {"Identity", "nothing", kAllDTypes, onnx_alias},
    {"StopGradient", "nothing", kAllDTypes, onnx_alias},
    {"WithEffects", "nothing", kAllDTypes, onnx_alias},
    {"Transfer", "nothing", kAllDTypes, onnx_alias},
    {"CheckShape", "nothing", kAllDTypes, onnx_alias},
    {"EnsureShape", "nothing", kAllDTypes, onnx_alias},
    {"Transpose", "Transpose", kAllDTypes, transpose},
    {"BroadcastTo", "Expand", kAllDTypes, broadcast_to},
    {"BroadcastLike", "Shape, Expand", kAllDTypes, broadcast_like},
    {"ConcatV2", "Concat", kAllDTypes, concat},
    {"ConcatPart", "Shape, Slice", kAllDTypes, concat_part},
    {"Slice", "Slice", kAllDTypes, slice},
    {"SliceAt", "Shape, Slice", kAllDTypes, slice_at},
    {"PadLike", "Shape, Pad", kAllDTypes, pad_like},
    {"PadAt", "Shape, Pad", kFloats, pad_at},
    {"ZerosLike", "Shape, ConstantOfShape", kAllDTypes, zeros_like},
    {"OnesLike", "Shape, ConstantOfShape", kAllDTypes, ones_like},
    {"Shape", "Shape, Cast", kAllDTypes, shape},
    {"Extents", "Concat", dtypes({int32, int64}), extents},
    {"Pad", "Pad", kAllDTypes, pad},
    {"PadBy", "Pad", kAllDTypes, pad_by},
    {"StridedSlice", "Slice", kAllDTypes, strided_slice},
    {"ReverseV2", "Slice", kAllDTypes, reverse},
};
// clang-format on

}  // namespace

std::span<const OnnxRule> onnx_layout_rules() { return kLayout; }

}  // namespace twofold::saved
