// Strided slices, reversal, padding, running sums, top_k, products.
#include <algorithm>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;
using T = tf::Tensor;
using I = Instruction;

/// A value of that rank or more, now and then one whose shape the graph does not know in full.
bool value_of_rank(Generator& g, I& i, int least, bool numbers) {
  const int x =
      g.rng().one_in(4)
          ? g.vague_leaf(g.rng().one_in(3) ? tf::float64 : tf::float32, g.any_shape(least))
          : g.pick([&](int v) { return g.shape(v).rank() >= least && (!numbers || g.dtype(v) != tf::bool_); });
  i.inputs = {x};
  return x >= 0;
}

bool propose_strided_slice(Generator& g, I& i) {
  if (!value_of_rank(g, i, 0, false)) return false;
  const tf::Shape& s = g.shape(i.inputs[0]);
  const int n = g.rng().below(s.rank() + 1);
  for (int k = 0; k < n; ++k) {
    const auto place = [&]() -> int64_t { return g.rng().below(2 * s[k] + 5) - s[k] - 2; };
    const bool back = g.rng().one_in(3);
    const int64_t a = place(), b = place(), step = 1 + g.rng().below(3);
    i.axes.push_back(g.rng().one_in(3) ? tf::omitted : a);
    i.sizes.push_back(g.rng().one_in(3) ? tf::omitted : b);
    i.shape.push_back(step - 1);  // a shape holds no negative number
    if (back) i.shape.set(k, i.shape[k] + 3);
  }
  return true;
}
tf::Axes strides_of(const I& i) {
  tf::Axes strides;
  for (int64_t e : i.shape) strides.push_back(e < 3 ? e + 1 : 2 - e);
  return strides;
}

bool propose_pad(Generator& g, I& i, bool mirrored) {
  if (!value_of_rank(g, i, 0, false) || g.shape(i.inputs[0]).num_elements() > 20000) return false;
  for (int64_t extent : g.shape(i.inputs[0])) {
    const int64_t most = mirrored ? std::clamp<int64_t>(extent - 1, 0, 2) : 2;
    i.axes.push_back(g.rng().below(most + 1));
    i.sizes.push_back(g.rng().below(most + 1));
  }
  i.integer = g.rng().below(2);
  return true;
}
std::vector<std::pair<int64_t, int64_t>> paddings_of(const I& i) {
  std::vector<std::pair<int64_t, int64_t>> all;
  for (int k = 0; k < i.axes.size(); ++k) all.emplace_back(i.axes[k], i.sizes[k]);
  return all;
}

bool propose_cumsum(Generator& g, I& i) {
  if (!value_of_rank(g, i, 1, true)) return false;
  i.integer = g.axis(g.shape(i.inputs[0]).rank());
  i.flag[0] = g.rng().one_in(2);
  i.flag[1] = g.rng().one_in(2);
  return true;
}
bool propose_top_k(Generator& g, I& i) {
  if (!value_of_rank(g, i, 1, true)) return false;
  const tf::Shape& s = g.shape(i.inputs[0]);
  i.integer = g.rng().below(std::min<int64_t>(4, s[s.rank() - 1]) + 1);
  i.outputs = 2;
  return true;
}
bool propose_prod(Generator& g, I& i) {
  if (!value_of_rank(g, i, 0, true)) return false;
  i.axes = g.some_axes(g.shape(i.inputs[0]).rank());
  i.flag[0] = g.rng().one_in(2);
  return true;
}

template <class F>
auto unary(F f) {
  return [f](State& s, const I& i) { return Values{f(s.value(i.inputs[0]), i)}; };
}

}  // namespace

void add_slicing_entries(std::vector<OpEntry>& all) {
  all.insert(all.end(),
             {
                 {"strided_slice", 8, "tf::strided_slice($0, $axes, $sizes, $strides)", propose_strided_slice,
                  unary([](const T& x, const I& i) { return tf::strided_slice(x, i.axes, i.sizes, strides_of(i)); })},
                 {"reverse", 4, "tf::reverse($0, $axes)",
                  [](Generator& g, I& i) {
                    return value_of_rank(g, i, 0, false) && (i.axes = g.some_axes(g.shape(i.inputs[0]).rank()), true);
                  },
                  unary([](const T& x, const I& i) { return tf::reverse(x, i.axes); })},
                 {"pad", 4, "tf::pad($0, $paddings, {.value = $n})",
                  [](Generator& g, I& i) { return propose_pad(g, i, false); }, unary([](const T& x, const I& i) {
                    return tf::pad(x, paddings_of(i), {.value = static_cast<double>(i.integer)});
                  })},
                 {"pad_reflected", 2, "tf::pad($0, $paddings, {.mode = tf::PadMode::reflect})",
                  [](Generator& g, I& i) { return propose_pad(g, i, true); }, unary([](const T& x, const I& i) {
                    return tf::pad(x, paddings_of(i), {.mode = tf::PadMode::reflect});
                  })},
                 {"cumsum", 4, "tf::cumsum($0, $n, {.exclusive = $f, .reverse = $g})", propose_cumsum,
                  unary([](const T& x, const I& i) {
                    return tf::cumsum(x, i.integer, {.exclusive = i.flag[0], .reverse = i.flag[1]});
                  })},
                 {"top_k", 4, "tf::top_k($0, $n)", propose_top_k,
                  [](State& s, const I& i) {
                    const tf::TopKResult best = tf::top_k(s.value(i.inputs[0]), i.integer);
                    return Values{best.values, best.indices};
                  }},
                 {"prod", 10, "tf::prod($0, $axes, {.keepdims = $f})", propose_prod,
                  unary([](const T& x, const I& i) { return tf::prod(x, i.axes, {.keepdims = i.flag[0]}); })},
                 {"size", 2, "tf::size($0)", [](Generator& g, I& i) { return value_of_rank(g, i, 0, false); },
                  unary([](const T& x, const I&) { return tf::size(x); })},
             });
}

}  // namespace fuzz
