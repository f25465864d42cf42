// Running sums.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `cumsum`.
struct CumsumOptions {
  bool exclusive = false;  ///< an element's sum ends before it: 1 2 3 gives 0 1 3
  bool reverse = false;    ///< from the end on: 1 2 3 gives 6 5 3, exclusive 5 3 0
};

/// y[.., i, ..] = x[.., 0, ..] + ... + x[.., i, ..] along `axis`, of x's shape and dtype. Integers wrap; float32 is
/// summed in float64. Differentiable, of every order. InvalidArgument: an axis out of range, a bool tensor. Source:
/// TensorFlow's cumsum.
Tensor cumsum(Operand x, int64_t axis = 0, CumsumOptions options = {});

/// Attributes of Cumsum.
struct CumsumAttrs {
  int64_t axis = 0;
  bool exclusive = false;
  bool reverse = false;
  TWOFOLD_FIELDS(axis, exclusive, reverse)
};

namespace op_name {
TWOFOLD_OP_NAME(Cumsum);
}  // namespace op_name

}  // namespace twofold
