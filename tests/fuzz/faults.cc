#include "faults.h"

#include <algorithm>
#include <optional>

#include <twofold/graph/graph_ops.h>
#include <twofold/session/program/passes.h>
#include <twofold/twofold.h>

namespace fuzz {
namespace {

namespace tf = twofold;
using tf::Program;
using tf::ProgramNode;
using tf::ValueId;

Fault g_fault = Fault::none;

int64_t swap_reads(Program& p) {
  const auto variable = [](const ProgramNode& n) { return n.attrs_view().as<tf::VariableAttrs>().variable; };
  for (size_t i = 0; i < p.nodes.size(); ++i) {
    if (p.nodes[i].dead || p.nodes[i].op != &tf::assign_op) continue;
    for (size_t j = i + 1; j < p.nodes.size(); ++j) {
      if (p.nodes[j].op != &tf::read_variable_op || variable(p.nodes[j]) != variable(p.nodes[i])) continue;
      const auto at = [&](size_t k) { return p.nodes.begin() + static_cast<std::ptrdiff_t>(k); };
      std::rotate(at(i), at(j), at(j + 1));
      p.renumber();
      return 1;
    }
  }
  return 0;
}

int64_t lose_effects(Program& p) {
  if (p.fetched_variables.empty()) return 0;  // the variables' initial assignments are kept
  for (ProgramNode& n : p.nodes) {
    if (n.dead || n.op != &tf::assign_op) continue;
    p.replace(n.first_output, n.inputs[0]);
    p.remove(n);
    return 1;
  }
  return 0;
}

/// Rewrites sum(x) into the sum of the sums of `num_threads()` slices.
class SplitSum {
 public:
  explicit SplitSum(Program& p) : p_(p) {}

  bool run() {
    const int parts = tf::num_threads();
    for (size_t i = 0; i < p_.nodes.size() && parts > 1; ++i) {
      const ProgramNode n = p_.nodes[i];
      if (n.dead || n.dynamic || n.op != tf::find_op("Sum")) continue;
      const tf::TensorSpec x = p_.values[n.inputs[0]].spec, y = p_.values[n.first_output].spec;
      const int64_t elements = x.shape.num_elements(), part = elements / parts;
      if (y.shape.rank() != 0 || part == 0) continue;
      graph_node_ = n.graph_node;
      const ValueId flat =
          add("Reshape", {n.inputs[0]}, tf::ShapeAttrs{tf::Shape{elements}}, {x.dtype, tf::Shape{elements}});
      ValueId total = 0;
      for (int k = 0; k < parts; ++k) {
        const int64_t begin = k * part, size = k + 1 == parts ? elements - begin : part;
        const ValueId slice =
            add("Slice", {flat}, tf::SliceAttrs{tf::Axes{begin}, tf::Axes{size}}, {x.dtype, tf::Shape{size}});
        const ValueId sum = add("Sum", {slice}, tf::ReduceAttrs{}, y);
        total = k ? add("Add", {total, sum}, {}, y) : sum;
      }
      const auto at = p_.nodes.begin() + static_cast<std::ptrdiff_t>(i);
      p_.nodes[i].dead = true;
      p_.nodes.insert(at + 1, made_.begin(), made_.end());
      p_.renumber();
      p_.replace(n.first_output, total);
      return true;
    }
    return false;
  }

 private:
  ValueId add(const char* op, std::initializer_list<ValueId> inputs, tf::AttrsView attrs,
              const tf::TensorSpec& output) {
    ProgramNode n;
    n.op = tf::find_op(op);
    if (attrs) n.attrs = tf::make_ref<tf::AttrsBox>(attrs);
    for (ValueId v : inputs) n.inputs.push_back(v);
    n.first_output = static_cast<ValueId>(p_.values.size());
    n.num_outputs = 1;
    n.graph_node = graph_node_;
    p_.values.push_back({.spec = output});
    made_.push_back(n);
    return n.first_output;
  }

  Program& p_;
  std::vector<ProgramNode> made_;
  uint32_t graph_node_ = 0;
};

int64_t merge_carelessly(Program& p) {
  const auto specs = [&](const ProgramNode& n) {
    std::vector<tf::TensorSpec> all;
    for (const auto& v : p.outputs(n)) all.push_back(v.spec);
    return all;
  };
  const auto mergeable = [](const ProgramNode& n) {
    return !n.dead && !n.root && !n.inputs.empty() && !n.op->flags.effect && !n.op->flags.session;
  };
  int64_t changes = 0;
  for (size_t j = 1; j < p.nodes.size(); ++j) {
    for (size_t i = 0; i < j && mergeable(p.nodes[j]); ++i) {
      const ProgramNode &a = p.nodes[i], &b = p.nodes[j];
      if (!mergeable(a) || a.op != b.op || !std::ranges::equal(a.inputs, b.inputs) || specs(a) != specs(b)) continue;
      for (uint32_t k = 0; k < b.num_outputs; ++k) p.replace(b.first_output + k, a.first_output + k);
      p.remove(p.nodes[j]);
      ++changes;
    }
  }
  return changes;
}

int64_t fault(Program& p) {
  switch (g_fault) {
    case Fault::none: break;
    case Fault::swapped_read: return swap_reads(p);
    case Fault::lost_effect: return lose_effects(p);
    case Fault::thread_dependent: return SplitSum(p).run();
    case Fault::missed_attribute: return merge_carelessly(p);
  }
  return 0;
}

}  // namespace

void plant(Fault f) {
  tf::verify_programs(false);  // it would find some of them at once
  static const bool added = (tf::add_first_pass({"fault", "is wrong on purpose", fault}), true);
  g_fault = added ? f : Fault::none;
}

}  // namespace fuzz
