// The pointwise ops themselves: their names, which kernels are registered by, and their OpDefs.
#pragma once

#include <twofold/lib/runtime/op_name.h>

namespace twofold {

struct OpDef;

namespace op_name {
#define TWOFOLD_UNARY(function, Op, ...) TWOFOLD_OP_NAME(Op);
#define TWOFOLD_BINARY(function, Op, ...) TWOFOLD_OP_NAME(Op);
#include <twofold/kernels/pointwise/ops.def>
TWOFOLD_OP_NAME(Select);
TWOFOLD_OP_NAME(IfArrived);
TWOFOLD_OP_NAME(Cast);
TWOFOLD_OP_NAME(Fused);
}  // namespace op_name

// add_op, relu_op, ...: each has the name of the user's function.
#define TWOFOLD_UNARY(function, ...) extern OpDef function##_op;
#define TWOFOLD_BINARY(function, ...) extern OpDef function##_op;
#include <twofold/kernels/pointwise/ops.def>
extern OpDef select_op, if_arrived_op, cast_op, fused_op;

}  // namespace twofold
