#include <twofold/session/program/node_kinds.h>

#include <twofold/graph/graph_ops.h>

namespace twofold {

bool is_skipped(const Program& p, const ProgramNode& n) {
  if (n.dead || n.op == &no_op_op) return true;
  return n.num_outputs && !n.has_effect() && p.values[n.first_output].constant.defined();
}

bool is_alias(const Program& p, const ProgramNode& n) {
  if (n.op->flags.alias) return true;
  if (!n.op->view) return false;
  const Shape &x = p.values[n.inputs[0]].spec.shape, &y = p.values[n.first_output].spec.shape;
  return x.is_known() && y.is_known() && x.saturated_elements() == y.saturated_elements() &&
         n.op->view(n.attrs_view(), x, y) == 0;
}

const Ref<VariableState>& variable_of(const ProgramNode& n) { return n.attrs_view().as<VariableAttrs>().variable; }

}  // namespace twofold
