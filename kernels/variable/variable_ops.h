// The ops on variables. Sessions, graphs and eager mode execute them: no kernel does what they do.
#pragma once

#include <twofold/lib/op/opdef.h>

namespace twofold {

extern OpDef read_variable_op;  ///< output: the variable's value at this point of the program
extern OpDef assign_op;         ///< variable := input 0; output: the new value
extern OpDef assign_add_op;     ///< variable := variable + input 0
extern OpDef assign_sub_op;     ///< variable := variable - input 0

}  // namespace twofold
