// Normalisation and what else layers are made of.
#include <optional>

#include <twofold/kernels/optimizer/optimizer.h>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;
using T = tf::Tensor;
using I = Instruction;

/// A floating value of that rank or more, now and then one whose shape the graph does not know in full.
bool floating_of_rank(Generator& g, I& i, int least) {
  const int x = g.rng().one_in(5)
                    ? g.vague_leaf(g.rng().one_in(3) ? tf::float64 : tf::float32, g.any_shape(least))
                    : g.pick([&](int v) { return g.shape(v).rank() >= least && tf::is_floating(g.dtype(v)); });
  i.inputs = {x};
  return x >= 0;
}

bool propose_softmax(Generator& g, Instruction& i) {
  if (!floating_of_rank(g, i, 1)) return false;
  i.integer = g.axis(g.shape(i.inputs[0]).rank());
  return true;
}
/// A value for which `test` holds and an axis of it such that every channel has elements; the shape of a vector of
/// them.
std::optional<tf::Shape> propose_batch(Generator& g, I& i, const std::function<bool(int)>& test) {
  const auto fits = [&](int v, int axis) {
    const tf::Shape& s = g.shape(v);
    for (int k = 0; k < s.rank(); ++k)
      if (k != axis && s[k] == 0) return false;
    return true;
  };
  const int x = g.pick([&](int v) { return g.shape(v).rank() >= 2 && fits(v, 0) && test(v); });
  if (x < 0) return {};
  const int rank = g.shape(x).rank();
  int axis = g.rng().below(rank);
  if (!fits(x, axis)) axis = 0;
  i.integer = g.rng().one_in(2) ? axis : axis - rank;
  i.inputs = {x};
  return tf::Shape{g.shape(x)[axis]};
}
bool propose_batch_norm(Generator& g, I& i) {
  const auto channels = propose_batch(g, i, [&](int v) { return tf::is_floating(g.dtype(v)) && g.rank_known(v); });
  if (!channels) return false;
  for (int n = 0; n < 2; ++n) i.inputs.push_back(g.value_of(g.dtype(i.inputs[0]), *channels));
  i.number[0] = 0.25;
  i.outputs = 3;
  return true;
}
bool propose_running_statistics(Generator& g, I& i) {
  const auto channels = propose_batch(g, i, [](int) { return true; });
  if (!channels) return false;
  const tf::DType t = g.rng().one_in(3) ? tf::float64 : tf::float32;
  for (int n = 0; n < 4; ++n) i.inputs.push_back(g.value_of(t, *channels));
  i.number[0] = 0.25 * g.rng().below(5);
  i.outputs = 2;
  return true;
}

/// A value, and vectors that have one element for each of its channels.
bool propose_channels(Generator& g, I& i, int vectors, bool last_or_first) {
  if (!floating_of_rank(g, i, 2)) return false;
  const int rank = g.shape(i.inputs[0]).rank();
  const int axis = last_or_first ? (g.rng().one_in(2) ? 1 : rank - 1) : g.rng().below(rank);
  i.flag[0] = axis == 1;
  i.integer = g.rng().one_in(2) ? axis : axis - rank;
  i.number[0] = 0.25;
  const tf::Shape channels{g.shape(i.inputs[0])[axis]};
  for (int n = 0; n < vectors; ++n) i.inputs.push_back(g.value_of(g.dtype(i.inputs[0]), channels));
  return true;
}
bool propose_layer_norm(Generator& g, I& i) {
  if (!floating_of_rank(g, i, 0)) return false;
  const int x = i.inputs[0];
  i.axes = g.some_axes(g.shape(x).rank());
  i.number[0] = 0.25;
  for (int n = 0; n < 2; ++n) i.inputs.push_back(g.value_of(g.dtype(x), g.narrower(g.shape(x))));
  return true;
}

/// A parameter, its gradient and `state` tensors like it, perhaps a count, and a rate.
bool propose_update(Generator& g, Instruction& i, int state, bool counted) {
  const int p = g.pick_floating();
  if (p < 0) return false;
  i.inputs = {p};
  for (int k = 0; k < 1 + state; ++k) i.inputs.push_back(g.value_of(g.dtype(p), g.shape(p)));
  if (counted) i.inputs.push_back(g.value_of(tf::int64, {}));
  i.inputs.push_back(g.value_of(tf::float64, {}));
  i.flag[0] = g.rng().one_in(2);
  i.number[0] = 0.25 * g.rng().below(3);
  i.outputs = 1 + state + counted;
  return true;
}
/// A parameter, indices that are taken modulo its rows, and a rate.
bool propose_rows_update(Generator& g, Instruction& i) {
  const int p = g.pick_floating();
  if (p < 0 || g.shape(p).rank() == 0 || g.shape(p)[0] == 0) return false;
  const tf::Shape indices = g.rng().one_in(4) ? tf::Shape{} : tf::Shape{g.rng().below(6)};
  i.inputs = {p, g.value_of(g.rng().one_in(2) ? tf::int32 : tf::int64, indices), g.value_of(tf::float64, {})};
  i.sizes = {g.shape(p)[0]};
  return true;
}
Values inputs(State& s, const Instruction& i) {
  Values all;
  for (int v : i.inputs) all.push_back(s.value(v));
  return all;
}
std::span<const T> state_of(const Values& in, size_t n) { return std::span<const T>(in).subspan(2, n); }

}  // namespace

void add_nn_entries(std::vector<OpEntry>& all) {
  const auto unary = [](auto f) { return [f](State& s, const I& i) { return Values{f(s.value(i.inputs[0]), i)}; }; };
  all.insert(
      all.end(),
      {
          {"softmax", 4, "tf::softmax($0, $n)", propose_softmax,
           unary([](const T& x, const I& i) { return tf::softmax(x, i.integer); })},
          {"log_softmax", 4, "tf::log_softmax($0, $n)", propose_softmax,
           unary([](const T& x, const I& i) { return tf::log_softmax(x, i.integer); })},
          {"batch_norm", 12, "tf::batch_norm($0, $1, $2, {.epsilon = $x, .axis = $n})", propose_batch_norm,
           [](State& s, const I& i) {
             auto [y, mean, variance] = tf::batch_norm(s.value(i.inputs[0]), s.value(i.inputs[1]), s.value(i.inputs[2]),
                                                       {.epsilon = i.number[0], .axis = i.integer});
             return Values{y, mean, variance};
           }},
          {"running_statistics", 4, "tf::running_statistics($1, $2, $3, $4, $0, {.momentum = $x, .axis = $n})",
           propose_running_statistics,
           [](State& s, const I& i) {
             const auto in = inputs(s, i);
             auto [mean, variance] = tf::running_statistics(in[1], in[2], in[3], in[4], in[0],
                                                            {.momentum = i.number[0], .axis = i.integer});
             return Values{mean, variance};
           }},
          {"batch_norm_inference", 4, "tf::batch_norm_inference($0, $1, $2, $3, $4, {.epsilon = $x, .axis = $n})",
           [](Generator& g, I& i) { return propose_channels(g, i, 4, false); },
           [](State& s, const I& i) {
             const auto in = [&](size_t k) { return s.value(i.inputs[k]); };
             return Values{tf::batch_norm_inference(in(0), in(1), in(2), in(3), in(4),
                                                    {.epsilon = i.number[0], .axis = i.integer})};
           }},
          {"check_numerics", 3, "tf::stop_gradient(tf::check_numerics(tf::where(tf::is_finite($0), $0, 0), \"$n\"))",
           [](Generator& g, I& i) { return i.integer = g.rng().below(100), floating_of_rank(g, i, 0); },
           unary([](const T& x, const I& i) {
             const T finite = tf::where(tf::is_finite(x), x, 0);
             return tf::stop_gradient(tf::check_numerics(finite, std::to_string(i.integer)));  // dy may be NaN
           })},
          {"layer_norm", 4, "tf::layer_norm($0, $1, $2, $axes, {.epsilon = $x})", propose_layer_norm,
           [](State& s, const I& i) {
             return Values{tf::layer_norm(s.value(i.inputs[0]), s.value(i.inputs[1]), s.value(i.inputs[2]), i.axes,
                                          {.epsilon = i.number[0]})};
           }},
          {"sgd_update", 3, "tf::sgd_update($0, $1, {&$2, 1}, $3, {.momentum = 0.9, .nesterov = $f})",
           [](Generator& g, I& i) { return propose_update(g, i, 1, false); },
           [](State& s, const I& i) {
             const auto in = inputs(s, i);
             return tf::sgd_update(in[0], in[1], state_of(in, 1), in[3], {.momentum = 0.9, .nesterov = i.flag[0]});
           }},
          {"sgd_rows_update", 3,
           "tf::sgd_rows_update($0, tf::gather($0, tf::mod($1, $m)), "
           "tf::internal::checked_indices(tf::mod($1, $m), $0), $2)",
           propose_rows_update,
           [](State& s, const I& i) {
             const auto in = inputs(s, i);
             const T indices = tf::internal::checked_indices(tf::mod(in[1], i.sizes[0]), in[0]);
             return Values{tf::sgd_rows_update(in[0], tf::gather(in[0], indices), indices, in[2])};
           }},
          {"adam_update", 3, "tf::adam_update($0, $1, {$2, $3, $4}, $5, {.decoupled = $f})",
           [](Generator& g, I& i) { return propose_update(g, i, 2, true); },
           [](State& s, const I& i) {
             const auto in = inputs(s, i);
             return tf::adam_update(in[0], in[1], state_of(in, 3), in[5], {.decoupled = i.flag[0]});
           }},
          {"rmsprop_update", 3, "tf::rmsprop_update($0, $1, {$2, $3}, $4, {.centered = true})",
           [](Generator& g, I& i) { return propose_update(g, i, 2, false); },
           [](State& s, const I& i) {
             const auto in = inputs(s, i);
             return tf::rmsprop_update(in[0], in[1], state_of(in, 2), in[4], {.centered = true});
           }},
          {"adagrad_update", 3, "tf::adagrad_update($0, $1, {$2, $3}, $4, {.weight_decay = $x, .lr_decay = 0.5})",
           [](Generator& g, I& i) { return propose_update(g, i, 1, true); },
           [](State& s, const I& i) {
             const auto in = inputs(s, i);
             return tf::adagrad_update(in[0], in[1], state_of(in, 2), in[4],
                                       {.weight_decay = i.number[0], .lr_decay = 0.5});
           }},
          {"bias_add", 3, "tf::bias_add($0, $1, {.data_format = $f ? tf::DataFormat::nchw : tf::DataFormat::nhwc})",
           [](Generator& g, I& i) { return propose_channels(g, i, 1, true); },
           [](State& s, const I& i) {
             const auto format = i.flag[0] ? tf::DataFormat::nchw : tf::DataFormat::nhwc;
             return Values{tf::bias_add(s.value(i.inputs[0]), s.value(i.inputs[1]), {.data_format = format})};
           }},
      });
}

}  // namespace fuzz
