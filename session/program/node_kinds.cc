#include <twofold/session/program/node_kinds.h>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>

namespace twofold {

bool is_control_flow(const OpDef& op) { return &op == &if_op || &op == &while_op || &op == &backprop_op; }

bool is_host_op(const OpDef& op) { return &op == &print_op || &op == &assert_op || is_control_flow(op); }
bool is_host_op(const ProgramNode& n) { return n.dynamic || is_host_op(*n.op); }

bool is_skipped(const Program& p, const ProgramNode& n) {
  if (n.dead || n.op == &no_op_op) return true;
  return n.num_outputs && !n.has_effect() && p.values[n.first_output].constant.defined();
}

bool is_assignment(const OpDef& op) { return &op == &assign_op; }

bool is_alias(const Program& p, const ProgramNode& n) {
  if (n.op->flags.alias) return true;
  if (!n.op->view) return false;
  const Shape &x = p.values[n.inputs[0]].spec.shape, &y = p.values[n.first_output].spec.shape;
  return x.is_known() && y.is_known() && x.saturated_elements() == y.saturated_elements() &&
         n.op->view(n.attrs_view(), x, y) == 0;
}

const Ref<VariableState>& variable_of(const ProgramNode& n) { return n.attrs_view().as<VariableAttrs>().variable; }

}  // namespace twofold
