// Softmax and its logarithm.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// y = exp(x - m) / sum(exp(x - m)) along `axis`, m being the maximum there. x is floating; y has its shape and dtype.
/// A slice that has a NaN, a +inf, or nothing above -inf becomes NaN. InvalidArgument: an axis out of range, a dtype
/// that is not floating. TensorFlow's tf.nn.softmax.
Tensor softmax(Operand x, int64_t axis = -1);

/// y = x - m - log(sum(exp(x - m))) along `axis`: log(softmax(x)) without its loss of digits. Otherwise as `softmax`.
/// TensorFlow's tf.nn.log_softmax.
Tensor log_softmax(Operand x, int64_t axis = -1);

/// Attributes of Softmax.
struct SoftmaxAttrs {
  int64_t axis = -1;
  TWOFOLD_FIELDS(axis)
};

namespace op_name {
TWOFOLD_OP_NAME(Softmax);
TWOFOLD_OP_NAME(LogSoftmax);
}  // namespace op_name

}  // namespace twofold
