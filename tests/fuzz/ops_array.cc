// Sources, layout, reductions, products.
#include <algorithm>
#include <numeric>

#include "generator.h"
#include "ops.h"

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/opdef.h>

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;

bool any_value(Generator& g, Instruction& i) {
  i.inputs = {g.pick([](int) { return true; })};
  return i.inputs[0] >= 0;
}
bool ranked(Generator& g, Instruction& i, int min_rank, bool floating) {
  const int x = g.pick([&](int v) {
    return g.shape(v).rank() >= min_rank && (floating ? tf::is_floating(g.dtype(v)) : g.dtype(v) != tf::bool_);
  });
  i.inputs = {x};
  return x >= 0;
}

bool propose_leaf(Generator& g, Instruction& i) {
  i.dtype = g.any_dtype();
  i.shape = g.any_shape();
  i.data = g.rng().next() >> 32;
  return true;
}

bool propose_placeholder(Generator& g, Instruction& i) {
  propose_leaf(g, i);
  i.declared = i.shape;
  if (g.rng().one_in(6)) {
    i.declared = tf::unknown_shape;
  } else if (g.rng().one_in(3)) {
    for (int k = 0; k < i.shape.rank(); ++k)
      if (g.rng().one_in(2)) i.declared.set(k, -1);
  }
  return true;
}

/// A full shape of `n` elements.
tf::Shape factored(Generator& g, int64_t n) {
  tf::Shape s;
  for (int64_t f : {2, 3, 5, 7})
    if (n > 0 && n % f == 0 && g.rng().one_in(2)) s.push_back(f), n /= f;
  s.push_back(n);
  if (g.rng().one_in(3)) s.push_back(1);
  return s;
}

bool propose_reshape(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  const tf::Shape& x = g.shape(i.inputs[0]);
  const int64_t n = x.num_elements();
  i.shape = n == 0 ? x : factored(g, n);
  if (n > 0 && g.rng().one_in(2)) i.shape.set(g.rng().below(i.shape.rank()), -1);
  return true;
}
/// Beside x a value whose shape serves as x's new one.
bool propose_reshape_like(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  const int64_t n = g.shape(i.inputs[0]).num_elements();
  const int like = g.pick([&](int v) { return g.shape(v).num_elements() == n; });
  i.inputs.push_back(g.rng().one_in(2) || n == 0 ? like : g.value_of(g.any_dtype(), factored(g, n)));
  return true;
}
bool propose_broadcast_like(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  i.shape = g.wider(g.shape(i.inputs[0]));
  i.inputs.push_back(g.value_of(g.any_dtype(), i.shape));
  return true;
}
bool propose_sum_to_like(Generator& g, Instruction& i) {
  if (!ranked(g, i, 0, false)) return false;
  i.shape = g.narrower(g.shape(i.inputs[0]));
  i.inputs.push_back(g.value_of(g.any_dtype(), i.shape));
  return true;
}
bool propose_expand_dims(Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return g.shape(v).rank() <= 4; });
  if (x < 0) return false;
  i.inputs = {x};
  i.axes = tf::Axes(g.axis(g.shape(x).rank() + 1));
  return true;
}
bool propose_squeeze(Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return std::ranges::count(g.shape(v), 1) > 0; });
  if (x < 0) return false;
  i.inputs = {x};
  const tf::Shape& s = g.shape(x);
  for (int k = 0; k < s.rank(); ++k)
    if (s[k] == 1 && g.rng().one_in(2)) i.axes.push_back(g.rng().one_in(2) ? k : k - s.rank());
  return true;
}
bool propose_transpose(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  const int rank = g.shape(i.inputs[0]).rank();
  if (g.rng().one_in(3)) return true;
  std::vector<int64_t> order(static_cast<size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  for (int k = rank - 1; k > 0; --k)
    std::swap(order[static_cast<size_t>(k)], order[static_cast<size_t>(g.rng().below(k + 1))]);
  i.axes = tf::Axes(order);
  return true;
}
/// Now and then a tensor whose extents the graph does not know: gradients then read them from it in the run.
int vague(Generator& g, int min_rank) {
  return g.rng().one_in(4) ? g.vague_leaf(g.rng().one_in(3) ? tf::float64 : tf::float32, g.any_shape(min_rank)) : -1;
}

bool propose_concat(Generator& g, Instruction& i) {
  int first = vague(g, 1);
  if (first < 0) first = g.pick([&](int v) { return g.shape(v).rank() >= 1; });
  if (first < 0) return false;
  const int rank = g.shape(first).rank(), axis = g.rng().below(rank);
  i.integer = g.rng().one_in(2) ? axis : axis - rank;
  i.inputs = {first};
  for (int n = g.rng().below(3); n > 0; --n) {
    tf::Shape other = g.shape(first);
    other.set(axis, g.rng().below(4));
    i.inputs.push_back(g.value_of(g.rng().one_in(4) ? g.any_dtype() : g.dtype(first), other));
  }
  if (g.rng().one_in(3)) i.inputs.push_back(first);
  return true;
}
bool propose_slice(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  const tf::Shape& s = g.shape(i.inputs[0]);
  for (int k = 0; k < s.rank(); ++k) {
    const int64_t begin = g.rng().below(s[k] + 1);
    i.axes.push_back(begin > 0 && begin < s[k] && g.rng().one_in(3) ? begin - s[k] : begin);
    i.sizes.push_back(g.rng().one_in(3) ? -1 : g.rng().below(s[k] - begin + 1));
  }
  return true;
}
bool propose_index(Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return g.shape(v).rank() >= 1 && g.shape(v)[0] >= 1; });
  if (x < 0) return false;
  i.inputs = {x};
  const int64_t n = g.shape(x)[0];
  i.integer = g.rng().below(2 * n) - n;
  return true;
}
/// x, and a tensor whose first extent, which the graph does not know, is at most that of x.
bool propose_at_extent(Generator& g, Instruction& i, int rank) {
  const bool floating = !g.rng().one_in(4);
  const int x = g.pick([&](int v) {
    return g.shape(v).rank() >= 1 && (rank < 0 || g.shape(v).rank() == rank) &&
           (!floating || tf::is_floating(g.dtype(v)));
  });
  if (x < 0) return false;
  i.inputs = {x, g.vague_leaf(tf::float32, tf::Shape{g.rng().below(g.shape(x)[0] + 1)})};
  return true;
}
bool propose_ensure_shape(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  i.shape = g.shape(i.inputs[0]);
  for (int k = 0; k < i.shape.rank(); ++k)
    if (g.rng().one_in(2)) i.shape.set(k, -1);
  return true;
}
bool propose_pad_like(Generator& g, Instruction& i) {
  if (!any_value(g, i)) return false;
  tf::Shape to = g.shape(i.inputs[0]);
  for (int k = 0; k < to.rank(); ++k) {
    const int64_t before = g.rng().below(3);
    i.axes.push_back(before);
    to.set(k, to[k] + before + g.rng().below(3));
  }
  i.inputs.push_back(g.value_of(g.any_dtype(), to));
  return true;
}

bool propose_reduce(Generator& g, Instruction& i, bool floating) {
  if (const int x = vague(g, 0); x >= 0)
    i.inputs = {x};
  else if (!ranked(g, i, 0, floating))
    return false;
  i.axes = g.some_axes(g.shape(i.inputs[0]).rank());
  i.flag[0] = g.rng().one_in(2);
  return true;
}
bool propose_argmax(Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) {
    return g.dtype(v) != tf::bool_ && g.shape(v).rank() >= 1 && std::ranges::count(g.shape(v), 0) == 0;
  });
  if (x < 0) return false;
  i.inputs = {x};
  i.integer = g.axis(g.shape(x).rank());
  i.flag[0] = g.rng().one_in(2);
  return true;
}
/// Something to take from, and integers that are taken modulo its extent there, so that they are in range.
bool propose_gather(Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return g.shape(v).rank() >= 1 && g.shape(v).num_elements() < 3000; });
  if (x < 0) return false;
  const int rank = g.shape(x).rank();
  i.integer = g.axis(rank);
  i.sizes = tf::Axes(g.shape(x)[static_cast<int>(i.integer < 0 ? i.integer + rank : i.integer)]);
  const int indices = g.pick([&](int v) {
    return (g.dtype(v) == tf::int32 || g.dtype(v) == tf::int64) && g.shape(v).num_elements() < 50 &&
           g.shape(v).rank() < 3;
  });
  i.inputs = {x, indices};
  return indices >= 0 && (i.sizes[0] > 0 || g.shape(indices).num_elements() == 0);
}
bool propose_matmul(Generator& g, Instruction& i) {
  const int a =
      g.pick([&](int v) { return g.shape(v).rank() >= 2 && g.dtype(v) != tf::bool_ && g.dtype(v) != tf::uint8; });
  if (a < 0) return false;
  i.flag[0] = g.rng().one_in(2);
  i.flag[1] = g.rng().one_in(2);
  const tf::Shape& s = g.shape(a);
  const int64_t k = s[s.rank() - (i.flag[0] ? 2 : 1)], n = g.rng().below(6);
  tf::Shape b;
  if (g.rng().one_in(2))
    for (int axis = g.rng().below(s.rank() - 1); axis < s.rank() - 2; ++axis)
      b.push_back(g.rng().one_in(3) ? 1 : s[axis]);
  b.push_back(i.flag[1] ? n : k);
  b.push_back(i.flag[1] ? k : n);
  i.inputs = {a, g.value_of(g.dtype(a), b)};
  return true;
}
/// Matrices, as in a product, and beside them a value whose rank decides.
bool propose_flatten_batch(Generator& g, Instruction& i) {
  if (!ranked(g, i, 2, false)) return false;
  tf::Shape like;
  for (int64_t axis = g.rng().one_in(3) ? 3 : 2; axis > 0; --axis) like.push_back(g.rng().below(4));
  i.inputs.push_back(g.value_of(g.any_dtype(), like));
  return true;
}
template <class F>
auto unary(F f) {
  return [f](State& s, const Instruction& i) { return Values{f(s.value(i.inputs[0]), i)}; };
}
template <class F>
auto binary(F f) {
  return [f](State& s, const Instruction& i) { return Values{f(s.value(i.inputs[0]), s.value(i.inputs[1]), i)}; };
}
using T = tf::Tensor;
using I = Instruction;

}  // namespace

void add_array_entries(std::vector<OpEntry>& all) {
  all.insert(
      all.end(),
      {
          {"placeholder", 6, "$placeholder", propose_placeholder,
           [](State& s, const I& i) {
             if (s.arguments) return Values{(*s.arguments)[s.next_argument++]};
             if (tf::executing_eagerly()) return Values{leaf_data(i.dtype, i.shape, feed_seed(i.data, s.run))};
             return Values{tf::placeholder(i.dtype, i.declared)};
           }},
          {"constant", 4, "tf::constant($data)", propose_leaf,
           [](State&, const I& i) { return Values{tf::constant(leaf_data(i.dtype, i.shape, i.data))}; }},
          {"concrete", 4, "$data", propose_leaf,
           [](State&, const I& i) { return Values{leaf_data(i.dtype, i.shape, i.data)}; }},
          {"zeros", 1, "tf::zeros($shape, $dtype)", propose_leaf,
           [](State&, const I& i) { return Values{tf::zeros(i.shape, i.dtype)}; }},
          {"ones", 1, "tf::ones($shape, $dtype)", propose_leaf,
           [](State&, const I& i) { return Values{tf::ones(i.shape, i.dtype)}; }},
          {"reshape", 4, "tf::reshape($0, $shape)", propose_reshape,
           unary([](const T& x, const I& i) { return tf::reshape(x, i.shape); })},
          {"reshape_to_shape_of", 3, "tf::reshape($0, tf::shape($1))", propose_reshape_like,
           binary([](const T& x, const T& y, const I&) { return tf::reshape(x, tf::shape(y)); })},
          {"reshape_like", 3, "tf::reshape_like($0, $1)", propose_reshape_like,
           binary([](const T& x, const T& y, const I&) { return tf::reshape_like(x, y); })},
          {"expand_dims", 4, "tf::expand_dims($0, $axes)", propose_expand_dims,
           unary([](const T& x, const I& i) { return tf::expand_dims(x, i.axes); })},
          {"squeeze", 4, "tf::squeeze($0, $axes)", propose_squeeze,
           unary([](const T& x, const I& i) { return tf::squeeze(x, i.axes); })},
          {"identity", 2, "tf::identity($0)", any_value, unary([](const T& x, const I&) { return tf::identity(x); })},
          {"to", 2, "$0.to(\"/cpu:0\")", any_value, unary([](const T& x, const I&) { return x.to("/cpu:0"); })},
          {"stop_gradient", 2, "tf::stop_gradient($0)", any_value,
           unary([](const T& x, const I&) { return tf::stop_gradient(x); })},
          {"transpose", 6, "tf::transpose($0, $axes)", propose_transpose,
           unary([](const T& x, const I& i) { return tf::transpose(x, i.axes); })},
          {"broadcast_to", 3, "tf::broadcast_to($0, $shape)",
           [](Generator& g, I& i) { return any_value(g, i) && (i.shape = g.wider(g.shape(i.inputs[0])), true); },
           unary([](const T& x, const I& i) { return tf::broadcast_to(x, i.shape); })},
          {"broadcast_to_shape_of", 2, "tf::broadcast_to($0, tf::shape($1))", propose_broadcast_like,
           binary([](const T& x, const T& y, const I&) { return tf::broadcast_to(x, tf::shape(y)); })},
          {"broadcast_like", 3, "tf::broadcast_like($0, $1)", propose_broadcast_like,
           binary([](const T& x, const T& y, const I&) { return tf::broadcast_like(x, y); })},
          {"sum_to_like", 3, "tf::sum_to_like($0, $1)", propose_sum_to_like,
           binary([](const T& x, const T& y, const I&) { return tf::sum_to_like(x, y); })},
          {"sum_to_shape", 3, "tf::sum_to_shape($0, $shape)",
           [](Generator& g, I& i) {
             return ranked(g, i, 0, false) && (i.shape = g.narrower(g.shape(i.inputs[0])), true);
           },
           unary([](const T& x, const I& i) { return tf::sum_to_shape(x, i.shape); })},
          {"concat", 6, "tf::concat({$all}, $n)", propose_concat,
           [](State& s, const I& i) {
             Values parts;
             for (int v : i.inputs) parts.push_back(s.value(v));
             return Values{tf::concat(std::span<const T>(parts), i.integer)};
           }},
          {"slice", 6, "tf::slice($0, $axes, $sizes)", propose_slice,
           unary([](const T& x, const I& i) { return tf::slice(x, i.axes, i.sizes); })},
          {"index", 4, "$0[$n]", propose_index, unary([](const T& x, const I& i) { return x[i.integer]; })},
          {"slice_at", 6, "tf::slice($0, {tf::shape($1)[0]}, {-1})",
           [](Generator& g, I& i) { return propose_at_extent(g, i, -1); },
           binary([](const T& x, const T& y, const I&) { return tf::slice(x, {tf::shape(y)[0]}, {-1}); })},
          {"pad_by", 3, "tf::pad($0, {{tf::shape($1)[0], 1}})",
           [](Generator& g, I& i) { return propose_at_extent(g, i, 1); }, binary([](const T& x, const T& y, const I&) {
             return tf::pad(x, {{tf::shape(y)[0], 1}});
           })},
          {"ensure_shape", 3, "tf::ensure_shape($0, $shape)", propose_ensure_shape,
           unary([](const T& x, const I& i) { return tf::ensure_shape(x, i.shape); })},
          {"pad_like", 3, "tf::pad_like($0, $1, $axes)", propose_pad_like,
           binary([](const T& x, const T& like, const I& i) { return tf::pad_like(x, like, i.axes); })},
          {"shape", 2, "tf::shape($0)", any_value, unary([](const T& x, const I&) { return tf::shape(x); })},
          {"zeros_like", 2, "tf::zeros_like($0)", any_value,
           unary([](const T& x, const I&) { return tf::zeros_like(x); })},
          {"ones_like", 2, "tf::ones_like($0)", any_value,
           unary([](const T& x, const I&) { return tf::ones_like(x); })},
          {"sum", 8, "tf::sum($0, $axes, {.keepdims = $f})",
           [](Generator& g, I& i) { return propose_reduce(g, i, false); },
           unary([](const T& x, const I& i) { return tf::sum(x, i.axes, {.keepdims = i.flag[0]}); })},
          {"mean", 6, "tf::mean($0, $axes, {.keepdims = $f})",
           [](Generator& g, I& i) { return propose_reduce(g, i, true); },
           unary([](const T& x, const I& i) { return tf::mean(x, i.axes, {.keepdims = i.flag[0]}); })},
          {"max", 6, "tf::max($0, $axes, {.keepdims = $f})",
           [](Generator& g, I& i) { return propose_reduce(g, i, false); },
           unary([](const T& x, const I& i) { return tf::max(x, i.axes, {.keepdims = i.flag[0]}); })},
          {"min", 6, "tf::min($0, $axes, {.keepdims = $f})",
           [](Generator& g, I& i) { return propose_reduce(g, i, false); },
           unary([](const T& x, const I& i) { return tf::min(x, i.axes, {.keepdims = i.flag[0]}); })},
          {"logsumexp", 3, "tf::logsumexp($0, $axes, {.keepdims = $f})",
           [](Generator& g, I& i) { return propose_reduce(g, i, true); },
           unary([](const T& x, const I& i) { return tf::logsumexp(x, i.axes, {.keepdims = i.flag[0]}); })},
          {"variance", 3, "tf::variance($0, $axes, {.correction = 1, .keepdims = $f})",
           [](Generator& g, I& i) { return propose_reduce(g, i, true); }, unary([](const T& x, const I& i) {
             return tf::variance(x, i.axes, {.correction = 1, .keepdims = i.flag[0]});
           })},
          {"argmax", 4, "tf::argmax($0, $n, {.keepdims = $f})", propose_argmax,
           unary([](const T& x, const I& i) { return tf::argmax(x, i.integer, {.keepdims = i.flag[0]}); })},
          {"gather", 6, "tf::gather($0, tf::mod($1, $m), {.axis = $n})", propose_gather,
           binary([](const T& x, const T& indices, const I& i) {
             return tf::gather(x, tf::mod(indices, i.sizes[0]), {.axis = i.integer});
           })},
          {"scatter_add", 4,
           "tf::scatter_add($0, tf::mod($1, $m), tf::gather($0, tf::mod($1, $m), {.axis = $n}), {.axis = $n})",
           [](Generator& g, I& i) { return propose_gather(g, i) && g.dtype(i.inputs[0]) != tf::bool_; },
           binary([](const T& x, const T& indices, const I& i) {
             const tf::GatherOptions o{.axis = i.integer};
             const T updates = tf::gather(x, tf::mod(indices, i.sizes[0]), o);
             return tf::scatter_add(x, tf::mod(indices, i.sizes[0]), updates, o);
           })},
          {"matmul", 10, "tf::matmul($0, $1, {.transpose_a = $f, .transpose_b = $g})", propose_matmul,
           binary([](const T& a, const T& b, const I& i) {
             return tf::matmul(a, b, {.transpose_a = i.flag[0], .transpose_b = i.flag[1]});
           })},
          {"flatten_batch", 3, "tf::apply(*tf::find_op(\"FlattenBatch\"), {&$0, &$1}, std::source_location::current())",
           propose_flatten_batch, binary([](const T& x, const T& y, const I&) {
             return tf::apply(*tf::find_op("FlattenBatch"), {&x, &y}, std::source_location::current());
           })},
      });
}

}  // namespace fuzz
