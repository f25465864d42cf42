// Variables assigned by functions: what Variable's members do.
#pragma once

#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

/// @{
/// TensorFlow's spelling of `v.assign(value)` and the like.
inline Tensor assign(const Variable& v, Operand value) { return v.assign(value); }
inline Tensor assign_add(const Variable& v, Operand value) { return v.assign_add(value); }
inline Tensor assign_sub(const Variable& v, Operand value) { return v.assign_sub(value); }
/// @}

}  // namespace twofold
