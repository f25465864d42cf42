// What kinds of work a program's nodes are, as plans see them. What an op is, whatever the program, its flags say.
#pragma once

#include <twofold/session/program/program.h>

namespace twofold {

/// Done by the host on tensors, rather than by a kernel on pointers: by the op's nature, or for want of shapes.
inline bool is_host_op(const ProgramNode& n) { return n.dynamic || n.op->flags.on_host; }
/// Takes its inputs as tensors, wherever they lie, and gives tensors of its own: host ops, and what moves elements.
inline bool takes_tensors(const ProgramNode& n) { return is_host_op(n) || n.op->run; }
/// The one op that reads variables.
inline bool is_read(const ProgramNode& n) { return n.op->flags.reads_variable; }
/// The one op that writes variables: programs have no other, since updates are lowered.
inline bool is_assignment(const ProgramNode& n) { return n.op->flags.writes_variable; }
/// Nodes whose results are known, and names without work.
bool is_skipped(const Program& p, const ProgramNode& n);
/// Whether output 0 is input 0's bytes: always, or for the shapes that the plan is for.
bool is_alias(const Program& p, const ProgramNode& n);
/// Where a session keeps a variable; `otherwise` if no guard has placed it.
inline Device slot_device(const VariableState& v, Device otherwise) {
  return v.device < 0 ? otherwise : Device{v.device};
}
/// The variable that a read or an assignment is of.
const Ref<VariableState>& variable_of(const ProgramNode& n);

}  // namespace twofold
