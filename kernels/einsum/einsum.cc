#include <twofold/kernels/einsum/einsum.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include <twofold/kernels/array/array.h>
#include <twofold/kernels/cumsum/cumsum.h>
#include <twofold/kernels/einsum/equation.h>
#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/matmul/matmul.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>

namespace twofold {
namespace {

using namespace einsum_detail;

bool has(const Labels& labels, Label label) { return std::ranges::find(labels, label) != labels.end(); }
int64_t place_of(const Labels& labels, Label label) { return std::ranges::find(labels, label) - labels.begin(); }
Labels operator+(Labels a, const Labels& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A tensor whose axes have names.
struct Named {
  Tensor t;
  Labels labels;
  std::optional<int64_t> extent(size_t axis) const {
    return t.shape().has_rank() ? t.shape().extent(static_cast<int>(axis)) : std::nullopt;
  }
};

/// An extent of a reshape: the product of some axes of tensors, known or not.
using Extent = std::vector<std::pair<Tensor, int>>;

Tensor reshape_to(const Tensor& x, const std::vector<Extent>& extents) {
  Shape known;
  int open = 0;
  for (const Extent& e : extents) {
    Shape factors;
    for (const auto& [t, axis] : e) factors.push_back(t.shape().has_rank() ? t.shape().extent(axis) : std::nullopt);
    open += !factors.is_known();
    known.push_back(factors.known_elements());
  }
  if (open == 0 || (open == 1 && !std::ranges::count(known.raw(), 0))) return reshape(x, known);
  std::vector<Tensor> parts;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (const auto n = known.extent(static_cast<int>(i))) {
      parts.push_back(constant({*n}));
      continue;
    }
    Tensor product;
    for (const auto& [t, axis] : extents[i]) {
      const Tensor one = slice(shape(t), axis, 1);
      product = product.defined() ? product * one : one;
    }
    parts.push_back(product);
  }
  return reshape(x, concat(std::span<const Tensor>(parts), 0));
}

Named arranged(const Named& x, const Labels& order) {
  if (x.labels == order) return x;
  Axes permutation;
  for (Label label : order) permutation.push_back(place_of(x.labels, label));
  return {transpose(x.t, permutation), order};
}

/// The diagonals of letters that occur twice.
Named without_repetitions(Named x) {
  for (size_t i = 0; i < x.labels.size();) {
    const auto again = std::find(x.labels.begin() + static_cast<std::ptrdiff_t>(i) + 1, x.labels.end(), x.labels[i]);
    if (again == x.labels.end()) {
      ++i;
      continue;
    }
    const auto j = static_cast<size_t>(again - x.labels.begin());
    Labels rest{x.labels[i]};
    Axes permutation(i);
    for (size_t k = 0; k < x.labels.size(); ++k) {
      if (k == i || k == j) continue;
      rest.push_back(x.labels[k]);
      permutation.push_back(static_cast<int64_t>(k));
    }
    permutation.push_back(static_cast<int64_t>(j));
    const auto n = x.extent(i);
    const Tensor turned = transpose(x.t, permutation);
    // Of a known extent a value, not a node: no source is made.
    const Tensor ones =
        n ? broadcast_to(tensor(1), Shape{*n}) : broadcast_to(tensor(1), slice(shape(turned), 0, 1));
    const Tensor places = cumsum(ones, 0, {.exclusive = true});
    x = {gather(turned, places, {.axis = -1, .batch_dims = 1}), rest};
    i = 0;
  }
  return x;
}

/// Sums over the axes of which `wanted` is false.
template <class F>
Named summed(const Named& x, F wanted) {
  Axes axes;
  Labels kept;
  for (Label label : x.labels) wanted(label) ? kept.push_back(label) : axes.push_back(place_of(x.labels, label));
  return axes.empty() ? x : Named{sum(x.t, axes), kept};
}

/// x with axes of extent 1 where it lacks labels of `order`.
Tensor widened(const Named& x, const Labels& order) {
  Labels own;
  Axes inserted;
  for (Label label : order) has(x.labels, label) ? own.push_back(label) : inserted.push_back(place_of(order, label));
  const Named a = arranged(x, own);
  return inserted.empty() ? a.t : expand_dims(a.t, inserted);
}

/// The product of a and b, summed over the labels that both have and for which `wanted` is false.
template <class F>
Named contracted(std::string_view text, const Named& a, const Named& b, F wanted) {
  Labels batch, left, right, inner;
  for (const Named* x : {&a, &b})
    for (Label label : x->labels)
      if (label >= kEllipsis && !has(batch, label)) batch.push_back(label);
  std::ranges::sort(batch, std::greater<>());
  for (Label label : a.labels)
    if (label < kEllipsis) (!has(b.labels, label) ? left : wanted(label) ? batch : inner).push_back(label);
  for (Label label : b.labels)
    if (label < kEllipsis && !has(a.labels, label)) right.push_back(label);
  const bool product = !inner.empty();
  const Labels result = batch + left + right;
  if (std::max(batch.size() + (product ? 2 : 0), result.size()) > static_cast<size_t>(kMaxRank))
    fail(Code::Unimplemented, fmt::format("einsum(\"{}\") goes through a tensor of more than {} axes", text, kMaxRank));
  if (!product) return {widened(a, result) * widened(b, result), result};

  // Matrices (left, inner) and (inner, right), or transposed where they lie so; groups of axes become one.
  const auto matrix = [&](const Named& x, const Labels& rows, const Labels& columns, bool& turned) {
    Labels own;
    for (Label label : batch)
      if (has(x.labels, label)) own.push_back(label);
    turned = x.labels != own + rows + columns && x.labels == own + columns + rows;
    const Labels &first = turned ? columns : rows, &second = turned ? rows : columns;
    Tensor t = widened(x, batch + first + second);
    if (first.size() == 1 && second.size() == 1) return t;
    std::vector<Extent> extents;
    int axis = 0;
    for (size_t k = 0; k < batch.size(); ++k) extents.push_back({{t, axis++}});
    for (const Labels* group : {&first, &second}) {
      extents.emplace_back();
      for (size_t k = 0; k < group->size(); ++k) extents.back().emplace_back(t, axis++);
    }
    return reshape_to(t, extents);
  };
  MatMulOptions turned;
  const Tensor x = matrix(a, left, inner, turned.transpose_a), y = matrix(b, inner, right, turned.transpose_b);
  const Tensor z = matmul(x, y, turned);
  if (left.size() == 1 && right.size() == 1) return {z, result};
  std::vector<Extent> extents;
  for (size_t k = 0; k < batch.size(); ++k) extents.push_back({{z, static_cast<int>(k)}});
  for (Label label : left) extents.push_back({{a.t, static_cast<int>(place_of(a.labels, label))}});
  for (Label label : right) extents.push_back({{b.t, static_cast<int>(place_of(b.labels, label))}});
  return {reshape_to(z, extents), result};
}

}  // namespace

Tensor einsum(std::string_view equation, std::span<const Tensor> operands, std::source_location where) {
  const SourceScope source_scope(where);
  std::vector<int> ranks;
  for (size_t i = 0; i < operands.size(); ++i) {
    check_input("einsum", i, operands[i], where);
    ranks.push_back(operands[i].rank());
  }
  const Equation e = parse(equation, ranks);
  // Extents that only the run knows are checked there, by an op that the first operand goes through.
  std::vector<const Tensor*> all;
  for (const Tensor& t : operands) all.push_back(&t);
  const Tensor first =
      internal::shape_checked(all, {.what = ShapeCheck::einsum, .words = std::string(equation)}, where);
  std::vector<Named> named;
  DType dtype = operands.empty() ? float32 : operands[0].dtype();
  for (const Tensor& t : operands) dtype = promote(dtype, t.dtype());
  for (size_t i = 0; i < operands.size(); ++i)
    named.push_back({cast(i == 0 ? first : operands[i], dtype), e.operands[i]});
  // Labels of one operand alone are summed first.
  for (size_t i = 0; i < named.size(); ++i)
    named[i] = summed(without_repetitions(named[i]), [&](Label label) {
      bool wanted = has(e.result, label);
      for (size_t k = 0; k < named.size(); ++k) wanted = wanted || (k != i && has(e.operands[k], label));
      return wanted;
    });
  Named total = named[0];
  for (size_t i = 1; i < named.size(); ++i)
    total = contracted(equation, total, named[i], [&](Label label) {
      bool wanted = has(e.result, label);
      for (size_t k = i + 1; k < named.size(); ++k) wanted = wanted || has(named[k].labels, label);
      return wanted;
    });
  total.t = widened(total, e.result);
  return std::ranges::any_of(operands, [&](const Tensor& t) { return t.same_as(total.t); }) ? identity(total.t)
                                                                                            : total.t;
}

Tensor einsum(std::string_view equation, std::initializer_list<Operand> operands, std::source_location where) {
  const SourceScope source_scope(where);
  return einsum(equation, resolve_all(operands, "einsum"), where);
}

}  // namespace twofold
