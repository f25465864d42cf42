// Variables, effects, gradients.
#include <algorithm>
#include <iterator>
#include <utility>

#include "generator.h"
#include "ops.h"

namespace fuzz {
namespace {

using Values = std::vector<tf::Tensor>;

bool propose_read(Generator& g, Instruction& i) {
  i.variables = {g.pick_variable([](int) { return true; })};
  return i.variables[0] >= 0;
}

bool propose_assign(Generator& g, Instruction& i) {
  if (!g.recipe().writes) return false;
  const bool adds = i.op != "assign";
  const int v =
      g.pick_variable([&](int n) { return !adds || g.program().variables[static_cast<size_t>(n)].dtype != tf::bool_; });
  if (v < 0) return false;
  const VariableDecl& variable = g.program().variables[static_cast<size_t>(v)];
  i.variables = {v};
  i.inputs = {g.value_of(variable.dtype, adds ? g.narrower(variable.shape) : variable.shape)};
  return true;
}

std::vector<int> some_effects(Generator& g) {
  std::vector<int> effects;
  for (const Instruction& i : g.program().body)
    if (is_effect(i) && g.rng().one_in(2)) effects.push_back(i.output);
  return effects;
}

bool propose_with_effects(Generator& g, Instruction& i) {
  const int x = g.pick([](int) { return true; });
  const std::vector<int> effects = some_effects(g);
  if (x < 0 || effects.empty()) return false;
  i.inputs = {x};
  i.inputs.insert(i.inputs.end(), effects.begin(), effects.end());
  return true;
}
bool propose_group(Generator& g, Instruction& i) {
  i.inputs = some_effects(g);
  return !i.inputs.empty();
}
bool propose_print(Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return g.symbolic(v) && g.shape(v).num_elements() < 50; });
  i.inputs = {x};
  i.integer = g.rng().below(100);
  return x >= 0;
}

/// What one instruction makes, with respect to what it is made of.
bool propose_direct_gradient(Generator& g, Instruction& i) {
  const auto floating = [&](int v) { return tf::is_floating(g.dtype(v)); };
  const bool any = g.rng().one_in(4);
  const auto is_x = [&](int v) { return g.usable(v) && floating(v) && (any || g.live(v)); };
  // Most are of those whose gradients have ops of their own, each as often.
  static constexpr const char* kOwn[] = {"",       "concat", "mean",          "batch_norm",
                                         "gather", "prod",   "strided_slice", "control flow"};
  const std::string own = kOwn[g.rng().below(std::size(kOwn))];
  std::vector<std::pair<int, const Instruction*>> ways;
  for (const Instruction& m : g.program().body) {
    if (!own.empty() && own != (is_control_flow(m) ? "control flow" : m.op)) continue;
    // A loop makes its count first.
    const int y = m.output + (m.op.starts_with("while") ? 1 : 0);
    if (m.outputs > 0 && g.usable(y) && floating(y) && std::ranges::any_of(m.inputs, is_x)) ways.emplace_back(y, &m);
  }
  if (ways.empty()) return false;
  const auto [y, through] = ways[static_cast<size_t>(g.rng().below(static_cast<int64_t>(ways.size())))];
  i.inputs = {y};
  std::ranges::copy_if(through->inputs, std::back_inserter(i.inputs), is_x);
  i.outputs = static_cast<int>(i.inputs.size()) - 1;
  return true;
}

bool propose_gradient(Generator& g, Instruction& i) {
  if (!g.recipe().gradients) return false;
  if (g.rng().one_in(2) && propose_direct_gradient(g, i)) return true;
  const int y = g.pick_floating();
  if (y < 0) return false;
  i.inputs = {y};
  // gradients() in a graph takes any x, a tape only what it watches.
  i.flag[1] = g.rng().one_in(2);
  i.flag[0] = i.flag[1] && g.rng().one_in(2);
  if (i.flag[0]) i.inputs.push_back(g.value_of(g.dtype(y), g.shape(y)));
  for (int n = 1 + g.rng().below(3); n > 0; --n) {
    const int x = g.pick([&](int v) { return tf::is_floating(g.dtype(v)) && (!i.flag[1] || g.watched(v)); });
    if (x >= 0) i.inputs.push_back(x);
  }
  for (int n = g.rng().below(3); n > 0; --n) {
    const int v = g.pick_variable([&](int k) {
      const VariableDecl& variable = g.program().variables[static_cast<size_t>(k)];
      return tf::is_floating(variable.dtype) && (variable.trainable || !i.flag[1]);
    });
    if (v >= 0) i.variables.push_back(v);
  }
  i.outputs = static_cast<int>(i.inputs.size() + i.variables.size()) - (i.flag[0] ? 2 : 1);
  return i.outputs > 0;
}

Values evaluate_gradient(State& s, const Instruction& i) {
  const tf::Tensor& y = s.value(i.inputs[0]);
  std::vector<tf::Differentiable> xs;
  for (size_t k = i.flag[0] ? 2 : 1; k < i.inputs.size(); ++k) xs.emplace_back(s.value(i.inputs[k]));
  for (int v : i.variables) xs.emplace_back(s.variables[static_cast<size_t>(v)]);
  if (!i.flag[1]) return s.tape->gradient(y, xs);
  std::vector<tf::Tensor> dys;
  if (i.flag[0]) dys = {s.value(i.inputs[1])};
  return tf::gradients({y}, xs, dys);
}

}  // namespace

void add_state_entries(std::vector<OpEntry>& all) {
  using I = Instruction;
  all.insert(
      all.end(),
      {
          {"read", 12, "$v.read()", propose_read, [](State& s, const I& i) { return Values{s.variable(i).read()}; }},
          {"assign", 12, "$v.assign($0)", propose_assign,
           [](State& s, const I& i) { return Values{s.variable(i).assign(s.value(i.inputs[0]))}; }},
          {"assign_add", 10, "$v.assign_add($0)", propose_assign,
           [](State& s, const I& i) { return Values{s.variable(i).assign_add(s.value(i.inputs[0]))}; }},
          {"assign_sub", 10, "$v.assign_sub($0)", propose_assign,
           [](State& s, const I& i) { return Values{s.variable(i).assign_sub(s.value(i.inputs[0]))}; }},
          {"with_effects", 8, "tf::with_effects($0, {$rest})", propose_with_effects,
           [](State& s, const I& i) {
             return Values{tf::with_effects(s.value(i.inputs[0]), s.fetches({i.inputs.begin() + 1, i.inputs.end()}))};
           }},
          {"group", 3, "tf::group({$all})", propose_group,
           [](State& s, const I& i) {
             s.operations[static_cast<size_t>(i.output)] = tf::group(s.fetches(i.inputs));
             return Values{};
           }},
          {"assert_that", 3, "tf::assert_that(tf::all(tf::logical_or($0, tf::logical_not($0))), \"$n\", {$0})",
           [](Generator& g, I& i) {
             i.inputs = {g.pick([&](int v) { return g.dtype(v) == tf::bool_ && g.shape(v).num_elements() < 1000; })};
             i.integer = g.rng().below(100);
             return i.inputs[0] >= 0;
           },
           [](State& s, const I& i) {
             const tf::Tensor& x = s.value(i.inputs[0]);
             const tf::Tensor holds = tf::all(tf::logical_or(x, tf::logical_not(x)));
             s.operations[static_cast<size_t>(i.output)] = tf::assert_that(holds, std::to_string(i.integer), {x});
             return Values{};
           }},
          {"print", 3, "tf::print($0, \"$n: \")", propose_print,
           [](State& s, const I& i) {
             return Values{tf::print(s.value(i.inputs[0]), std::to_string(i.integer) + ": ")};
           }},
          {"watch", 0, "tape.watch($0)", [](Generator&, I&) { return false; },
           [](State& s, const I& i) {
             s.tape->watch(s.value(i.inputs[0]));
             return Values{};
           }},
          {"gradient", 130, "$gradient", propose_gradient, evaluate_gradient},
      });
}

}  // namespace fuzz
