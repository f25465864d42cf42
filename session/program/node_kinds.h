// What kinds of work a program's nodes are, as plans see them.
#pragma once

#include <twofold/session/program/program.h>

namespace twofold {

bool is_control_flow(const OpDef& op);
/// Ops that are host ops by nature: printing, assertions, control flow.
bool is_host_op(const OpDef& op);
/// Done on tensors by the host, rather than by a kernel on pointers.
bool is_host_op(const ProgramNode& n);
/// The one op that writes variables: programs have no other, since updates are lowered.
bool is_assignment(const OpDef& op);
/// Nodes whose results are known, and names without work.
bool is_skipped(const Program& p, const ProgramNode& n);
/// Whether output 0 is input 0's bytes: always, or for the shapes that the plan is for.
bool is_alias(const Program& p, const ProgramNode& n);
/// Where a variable lies; `otherwise` if no guard has placed it.
inline Device device_of(const VariableState& v, Device otherwise) {
  return v.device < 0 ? otherwise : Device{v.device};
}
/// The variable that a read or an assignment is of.
const Ref<VariableState>& variable_of(const ProgramNode& n);

}  // namespace twofold
