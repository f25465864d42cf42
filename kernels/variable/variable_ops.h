// The ops on variables. Sessions, graphs and eager mode execute them: no kernel does what they do.
#pragma once

#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {

extern OpDef read_variable_op;  ///< output: the variable's value at this point of the program
extern OpDef assign_op;         ///< variable := input 0; output: the new value
extern OpDef assign_add_op;     ///< variable := variable + input 0
extern OpDef assign_sub_op;     ///< variable := variable - input 0

/// The variable that an op reads or assigns, which its attributes name; null: it does neither.
inline const Ref<VariableState>* variable_in(AttrsView attrs) {
  return attrs && attrs.type() == &internal::kAttrsType<VariableAttrs> ? &attrs.as<VariableAttrs>().variable : nullptr;
}

}  // namespace twofold
