// Layer normalisation.
#pragma once

#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `layer_norm`.
struct LayerNormOptions {
  double epsilon = 1e-5;  ///< added to the variance
};

/// y = (x - mean) / sqrt(variance + epsilon) * scale + offset, mean and biased variance being taken over `axes` of each
/// example by itself. Negative axes count from the end; an empty list means all.
///
/// x is float32 or float64; y has its shape, and scale and offset broadcast to it: as a rule they have the extents of
/// the last axes, which `axes` then names. InvalidArgument: another dtype, an axis out of range or given twice, a scale
/// or offset that does not broadcast to x (checked by the run where a graph does not know the shapes), a negative
/// epsilon. Source: ONNX LayerNormalization, PyTorch's layer_norm (Ba, Kiros, Hinton, "Layer Normalization", 2016).
Tensor layer_norm(Operand x, Operand scale, Operand offset, Axes axes = -1, LayerNormOptions options = {});

}  // namespace twofold
