#include <twofold/kernels/shape_check/shape_check.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include <twofold/kernels/einsum/equation.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {
namespace {

[[noreturn]] void refuse(std::string message, std::string hint = {}) {
  fail(Code::InvalidArgument, std::move(message), std::move(hint));
}

// Each check fails, or says whether what is known decides it.

/// Whether axis `i` of `s`, counted from the end, is what the last axes `wanted` say.
bool known_to_match(const Shape& s, const Shape& wanted, int i, bool& fits) {
  const auto want = wanted.extent(wanted.rank() - i), have = s.extent(s.rank() - i);
  fits = fits && (!want || !have || *want == *have);
  return !want || have.has_value();
}

bool check_wanted(const InferContext& c, const ShapeCheckAttrs& a) {
  bool fits = true, decided = true;
  for (int k = 0; k < c.num_inputs(); ++k) {
    const Shape &wanted = a.wanted[static_cast<size_t>(k)], &s = c.shape(k);
    if (!wanted.has_rank()) continue;
    decided = decided && s.has_rank();
    if (!s.has_rank()) continue;
    fits = fits && (a.what == ShapeCheck::matches ? s.rank() == wanted.rank() : s.rank() >= wanted.rank());
    for (int i = 1; fits && i <= wanted.rank(); ++i) decided = known_to_match(s, wanted, i, fits) && decided;
  }
  if (fits) return decided;
  std::string message = a.words;
  size_t at = 0;
  for (int k = 0; k < c.num_inputs(); ++k) {
    if (!a.wanted[static_cast<size_t>(k)].has_rank() || (at = message.find("{}", at)) == std::string::npos) continue;
    const std::string shape = c.shape(k).str();
    message.replace(at, 2, shape);
    at += shape.size();
  }
  refuse(message);
}

bool check_same(const InferContext& c, const ShapeCheckAttrs& a) {
  if (!c.shape(0).compatible_with(c.shape(1)))
    refuse(fmt::format("{}() needs equal shapes, but number {} has {} and number {} has {}", a.words, a.numbers[1],
                       c.shape(1).str(), a.numbers[0], c.shape(0).str()));
  return c.shape(0).is_known() && c.shape(1).is_known();
}

bool check_broadcasts(const InferContext& c, const ShapeCheckAttrs& a) {
  const Shape &from = c.shape(0), &to = c.shape(1);
  if (!from.has_rank() || !to.has_rank()) return false;
  bool fits = from.rank() <= to.rank(), decided = true;
  for (int i = 1; fits && i <= from.rank(); ++i) {
    const auto have = from.extent(from.rank() - i), want = to.extent(to.rank() - i);
    fits = !have || have == 1 || !want || *have == *want;
    decided = decided && (have == 1 || (have && want));
  }
  if (!fits)
    refuse(fmt::format("{}() of a tensor of shape {} was given {} of shape {}, which does not broadcast to it", a.words,
                       to.str(), a.name, from.str()));
  return decided;
}

bool check_channels(const InferContext& c, const ShapeCheckAttrs& a) {
  const Shape &v = c.shape(0), &x = c.shape(1);
  const int64_t axis = a.numbers[0];
  const int rank = x.rank();
  if (rank >= 0 && (rank < 2 || axis < -rank || axis >= rank))
    refuse(
        fmt::format("{}() along axis {} of a tensor of shape {}: it takes rank 2 and above", a.words, axis, x.str()));
  Shape channels = Shape::of_rank(1);
  if (rank >= 0) channels.set(0, x.extent(static_cast<int>(axis < 0 ? axis + rank : axis)));
  if (!v.compatible_with(channels))
    refuse(fmt::format("{}() of a tensor of shape {} along axis {} was given {} of shape {}; expected {}", a.words,
                       x.str(), axis, a.name, v.str(), channels.str()));
  return v.is_known() && channels.is_known();
}

bool check_mirror(const InferContext& c, const ShapeCheckAttrs& a) {
  const auto axis = static_cast<int>(a.numbers[0]);
  const int64_t before = a.numbers[1], after = a.numbers[2], slack = a.numbers[3];
  if (!c.shape(0).has_rank()) return false;
  const auto extent = c.shape(0).extent(axis);
  if (extent && std::max(before, after) > *extent - slack && (before > 0 || after > 0))
    refuse(fmt::format("pad() of axis {}, which has {} elements, by {} and {}: a mirror shows {} at most", axis,
                       *extent, before, after, std::max<int64_t>(0, *extent - slack)));
  return extent.has_value();
}

bool check_index(const InferContext& c, const ShapeCheckAttrs& a) {
  const Shape& s = c.shape(0);
  const int64_t i = a.numbers[0];
  if (!s.has_rank()) return false;
  if (s.rank() == 0) refuse("A scalar cannot be indexed", "t.item<T>()");
  if (s.knows(0) && (i < -s[0] || i >= s[0])) refuse(fmt::format("Index {} is out of range for shape {}", i, s.str()));
  return s.knows(0);
}

bool check_einsum(const InferContext& c, const ShapeCheckAttrs& a) {
  using namespace einsum_detail;
  std::vector<int> ranks;
  for (const TensorSpec& s : c.inputs()) ranks.push_back(s.shape.rank());
  const Equation e = parse(a.words, ranks);
  std::map<Label, int64_t> extents;
  bool decided = true;
  for (size_t k = 0; k < e.operands.size(); ++k) {
    const Shape& s = c.shape(static_cast<int>(k));
    decided = decided && s.is_known();
    if (!s.has_rank()) continue;
    for (size_t i = 0; i < e.operands[k].size(); ++i) {
      const auto n = s.extent(static_cast<int>(i));
      const Label label = e.operands[k][i];
      if (!n || (n == 1 && label >= kEllipsis)) continue;
      const auto [it, fresh] = extents.emplace(label, *n);
      if (it->second != *n)
        einsum_detail::refuse(a.words,
                              fmt::format("'{}' has the extents {} and {}", name_of_label(label), it->second, *n));
    }
  }
  return decided;
}

bool check(const InferContext& c) {
  const auto& a = c.attrs<ShapeCheckAttrs>();
  switch (a.what) {
    case ShapeCheck::matches:
    case ShapeCheck::ends_with: return check_wanted(c, a);
    case ShapeCheck::has_axes:
      if (c.shape(0).rank() == 0) refuse(a.words + "() of a scalar");
      return c.shape(0).has_rank();
    case ShapeCheck::same: return check_same(c, a);
    case ShapeCheck::broadcasts_to: return check_broadcasts(c, a);
    case ShapeCheck::channels: return check_channels(c, a);
    case ShapeCheck::mirror: return check_mirror(c, a);
    case ShapeCheck::index: return check_index(c, a);
    case ShapeCheck::einsum: return check_einsum(c, a);
  }
  return true;
}

}  // namespace

constinit OpDef shape_check_op{
    .key = OpKey::without_kernels("CheckShape"),
    .doc = "y = x, if its shape and those of the other inputs are as a function of other ops demands",
    .max_inputs = -1,
    .infer =
        [](InferContext& c) {
          check(c);
          c.output(c.dtype(0), c.shape(0));
        },
    .differentiable = Differentiability::rule,
    .gradient =
        [](Backward& b) {
          if (b.needs(0)) b.dx(0, b.dy());
        },
    .flags = {.alias = true},
    .attrs = &internal::kAttrsType<ShapeCheckAttrs>,
    .shape_inputs = ~1u};

Tensor internal::shape_checked(std::span<const Tensor* const> inputs, const ShapeCheckAttrs& attrs,
                               std::source_location where) {
  const SourceScope source_scope(where);
  SmallVector<TensorSpec, 4> specs;
  for (const Tensor* t : inputs) specs.push_back({t->dtype(), t->shape()});
  const bool decided = check(InferContext(shape_check_op, specs, attrs, {}));
  return decided ? *inputs[0] : apply(shape_check_op, inputs, attrs, where);
}

void register_shape_check();
void register_shape_check() { register_op(shape_check_op); }

}  // namespace twofold
