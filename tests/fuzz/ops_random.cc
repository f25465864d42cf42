// Random numbers, and what is made of them.
#include <cmath>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;
using T = tf::Tensor;
using I = Instruction;

bool propose_random(Generator& g, I& i) {
  i.dtype = g.rng().one_in(2) ? tf::float32 : tf::float64;
  i.shape = g.any_shape();
  i.number[0] = g.rng().below(5) - 2;
  i.number[1] = i.number[0] + g.rng().below(4);
  if (i.op.starts_with("random_normal")) i.number[1] -= i.number[0];
  i.flag[0] = g.rng().one_in(4);
  i.integer = g.rng().below(3);
  return true;
}
/// In the shape of a value, of which the graph does not know all now and then.
bool propose_random_like(Generator& g, I& i) {
  propose_random(g, i);
  const int x = g.rng().one_in(3) ? g.vague_leaf(g.any_dtype(), i.shape)
                                  : g.pick([&](int v) { return g.shape(v).num_elements() < 100000; });
  i.inputs = {x};
  return x >= 0;
}
std::optional<int64_t> op_seed(const I& i) { return i.flag[0] ? std::optional(i.integer) : std::nullopt; }

tf::RandomNormalOptions normal(const I& i) {
  return {.mean = i.number[0], .stddev = i.number[1], .dtype = i.dtype, .seed = op_seed(i)};
}
tf::RandomUniformOptions uniform(const I& i) {
  return {.low = i.number[0], .high = i.number[1], .dtype = i.dtype, .seed = op_seed(i)};
}

bool propose_dropout(Generator& g, I& i) {
  const int x = g.rng().one_in(3) ? g.vague_leaf(g.rng().one_in(2) ? tf::float32 : tf::float64, g.any_shape())
                                  : g.pick_floating();
  i.inputs = {x};
  i.number[0] = g.rng().below(4) * 0.25;
  return x >= 0;
}

}  // namespace

void add_random_entries(std::vector<OpEntry>& all) {
  all.insert(
      all.end(),
      {
          {"random_normal", 3, "tf::random_normal($shape, {.mean = $x, .stddev = $y, .dtype = $dtype$seed})",
           propose_random, [](State&, const I& i) { return Values{tf::random_normal(i.shape, normal(i))}; }},
          {"random_uniform", 3, "tf::random_uniform($shape, {.low = $x, .high = $y, .dtype = $dtype$seed})",
           propose_random, [](State&, const I& i) { return Values{tf::random_uniform(i.shape, uniform(i))}; }},
          {"random_normal_in_shape_of", 2,
           "tf::random_normal(tf::shape($0), {.mean = $x, .stddev = $y, .dtype = $dtype$seed})", propose_random_like,
           [](State& s, const I& i) { return Values{tf::random_normal(tf::shape(s.value(i.inputs[0])), normal(i))}; }},
          {"random_normal_like", 2, "tf::random_normal_like($0, {.mean = $x, .stddev = $y, .dtype = $dtype$seed})",
           propose_random_like,
           [](State& s, const I& i) {
             const auto o = normal(i);
             return Values{tf::random_normal_like(
                 s.value(i.inputs[0]), {.mean = o.mean, .stddev = o.stddev, .dtype = o.dtype, .seed = o.seed})};
           }},
          {"random_uniform_like", 2, "tf::random_uniform_like($0, {.low = $x, .high = $y, .dtype = $dtype$seed})",
           propose_random_like,
           [](State& s, const I& i) {
             const auto o = uniform(i);
             return Values{tf::random_uniform_like(s.value(i.inputs[0]),
                                                   {.low = o.low, .high = o.high, .dtype = o.dtype, .seed = o.seed})};
           }},
          {"random_truncated_normal", 3,
           "tf::truncated_normal($shape, {.mean = $x, .stddev = $y, .dtype = $dtype$seed})",
           [](Generator& g, I& i) { return propose_random(g, i) && (i.number[1] = std::abs(i.number[1]), true); },
           [](State&, const I& i) { return Values{tf::truncated_normal(i.shape, normal(i))}; }},
          {"random_uniform_int", 3, "tf::random_uniform_int($shape, -2, 7, {.dtype = $dtype$seed})",
           [](Generator& g, I& i) {
             propose_random(g, i);
             i.dtype = g.rng().one_in(2) ? tf::int32 : tf::int64;
             return true;
           },
           [](State&, const I& i) {
             return Values{tf::random_uniform_int(i.shape, -2, 7, {.dtype = i.dtype, .seed = op_seed(i)})};
           }},
          {"random_uniform_int_in_shape_of", 2,
           "tf::random_uniform_int(tf::shape($0), -2, 7, {.dtype = tf::int64$seed})", propose_random_like,
           [](State& s, const I& i) {
             const T shape = tf::shape(s.value(i.inputs[0]));
             return Values{tf::random_uniform_int(shape, -2, 7, {.dtype = tf::int64, .seed = op_seed(i)})};
           }},
          {"random_shuffle", 4, "tf::random_shuffle($0)",
           [](Generator& g, I& i) {
             const int x = g.rng().one_in(3) ? g.vague_leaf(g.any_dtype(), g.any_shape(1))
                                             : g.pick([&](int v) { return g.shape(v).rank() >= 1; });
             i.inputs = {x};
             return x >= 0;
           },
           [](State& s, const I& i) { return Values{tf::random_shuffle(s.value(i.inputs[0]))}; }},
          {"dropout", 5, "tf::dropout($0, $x)", propose_dropout,
           [](State& s, const I& i) { return Values{tf::dropout(s.value(i.inputs[0]), i.number[0])}; }},
      });
}

}  // namespace fuzz
