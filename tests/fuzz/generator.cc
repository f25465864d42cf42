#include <twofold/lib/op/random_key.h>

#include "generator.h"

#include <algorithm>

#include "ops.h"

namespace fuzz {
namespace {

constexpr int64_t kExtents[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 33};

}  // namespace

Generator::Generator(uint64_t seed, const Recipe& recipe) : rng_(seed), recipe_(recipe) {
  program_.seed = rng_.next() >> 1;
  program_.runs = rng_.one_in(8) ? 6 : 1 + rng_.below(3);  // six: a GPU's plan is captured on the way
  // Few extents, so that shapes meet.
  for (int k = 0; k < 3; ++k) extents_.push_back(kExtents[rng_.below(std::size(kExtents))]);
  if (rng_.one_in(4)) extents_.push_back(0);
  for (int n = recipe.writes || rng_.one_in(2) ? 1 + rng_.below(3) : 0; n > 0; --n) {
    VariableDecl v{
        .dtype = rng_.one_in(3) ? any_dtype() : tf::float32, .shape = any_shape(), .data = rng_.next() >> 32};
    v.random = tf::is_floating(v.dtype) && rng_.one_in(3);
    v.trainable = !rng_.one_in(4);
    program_.variables.push_back(v);
  }
}

Program Generator::make() {
  const tf::EagerMode eager;
  const Captured captured;
  tf::set_num_threads(1);
  tf::set_random_seed(static_cast<int64_t>(program_.seed));
  make_variables(program_, state_);
  const tf::BodyExecution frame(tf::new_body_key("step"));
  std::optional<tf::GradientTape> tape;
  if (recipe_.gradients) state_.tape = &tape.emplace(tf::GradientTapeOptions{.persistent = true});
  int total = 0;
  for (const OpEntry& e : op_entries()) total += e.weight;
  try {
    while (static_cast<int>(program_.body.size()) < recipe_.instructions) {
      int at = rng_.below(total);
      const OpEntry* entry = op_entries().data();
      for (; at >= entry->weight; ++entry) at -= entry->weight;
      Instruction i;
      i.op = entry->name;
      // Now and then an op that is there already, of the same operand with other attributes.
      if (!program_.body.empty() && rng_.one_in(6)) {
        const Instruction& before =
            program_.body[static_cast<size_t>(rng_.below(static_cast<int64_t>(program_.body.size())))];
        if (!before.inputs.empty() && before.op != "watch" && usable(before.inputs[0])) {
          i.op = before.op;
          entry = &op_entry(i.op);
          echo_ = before.inputs[0];
        }
      }
      const bool fits = entry->propose(*this, i);
      echo_ = -1;
      if (!fits) continue;
      if (rng_.one_in(6)) i.scope = 1 + rng_.below(2);
      if (rng_.one_in(6))
        for (const Instruction& before : program_.body)
          if (is_effect(before) && rng_.one_in(2)) i.after.push_back(before.output);
      add(std::move(i));
    }
  } catch (const tf::Error&) {
    // The program as it is shows the error again.
  }
  return std::move(program_);
}

int Generator::add(Instruction i) {
  const int output = i.output = program_.num_values;
  program_.num_values += i.outputs;
  bool rank_known = i.op != "placeholder" || i.declared.has_rank(), symbolic = i.op != "concrete";
  if (i.op == "squeeze" && i.axes.empty()) rank_known = false;  // it depends on the extents
  bool live = i.op == "read" && program_.variables[static_cast<size_t>(i.variables[0])].trainable;
  for (int v : i.inputs) {
    live = live || (tf::is_floating(dtype(v)) && live_[static_cast<size_t>(v)]);
    rank_known = rank_known && rank_known_[static_cast<size_t>(v)];
    symbolic = symbolic && symbolic_[static_cast<size_t>(v)];
  }
  const auto n = static_cast<size_t>(program_.num_values);
  rank_known_.resize(n, rank_known);
  symbolic_.resize(n, symbolic);
  watched_.resize(n, false);
  live_.resize(n, live);
  state_.values.resize(n);
  state_.operations.resize(n);
  const bool watch = i.op == "placeholder" && recipe_.gradients && tf::is_floating(i.dtype) && !rng_.one_in(5);
  program_.body.push_back(std::move(i));
  execute(program_.body.back(), state_);
  if (watch) {
    Instruction w;
    w.op = "watch";
    w.inputs = {output};
    w.outputs = 0;
    w.output = program_.num_values;
    program_.body.push_back(w);
    execute(w, state_);
    watched_[static_cast<size_t>(output)] = live_[static_cast<size_t>(output)] = true;
  }
  return output;
}

int Generator::pick(const Test& test) {
  if (echo_ >= 0 && test(echo_)) return echo_;
  std::vector<int> fitting;
  for (int v = 0; v < program_.num_values; ++v)
    if (usable(v) && test(v)) fitting.push_back(v);
  if (fitting.empty()) return -1;
  const int n = static_cast<int>(fitting.size());
  return fitting[static_cast<size_t>(std::max(rng_.below(n), rng_.below(n)))];
}
int Generator::pick_floating() {
  return pick([&](int v) { return tf::is_floating(dtype(v)); });
}
int Generator::pick_variable(const Test& test) {
  std::vector<int> fitting;
  for (int v = 0; v < static_cast<int>(program_.variables.size()); ++v)
    if (test(v)) fitting.push_back(v);
  return fitting.empty() ? -1 : fitting[static_cast<size_t>(rng_.below(static_cast<int64_t>(fitting.size())))];
}

int Generator::value_of(tf::DType t, const tf::Shape& s) {
  const int found = rng_.one_in(5) ? -1 : pick([&](int v) { return dtype(v) == t && shape(v) == s; });
  return found >= 0 ? found : fresh_leaf(t, s);
}
int Generator::fresh_leaf(tf::DType t, const tf::Shape& s) {
  static constexpr const char* kLeaves[] = {"placeholder", "placeholder", "placeholder", "constant", "concrete"};
  Instruction i;
  i.op = kLeaves[rng_.below(std::size(kLeaves))];
  i.dtype = t;
  i.shape = i.declared = s;
  i.data = rng_.next() >> 32;
  if (rng_.one_in(6))
    i.declared = tf::unknown_shape;
  else if (i.op == "placeholder" && rng_.one_in(6))
    for (int k = 0; k < s.rank(); ++k)
      if (rng_.one_in(2)) i.declared.set(k, -1);
  return add(std::move(i));
}
int Generator::vague_leaf(tf::DType t, const tf::Shape& s) {
  Instruction i;
  i.op = "placeholder";
  i.dtype = t;
  i.shape = i.declared = s;
  i.data = rng_.next() >> 32;
  if (rng_.one_in(4))
    i.declared = tf::unknown_shape;
  else
    for (int k = 0; k < s.rank(); ++k)
      if (!rng_.one_in(3)) i.declared.set(k, -1);
  return add(std::move(i));
}

tf::DType Generator::any_dtype() {
  // Gradients need floating tensors.
  static constexpr tf::DType kDTypes[] = {tf::float32, tf::float32, tf::float32, tf::float64, tf::float64,
                                          tf::int32,   tf::int64,   tf::uint8,   tf::bool_};
  return kDTypes[rng_.below(recipe_.gradients && rng_.one_in(2) ? 5 : 9)];
}
tf::Shape Generator::any_shape(int min_rank) {
  tf::Shape s;
  for (int rank = std::max(min_rank, rng_.below(4)); rank > 0; --rank)
    s.push_back(rng_.one_in(6) ? 1 : extents_[static_cast<size_t>(rng_.below(static_cast<int64_t>(extents_.size())))]);
  if (recipe_.large && s.rank() > 0 && s.num_elements() > 0 && rng_.one_in(2)) {
    const int64_t rest = s.num_elements() / s[0];
    if (rest < 2000) s.set(0, (33000 + rng_.below(40000)) / rest);
  }
  return s;
}
tf::Shape Generator::wider(const tf::Shape& from) {
  tf::Shape s;
  if (from.rank() < 4 && rng_.one_in(3)) s.push_back(rng_.below(4));
  for (int64_t e : from) s.push_back(e == 1 && rng_.one_in(2) && from.num_elements() < 1000 ? rng_.below(5) : e);
  return s;
}
tf::Shape Generator::narrower(const tf::Shape& from) {
  if (rng_.one_in(2)) return from;
  tf::Shape s;
  for (int k = rng_.one_in(2) ? 0 : rng_.below(from.rank() + 1); k < from.rank(); ++k)
    s.push_back(rng_.one_in(3) ? 1 : from[k]);
  return s;
}
int Generator::axis(int rank) { return rng_.below(2 * rank) - rank; }
tf::Axes Generator::some_axes(int rank) {
  tf::Axes axes;
  for (int k = 0; k < rank; ++k)
    if (rng_.one_in(2)) axes.push_back(rng_.one_in(3) ? k - rank : k);
  return axes;
}

namespace {

/// Other feeds may take other branches, through which a gradient that the program goes on with is None: a run that ends
/// there has no result to compare.
int usable_runs(const Program& p) {
  try {
    return static_cast<int>(run_eagerly(p, 1).size());
  } catch (const tf::Error&) {
    return p.runs;
  }
}

}  // namespace

Program generate(uint64_t seed, int index) {
  Rng rng(seed * 1000003 + static_cast<uint64_t>(index));
  Recipe recipe;
  recipe.gradients = rng.one_in(2);
  recipe.writes = rng.one_in(2);
  recipe.large = rng.one_in(40);
  recipe.instructions = recipe.large ? 10 : 4 + rng.below(24);
  Program p = Generator(rng.next(), recipe).make();
  p.runs = usable_runs(p);
  return p;
}

}  // namespace fuzz
