// Shape rules of the layout ops.
#include <twofold/kernels/layout/shapes.h>

#include <algorithm>
#include <string>

#include <twofold/kernels/layout/layout.h>

namespace twofold::layout {

Shape shape_operand(const InferContext& c, int i, bool& known) {
  if (c.dtype(i) != int32 && c.dtype(i) != int64)
    c.fail("A shape must be int32 or int64, got " + std::string(name_of(c.dtype(i))), "tf::cast(shape, tf::int32)");
  const Shape& s = c.shape(i);
  if (s.has_rank() && s.rank() != 1) c.fail("A shape must be a vector, got a tensor of shape " + s.brackets());
  const auto values = c.known_values(i);
  known = values.has_value();
  const int64_t rank = known ? static_cast<int64_t>(values->size()) : s.has_rank() ? s.extent(0).value_or(-1) : -1;
  if (rank > kMaxRank)
    c.fail("A tensor has at most " + std::to_string(kMaxRank) + " axes, got " + std::to_string(rank));
  if (!known) return rank < 0 ? unknown_shape : Shape::of_rank(static_cast<int>(rank));
  Shape y;
  for (const auto& extent : *values) {
    if (extent < -1 && extent) c.fail("Extents must be -1 or more, got " + std::to_string(*extent));
    known = known && extent;
    y.push_back(extent);
  }
  return y;
}

namespace {

std::string in_place(const char* what, int axis) { return std::string(what) + "[" + std::to_string(axis) + "]"; }

/// The shape asked for by operand 1 if there is one, else by the attribute.
Shape wanted_shape(const InferContext& c, bool& known) {
  if (c.num_inputs() == 2) return shape_operand(c, 1, known);
  known = true;
  const Shape& wanted = c.attrs<ShapeAttrs>().shape;
  if (!wanted.has_rank()) c.fail("The shape asked for must have a known rank");
  return wanted;
}

Shape broadcast_shape(const InferContext& c, const Shape& x, const Shape& to, bool known) {
  if (!to.has_rank()) return to;
  if (!x.has_rank()) return to;
  const auto refuse = [&] {
    c.fail("Cannot broadcast a tensor of shape " + x.brackets() + " to shape " + to.brackets());
  };
  const int lead = to.rank() - x.rank();
  if (lead < 0) refuse();
  Shape y;
  for (int i = 0; i < to.rank(); ++i) {
    const auto from = i < lead ? 1 : x.extent(i - lead);
    if (to.knows(i)) {
      if (from && *from != 1 && *from != to[i]) refuse();
      y.push_back(to[i]);
    } else if (known) {
      if (i < lead) refuse();  // there is no extent to keep
      y.push_back(from);
    } else {
      y.push_back(from == 1 ? std::nullopt : from);
    }
  }
  return y;
}

}  // namespace

void infer_reshape(InferContext& c) {
  bool known = false;
  Shape y = wanted_shape(c, known);
  const Shape& x = c.shape(0);
  if (!known) return c.output(c.dtype(0), y);
  int open = -1;
  Shape known_part;
  for (int i = 0; i < y.rank(); ++i) {
    if (y.knows(i)) {
      known_part.push_back(y[i]);
    } else if (open < 0) {
      open = i;
    } else {
      c.fail("Only one extent may be -1, got shape " + y.brackets());
    }
  }
  const int64_t given = known_part.num_elements();
  if (!x.is_known()) return c.output(c.dtype(0), y);
  const int64_t elements = x.num_elements();
  if (open >= 0 && given == 0)
    c.fail(
        "reshape cannot infer the missing input size for an empty tensor unless all specified input sizes are "
        "non-zero");
  if (open >= 0 && elements % given != 0)
    c.fail("Dimension size must be evenly divisible by " + std::to_string(given) + " but is " +
           std::to_string(elements));
  if (open >= 0) y.set(open, elements / given);
  if (open < 0 && given != elements)
    c.fail("Cannot reshape a tensor with " + std::to_string(elements) + " elements to shape " + y.brackets() + " (" +
           std::to_string(given) + " elements)");
  c.output(c.dtype(0), y);
}

void infer_reshape_like(InferContext& c) {
  const auto have = c.shape(0).known_elements(), want = c.shape(1).known_elements();
  if (have && want && *have != *want)
    c.fail("Cannot reshape a tensor with " + std::to_string(*have) + " elements to shape " + c.shape(1).brackets() +
           " (" + std::to_string(*want) + " elements)");
  c.output(c.dtype(0), c.shape(1));
}

void infer_expand_dims(InferContext& c) {
  const Axes& axes = c.attrs<AxesAttrs>().axes;
  const Shape& x = c.shape(0);
  if (!x.has_rank()) return c.output(c.dtype(0), unknown_shape);
  const int rank = x.rank() + axes.size();
  if (rank > kMaxRank)
    c.fail("A tensor has at most " + std::to_string(kMaxRank) + " axes, got " + std::to_string(rank));
  uint32_t inserted = 0;
  for (int64_t given : axes) {
    if (given < -rank || given >= rank)
      c.fail("Tried to expand dim index " + std::to_string(given) + " for tensor with " + std::to_string(x.rank()) +
             " dimensions");
    const uint32_t bit = 1u << (given < 0 ? given + rank : given);
    if (inserted & bit) c.fail("Axis " + std::to_string(given) + " is given twice");
    inserted |= bit;
  }
  Shape y;
  for (int i = 0, from = 0; i < rank; ++i) y.push_back(inserted >> i & 1 ? 1 : x.extent(from++));
  c.output(c.dtype(0), y);
}

void infer_squeeze(InferContext& c) {
  const Axes& axes = c.attrs<AxesAttrs>().axes;
  const Shape& x = c.shape(0);
  if (!x.has_rank() || (axes.empty() && !x.is_known())) return c.output(c.dtype(0), unknown_shape);
  uint32_t dropped = 0;
  for (int64_t given : axes) {
    const int i = c.axis(given, x.rank());
    if (x.knows(i) && x[i] != 1)
      c.fail("Can not squeeze dim[" + std::to_string(i) + "], expected a dimension of 1, got " + std::to_string(x[i]));
    if (dropped >> i & 1) c.fail("Axis " + std::to_string(given) + " is given twice");
    dropped |= 1u << i;
  }
  Shape y;
  for (int i = 0; i < x.rank(); ++i)
    if (axes.empty() ? x[i] != 1 : !(dropped >> i & 1)) y.push_back(x.extent(i));
  c.output(c.dtype(0), y);
}

void infer_same(InferContext& c) { c.output(c.dtype(0), c.shape(0)); }

void infer_transpose(InferContext& c) {
  const Axes& permutation = c.attrs<AxesAttrs>().axes;
  const Shape& x = c.shape(0);
  const int rank = permutation.empty() ? x.rank() : permutation.size();
  if (rank < 0) return c.output(c.dtype(0), unknown_shape);
  if (x.has_rank() && rank != x.rank())
    c.fail("Dimension must be " + std::to_string(rank) + " but is " + std::to_string(x.rank()));
  Shape y;
  uint32_t seen = 0;
  for (int i = 0; i < rank; ++i) {
    const int from = permutation.empty() ? rank - 1 - i : c.axis(permutation[i], rank);
    if (seen >> from & 1) c.fail(std::to_string(from) + " is duplicated in the permutation");
    seen |= 1u << from;
    y.push_back(x.has_rank() ? x.extent(from) : std::nullopt);
  }
  c.output(c.dtype(0), y);
}

void infer_broadcast_to(InferContext& c) {
  bool known = false;
  const Shape to = wanted_shape(c, known);
  c.output(c.dtype(0), broadcast_shape(c, c.shape(0), to, known));
}
void infer_broadcast_like(InferContext& c) { c.output(c.dtype(0), broadcast_shape(c, c.shape(0), c.shape(1), false)); }

void infer_concat(InferContext& c) {
  Shape y = unknown_shape;
  int axis = 0;
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (c.dtype(i) != c.dtype(0))
      c.fail("Tensors to concatenate must have one dtype, got " + std::string(name_of(c.dtype(0))) + " and " +
             std::string(name_of(c.dtype(i))));
    const Shape& x = c.shape(i);
    if (!x.has_rank()) continue;
    if (!y.has_rank()) {
      axis = c.axis(c.attrs<ConcatAttrs>().axis, x.rank());
      y = x;
      // Tensors of unknown rank come before this one.
      if (i > 0) y.set(axis, -1);
      continue;
    }
    if (x.rank() != y.rank())
      c.fail("Ranks of all input tensors should match: shape[0] = " + y.brackets() + " vs. shape[" + std::to_string(i) +
             "] = " + x.brackets());
    for (int d = 0; d < y.rank(); ++d) {
      if (d == axis) {
        int64_t both = -1;
        if (y.knows(d) && x.knows(d) && __builtin_add_overflow(y[d], x[d], &both))
          c.fail("The extents of axis " + std::to_string(d) + " add up beyond int64");
        y.set(d, both);
      } else if (!y.knows(d))
        y.set(d, x.extent(d));
      else if (x.knows(d) && x[d] != y[d])
        c.fail("Dimension " + std::to_string(d) + " in both shapes must be equal, but are " + std::to_string(y[d]) +
               " and " + std::to_string(x[d]) + ". Shapes are " + c.shape(0).brackets() + " and " + x.brackets());
    }
  }
  if (y.has_rank())
    for (const TensorSpec& x : c.inputs())
      if (!x.shape.has_rank()) y.set(axis, -1);
  c.output(c.dtype(0), y);
}

void infer_concat_part(InferContext& c) {
  c.output(c.dtype(0), c.shape(static_cast<int>(c.attrs<ConcatPartAttrs>().part) + 1));
}

int64_t begin_of(const Axes& begin, int axis, int64_t extent) {
  const int64_t b = axis < begin.size() ? begin[axis] : 0;
  return b < 0 ? b + extent : b;
}

Shape sliced_shape(const InferContext& c, const Shape& x, const PartialValues& begins, const PartialValues& sizes) {
  if (begins.size() > static_cast<size_t>(x.rank()) || sizes.size() > static_cast<size_t>(x.rank()))
    c.fail("Expected begin and size of length " + std::to_string(x.rank()) + ", but got " +
           std::to_string(std::max(begins.size(), sizes.size())));
  Shape y;
  for (int i = 0; i < x.rank(); ++i) {
    const auto at = static_cast<size_t>(i);
    const std::optional<int64_t> given = at < begins.size() ? begins[at] : 0;
    std::optional<int64_t> size = at < sizes.size() ? sizes[at] : -1;
    if (size && *size < -1)
      c.fail("Expected " + in_place("size", i) + " of -1 or more, but got " + std::to_string(*size));
    if (!x.knows(i) || !given) {
      y.push_back(size);
      continue;
    }
    const int64_t begin = *given < 0 ? *given + x[i] : *given;
    if (begin < 0 || begin > x[i])
      c.fail("Expected " + in_place("begin", i) + " in [" + std::to_string(-x[i]) + ", " + std::to_string(x[i]) +
             "], but got " + std::to_string(*given));
    if (size == -1) size = x[i] - begin;
    if (size && *size > x[i] - begin)
      c.fail("Expected " + in_place("size", i) + " in [0, " + std::to_string(x[i] - begin) + "], but got " +
             std::to_string(*size));
    y.push_back(size);
  }
  return y;
}

void infer_slice(InferContext& c) {
  const auto& attrs = c.attrs<SliceAttrs>();
  const bool like = c.num_inputs() == 2;
  const Shape& x = c.shape(0);
  if (!like && attrs.begin.size() != attrs.size.size())
    c.fail("begin and size must have one length, got " + std::to_string(attrs.begin.size()) + " and " +
           std::to_string(attrs.size.size()));
  if (!x.has_rank()) return c.output(c.dtype(0), like ? c.shape(1) : unknown_shape);
  if (attrs.begin.size() > x.rank() || (like && c.shape(1).has_rank() && c.shape(1).rank() != x.rank()))
    c.fail("Expected begin and size of length " + std::to_string(x.rank()) + ", but got " +
           std::to_string(like ? c.shape(1).rank() : attrs.begin.size()));
  PartialValues size(attrs.size.begin(), attrs.size.end());
  if (like) {
    size.assign(static_cast<size_t>(x.rank()), std::nullopt);
    for (int i = 0; i < c.shape(1).rank(); ++i) size[static_cast<size_t>(i)] = c.shape(1).extent(i);
  }
  c.output(c.dtype(0), sliced_shape(c, x, PartialValues(attrs.begin.begin(), attrs.begin.end()), size));
}

void infer_pad(InferContext& c) {
  const auto& attrs = c.attrs<PadAttrs>();
  const Shape& x = c.shape(0);
  const Shape& y = c.num_inputs() == 2 ? c.shape(1) : attrs.shape;
  if (x.has_rank() && y.has_rank()) {
    bool fits = x.rank() == y.rank() && attrs.begin.size() <= y.rank();
    for (int i = 0; fits && i < y.rank(); ++i) {
      if (!x.knows(i) || !y.knows(i)) continue;
      const int64_t begin = begin_of(attrs.begin, i, y[i]);
      fits = begin >= 0 && begin <= y[i] - x[i];
    }
    if (!fits) c.fail("A tensor of shape " + x.brackets() + " does not fit there into shape " + y.brackets());
  }
  c.output(c.dtype(0), y);
}

void infer_shape(InferContext& c) {
  for (int64_t extent : c.shape(0).raw())
    if (extent > INT32_MAX) c.fail("Extent " + std::to_string(extent) + " does not fit into int32");
  c.output(int32, c.shape(0).has_rank() ? Shape{c.shape(0).rank()} : Shape{-1});
}

std::optional<PartialValues> known_shape(const KnownContext& c) {
  const Shape& x = c.input(0).shape;
  if (!x.has_rank()) return {};
  PartialValues extents;
  for (int i = 0; i < x.rank(); ++i) extents.push_back(x.extent(i));
  return extents;
}

std::optional<PartialValues> known_extents(const KnownContext& c) {
  const auto& attrs = c.attrs<ExtentsAttrs>();
  PartialValues extents(attrs.numbers.begin(), attrs.numbers.end());
  for (int i = 0; i < attrs.places.size(); ++i) {
    const auto one = c.values(i);
    extents[static_cast<size_t>(attrs.places[i])] = one && one->size() == 1 ? (*one)[0] : std::nullopt;
  }
  return extents;
}

std::optional<PartialValues> known_slice(const KnownContext& c) {
  if (c.num_inputs() != 1) return {};
  const auto x = c.values(0);
  const auto& attrs = c.attrs<SliceAttrs>();
  const Shape& taken = c.result().shape;
  if (!x || !taken.is_known() || taken.rank() != 1 || attrs.begin.empty()) return {};
  const auto size = static_cast<int64_t>(x->size());
  const int64_t begin = attrs.begin[0] < 0 ? attrs.begin[0] + size : attrs.begin[0];
  if (begin < 0 || taken[0] > size - begin) return {};
  return PartialValues(x->begin() + begin, x->begin() + begin + taken[0]);
}

std::optional<PartialValues> known_concat(const KnownContext& c) {
  PartialValues joined;
  for (int i = 0; i < c.num_inputs(); ++i) {
    const auto part = c.values(i);
    if (!part) return {};
    joined.insert(joined.end(), part->begin(), part->end());
  }
  return joined;
}

}  // namespace twofold::layout
