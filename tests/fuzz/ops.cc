// The table of ops, and the pointwise ones, which come from their records.
#include <algorithm>

#include <twofold/kernels/pointwise/record.h>

#include "ops.h"

#include <stdexcept>
#include <unordered_map>

#include "generator.h"

namespace fuzz {

std::span<const OpEntry> op_entries() {
  static const std::vector<OpEntry> entries = [] {
    std::vector<OpEntry> all;
    add_pointwise_entries(all);
    add_array_entries(all);
    add_conv_entries(all);
    add_random_entries(all);
    add_slicing_entries(all);
    add_einsum_entries(all);
    add_nn_entries(all);
    add_state_entries(all);
    add_control_entries(all);
    add_loop_entries(all);
    return all;
  }();
  return entries;
}

const OpEntry& op_entry(const std::string& name) {
  static const std::unordered_map<std::string, const OpEntry*> by_name = [] {
    std::unordered_map<std::string, const OpEntry*> map;
    for (const OpEntry& e : op_entries()) map.emplace(e.name, &e);
    return map;
  }();
  const auto it = by_name.find(name);
  if (it == by_name.end()) throw std::logic_error("no such instruction: " + name);
  return *it->second;
}

bool is_control_flow(const Instruction& i) {
  return i.op.starts_with("cond") || i.op.starts_with("while") || i.op == "switch_case";
}

bool is_effect(const Instruction& i) {
  return i.op.ends_with("_write") || i.op.starts_with("assign") || i.op == "print" || i.op == "group" ||
         i.op == "assert_that" || i.op == "with_effects";
}

namespace {

using Record = tf::PointwiseRecord;

bool takes(const Record& r, tf::DType t) {
  return tf::supports(r.dtypes, t) || (r.dtypes == tf::DTypeClass::quotient && tf::is_integer(t));
}

/// True if the shapes broadcast, to no more than fits into a program run many times.
bool broadcastable(const tf::Shape& a, const tf::Shape& b) {
  int64_t elements = 1;
  for (int k = 1; k <= std::max(a.rank(), b.rank()); ++k) {
    const int64_t x = k <= a.rank() ? a[a.rank() - k] : 1, y = k <= b.rank() ? b[b.rank() - k] : 1;
    if (x != y && x != 1 && y != 1) return false;
    elements *= x == 1 ? y : x;
  }
  return elements <= 200000;
}

bool propose_unary(const Record& r, Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return takes(r, g.dtype(v)); });
  i.inputs = {x};
  return x >= 0;
}

bool propose_binary(const Record& r, Generator& g, Instruction& i) {
  const int a = g.pick([&](int v) { return takes(r, g.dtype(v)); });
  if (a < 0) return false;
  int b = g.pick([&](int v) {
    return takes(r, g.dtype(v)) && takes(r, tf::promote(g.dtype(a), g.dtype(v))) &&
           broadcastable(g.shape(a), g.shape(v));
  });
  if (b < 0 || g.rng().one_in(4)) b = g.value_of(g.dtype(a), g.narrower(g.shape(a)));
  i.inputs = {a, b};
  if (g.rng().one_in(2)) std::swap(i.inputs[0], i.inputs[1]);
  return true;
}

/// A number beside a tensor: floating ones beside floating tensors only.
bool propose_literal(const Record& r, Generator& g, Instruction& i) {
  const int x = g.pick([&](int v) { return takes(r, g.dtype(v)) && g.dtype(v) != tf::bool_; });
  if (x < 0) return false;
  i.inputs = {x};
  i.dtype = g.dtype(x);
  i.integer = g.rng().below(4);
  i.number[0] = (g.rng().below(17) - 8) * 0.25;
  return true;
}

tf::Operand literal(const Instruction& i) {
  return tf::is_floating(i.dtype) ? tf::Operand(i.number[0]) : tf::Operand(i.integer);
}

}  // namespace

void add_pointwise_entries(std::vector<OpEntry>& all) {
  for (const Record& r : tf::pointwise_records()) {
    const std::string name = r.function, call = "tf::" + name;
    if (r.arity == 1) {
      all.push_back({name, 2, call + "($0)", [&r](Generator& g, Instruction& i) { return propose_unary(r, g, i); },
                     [&r](State& s, const Instruction& i) { return std::vector{r.unary(s.value(i.inputs[0]))}; }});
      continue;
    }
    all.push_back({name, 2, call + "($0, $1)", [&r](Generator& g, Instruction& i) { return propose_binary(r, g, i); },
                   [&r](State& s, const Instruction& i) {
                     return std::vector{r.binary(s.value(i.inputs[0]), s.value(i.inputs[1]))};
                   }});
    if (r.dtypes == tf::DTypeClass::boolean) continue;
    const auto propose = [&r](Generator& g, Instruction& i) { return propose_literal(r, g, i); };
    all.push_back({name + ".literal", 1, call + "($0, $literal)", propose, [&r](State& s, const Instruction& i) {
                     return std::vector{r.binary(s.value(i.inputs[0]), literal(i))};
                   }});
    all.push_back({"literal." + name, 1, call + "($literal, $0)", propose, [&r](State& s, const Instruction& i) {
                     return std::vector{r.binary(literal(i), s.value(i.inputs[0]))};
                   }});
  }
  all.push_back({"where", 6, "tf::where($0, $1, $2)",
                 [](Generator& g, Instruction& i) {
                   const int a = g.pick([&](int) { return true; });
                   if (a < 0) return false;
                   const int condition = g.value_of(tf::bool_, g.narrower(g.shape(a)));
                   i.inputs = {condition, a, g.value_of(g.dtype(a), g.narrower(g.shape(a)))};
                   if (g.rng().one_in(2)) std::swap(i.inputs[1], i.inputs[2]);
                   return true;
                 },
                 [](State& s, const Instruction& i) {
                   return std::vector{tf::where(s.value(i.inputs[0]), s.value(i.inputs[1]), s.value(i.inputs[2]))};
                 }});
  all.push_back({"cast", 8, "tf::cast($0, $dtype)",
                 [](Generator& g, Instruction& i) {
                   i.inputs = {g.pick([&](int) { return true; })};
                   i.dtype = g.any_dtype();
                   return i.inputs[0] >= 0;
                 },
                 [](State& s, const Instruction& i) { return std::vector{tf::cast(s.value(i.inputs[0]), i.dtype)}; }});
}

}  // namespace fuzz
