// Failing where numbers are none.
#pragma once

#include <string>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// y = x. Where x has a NaN or an infinity it fails when it is computed, with InvalidArgument "message : Tensor had NaN
/// values", "Inf values" or "Inf and NaN values", and the line that called it. float32 and float64. So is the gradient
/// checked that comes through it, "Not a number (NaN) or infinity (Inf) values detected in gradient. message" being its
/// message then. A y that nobody reads is not computed. Source: TensorFlow's check_numerics.
Tensor check_numerics(Operand x, std::string message);

/// Attributes of CheckNumerics.
struct CheckNumericsAttrs {
  std::string message;
  TWOFOLD_FIELDS(message)
};

namespace op_name {
inline constexpr OpName CheckNumerics{"CheckNumerics"};
}  // namespace op_name

}  // namespace twofold
