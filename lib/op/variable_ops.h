// The ops that a graph's own machinery executes: no kernel does what they do.
#pragma once

#include <twofold/lib/op/opdef.h>
#include <twofold/lib/runtime/device.h>

namespace twofold {

/// Where Transfer takes its input: Device::index.
struct TransferAttrs {
  int64_t device = 0;
  TWOFOLD_FIELDS(device)
};
extern OpDef transfer_op;  ///< output: input 0's elements, on another device

extern OpDef read_variable_op;  ///< output: the variable's value at this point of the program
extern OpDef assign_op;         ///< variable := input 0; output: the new value
extern OpDef assign_add_op;     ///< variable := variable + input 0
extern OpDef assign_sub_op;     ///< variable := variable - input 0

}  // namespace twofold
