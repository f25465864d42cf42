// Two operands of one op.
#pragma once

#include <twofold/lib/op/operand.h>

namespace twofold {

/// Two operands brought to one dtype: literals take the tensor's, tensors promote by `promote`. A floating literal
/// beside an integer tensor throws InvalidArgument and says "cast".
struct OperandPair {
  /// `first`: which input of the op `a` is.
  OperandPair(const Operand& a, const Operand& b, const char* op, size_t first = 0);
  const Tensor* a;  ///< the first operand, of the common dtype
  const Tensor* b;  ///< the second

 private:
  Tensor made_[2];
};

}  // namespace twofold
