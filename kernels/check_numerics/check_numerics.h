// A check for NaNs and infinities.
#pragma once

#include <string>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// y = x. If x has a NaN or an infinity, computing y fails with InvalidArgument "message : Tensor had NaN values", "Inf
/// values" or "Inf and NaN values", and the line of this call. float32 and float64. The gradient that comes through is
/// checked as well; its message is "Not a number (NaN) or infinity (Inf) values detected in gradient. message". A y
/// that nobody reads is not computed, and so not checked. Source: TensorFlow's check_numerics.
Tensor check_numerics(Operand x, std::string message);

/// Attributes of CheckNumerics.
struct CheckNumericsAttrs {
  std::string message;
  TWOFOLD_FIELDS(message)
};

namespace op_name {
TWOFOLD_OP_NAME(CheckNumerics);
}  // namespace op_name

}  // namespace twofold
