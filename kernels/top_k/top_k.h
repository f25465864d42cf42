// The largest elements and where they are.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// What top_k gives.
struct TopKResult {
  Tensor values;   ///< the largest elements, the largest first
  Tensor indices;  ///< int32, along x's last axis
};

/// The k largest elements along the last axis, the largest first; of equal ones that of the lower index comes first.
/// NaN counts as the largest, as in `max`, and -0 as equal to 0. Numbers of any dtype; both results have x's shape but
/// k along the last axis. The gradient of the values goes to where they were. InvalidArgument: a scalar, bool, k
/// negative or more than there are elements. Source: TensorFlow's top_k.
TopKResult top_k(Operand x, int64_t k = 1);

/// Attributes of TopK.
struct TopKAttrs {
  int64_t k = 1;
  TWOFOLD_FIELDS(k)
};

namespace op_name {
TWOFOLD_OP_NAME(TopK);
}  // namespace op_name

}  // namespace twofold
