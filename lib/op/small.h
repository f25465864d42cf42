// The shortest way through a pointwise op: on few values, with nobody looking.
#pragma once

#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// A pointwise op without attributes on two values of one dtype, of one shape or one of them a scalar, few enough for
/// one thread: straight to the tile function that its kernel would call. A unary op gives its operand twice. False,
/// with nothing done, if the operands are not like that or somebody records.
bool apply_small(const OpDef& op, const Tensor& x, const Tensor& y, Tensor& out);

}  // namespace twofold
