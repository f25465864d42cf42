// Loops over slices, arrays, one of several functions.
#include <algorithm>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;
using T = tf::Tensor;
using I = Instruction;

tf::Shape row_of(const tf::Shape& s) {
  tf::Shape row;
  for (int k = 1; k < s.rank(); ++k) row.push_back(s[k]);
  return row;
}

/// A value with a few slices, at least `least`, now and then one whose shape the graph does not know in full; and
/// another of a slice's shape.
bool propose_slices(Generator& g, I& i, int64_t least, bool floating) {
  const auto fits = [&](int v) {
    return g.shape(v).rank() >= 1 && g.shape(v)[0] >= least && g.shape(v)[0] <= 6 && g.shape(v).num_elements() < 500 &&
           g.dtype(v) != tf::bool_ && (!floating || tf::is_floating(g.dtype(v)));
  };
  const int x = g.pick(fits);
  if (x < 0) return false;
  i.dtype = g.dtype(x);
  i.shape = row_of(g.shape(x));
  i.flag[0] = g.rng().one_in(2);
  const int row =
      g.rng().one_in(3) && tf::is_floating(i.dtype) ? g.vague_leaf(i.dtype, i.shape) : g.value_of(i.dtype, i.shape);
  i.inputs = {x, row};
  return true;
}

/// A number to choose by, then two operands of one shape.
bool propose_choice(Generator& g, I& i) {
  const int x = g.pick([&](int v) { return g.dtype(v) != tf::bool_ && g.shape(v).num_elements() < 1000; });
  if (x < 0) return false;
  i.inputs = {g.recipe().gradients ? g.vague_leaf(tf::int32, {}) : g.value_of(tf::int32, {}), x,
              g.value_of(g.dtype(x), g.shape(x))};
  return true;
}

tf::TensorArray filled(const T& x, const T& y, tf::DType dtype) {
  return tf::TensorArray(dtype, 0, {.dynamic_size = true}).write(2, x * y).write(0, x).write(1, y).write(0, y - x);
}

}  // namespace

void add_loop_entries(std::vector<OpEntry>& all) {
  all.push_back({"map_fn", 3, "tf::map_fn([&](tf::Tensor v) { return v * $1 + v; }, $0)",
                 [](Generator& g, I& i) { return propose_slices(g, i, 1, false); },
                 [](State& s, const I& i) {
                   const T& y = s.value(i.inputs[1]);
                   return Values{tf::map_fn([&](const T& v) { return v * y + v; }, s.value(i.inputs[0]))};
                 }});
  all.push_back({"map_random", 2,
                 "tf::map_fn([&](tf::Tensor v) { return v * tf::random_normal($shape, {.dtype = $dtype}) + $1; }, $0)",
                 [](Generator& g, I& i) { return propose_slices(g, i, 1, true); },
                 [](State& s, const I& i) {
                   const T& y = s.value(i.inputs[1]);
                   return Values{
                       tf::map_fn([&](const T& v) { return v * tf::random_normal(i.shape, {.dtype = i.dtype}) + y; },
                                  s.value(i.inputs[0]))};
                 }});
  all.push_back({"scan", 3, "tf::scan([&](tf::Tensor a, tf::Tensor v) { return a * v - $1; }, $0, $1, {.reverse = $f})",
                 [](Generator& g, I& i) { return propose_slices(g, i, 0, false); },
                 [](State& s, const I& i) {
                   const T& y = s.value(i.inputs[1]);
                   return Values{tf::scan([&](const T& a, const T& v) { return a * v - y; }, s.value(i.inputs[0]), y,
                                          {.reverse = i.flag[0]})};
                 }});
  all.push_back({"fold", 3, "tf::fold([&](tf::Tensor a, tf::Tensor v) { return a - v * $1; }, $0, $1, {.reverse = $f})",
                 [](Generator& g, I& i) { return propose_slices(g, i, 0, false); },
                 [](State& s, const I& i) {
                   const T& y = s.value(i.inputs[1]);
                   return Values{tf::fold([&](const T& a, const T& v) { return a - v * y; }, s.value(i.inputs[0]), y,
                                          {.reverse = i.flag[0]})};
                 }});
  all.push_back(
      {"array", 3,
       "[&] { auto a = tf::TensorArray($dtype, 0, {.dynamic_size = true}).write(2, $0[0] * $1).write(0, $0[0])"
       ".write(1, $1).write(0, $1 - $0[0]); return std::tuple{a.stack(), a.read(2), a.size()}; }()",
       [](Generator& g, I& i) {
         i.outputs = 3;
         return propose_slices(g, i, 1, false);
       },
       [](State& s, const I& i) {
         const tf::TensorArray a = filled(s.value(i.inputs[0])[0], s.value(i.inputs[1]), i.dtype);
         return Values{a.stack(), a.read(2), a.size()};
       }});
  all.push_back({"array_of", 3, "tf::TensorArray($dtype, tf::shape($0)[0]).unstack($0).write(0, $1).stack()",
                 [](Generator& g, I& i) { return propose_slices(g, i, 1, false); },
                 [](State& s, const I& i) {
                   const T& x = s.value(i.inputs[0]);
                   return Values{
                       tf::TensorArray(i.dtype, tf::shape(x)[0]).unstack(x).write(0, s.value(i.inputs[1])).stack()};
                 }});
  all.push_back({"switch_case", 3,
                 "tf::switch_case($0, [&] { return $1 * $2; }, [&] { return $1 + $2; }, [&] { return $2 - $1; })",
                 propose_choice, [](State& s, const I& i) {
                   const T &x = s.value(i.inputs[1]), &y = s.value(i.inputs[2]);
                   return Values{tf::switch_case(
                       s.value(i.inputs[0]), [&] { return x * y; }, [&] { return x + y; }, [&] { return y - x; })};
                 }});
}

}  // namespace fuzz
