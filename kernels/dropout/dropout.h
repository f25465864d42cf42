// Dropout.
#pragma once

#include <optional>

#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `dropout`.
struct DropoutOptions {
  std::optional<int64_t> seed = {};  ///< as of random_uniform
};

/// y = x / (1 - rate) where u >= rate, else 0, with a u uniform in [0, 1) for every element, so that y has x's mean. A
/// number that is dropped leaves 0 whatever it was, NaN too. The u are drawn anew at every run, in the shape that x has
/// then, as by random_uniform; the gradient, of every order, is dropped where y was.
///
/// x is float32 or float64; a rate of 0 gives x, as for evaluating a model. InvalidArgument: another dtype, a rate not
/// in [0, 1). Source: TensorFlow's dropout (Srivastava and others, "Dropout", 2014).
Tensor dropout(Operand x, double rate = 0.5, DropoutOptions options = {});

}  // namespace twofold
