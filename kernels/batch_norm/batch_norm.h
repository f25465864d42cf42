// Batch normalisation: by the statistics of the batch itself (training mode), and by given ones (inference), which
// training gathers.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `batch_norm`.
struct BatchNormOptions {
  double epsilon = 1e-5;  ///< added to the variance
  int64_t axis = 1;       ///< of the channels: 1 for NCHW and NC, -1 for NHWC
};

/// What batch_norm gives.
struct BatchNormResult {
  Tensor y;         ///< the normalised x
  Tensor mean;      ///< of each channel
  Tensor variance;  ///< of each channel, biased: divided by the number of elements
};

/// y = (x - mean) / sqrt(variance + epsilon) * scale + offset, with mean and variance taken over every axis but `axis`.
///
/// Shapes: x of rank 2 and above with C channels along `axis`; scale and offset (C,); y as x; mean and variance (C,),
/// both differentiable too. float32 and float64; sums are taken in float64. A channel of one element has variance 0.
/// Throws InvalidArgument on other shapes and dtypes, where channels have no elements and so no mean, and for a
/// negative epsilon.
/// Source: PyTorch's batch_norm(training=True), ONNX BatchNormalization(training_mode=1).
BatchNormResult batch_norm(Operand x, Operand scale, Operand offset, BatchNormOptions options = {});

/// y = (x - mean) * (scale / sqrt(variance + epsilon)) + offset with statistics that are given, as those that training
/// has gathered are.
///
/// Shapes: x of rank 2 and above with C channels along `axis`; all others (C,); y as x. float32 and float64. Made of
/// other ops: differentiable by each of the five, of every order. InvalidArgument: other shapes and dtypes, a negative
/// epsilon. Source: TensorFlow's batch_normalization, ONNX BatchNormalization.
Tensor batch_norm_inference(Operand x, Operand mean, Operand variance, Operand scale, Operand offset,
                            BatchNormOptions options = {});

/// Options of `running_statistics`.
struct RunningStatisticsOptions {
  double momentum = 0.1;  ///< the share of the new batch, in [0, 1]
  int64_t axis = 1;       ///< of x's channels, as BatchNormOptions::axis
};

/// Statistics of all batches so far, one element per channel.
struct RunningStatistics {
  Tensor mean;      ///< the running mean
  Tensor variance;  ///< the running variance
};

/// Running statistics after one more batch x, whose mean and biased variance are given as batch_norm gives them:
///
///     mean     = running_mean * (1 - momentum) + mean * momentum
///     variance = running_var * (1 - momentum) + variance * (n / max(n - 1, 1)) * momentum
///
/// n being the number of elements of a channel. Of x only the shape is used, so its dtype does not matter.
/// Shapes: x of rank 2 and above with C channels along `axis`; all others (C,), of one dtype, float32 or float64. Not
/// differentiable: gradients stop here. InvalidArgument: other shapes and dtypes, channels without elements, a momentum
/// outside [0, 1]. Source: PyTorch's batch_norm(training=True, running_mean, running_var).
RunningStatistics running_statistics(Operand running_mean, Operand running_var, Operand mean, Operand variance,
                                     Operand x, RunningStatisticsOptions options = {});

/// Attributes of BatchNorm.
struct BatchNormAttrs {
  double epsilon = 1e-5;
  int64_t axis = 1;
  /// BatchNorm rectifies y, and its last output, else empty, tells where it is flat (flat.h); BatchNormGrad has that
  /// output as its last input. Set only by the pass "batch_norm".
  bool relu = false;
  TWOFOLD_FIELDS(epsilon, axis, relu)
};

/// Attributes of RunningStatistics.
struct RunningStatisticsAttrs {
  double momentum = 0.1;
  int64_t axis = 1;
  TWOFOLD_FIELDS(momentum, axis)
};

/// How a kernel sees x: `outer` x `channels` x `inner` elements in row-major order.
struct BatchNormLayout {
  /// @{
  /// x in row-major order has outer * channels * inner elements.
  int64_t outer = 1, channels = 1, inner = 1;
  /// @}

  BatchNormLayout(const Shape& x, int64_t axis) {
    if (axis < 0) axis += x.rank();
    for (int i = 0; i < x.rank(); ++i) (i < axis ? outer : i == axis ? channels : inner) *= x[i];
  }
  /// Elements of one channel.
  int64_t count() const { return outer * inner; }
};

namespace op_name {
TWOFOLD_OP_NAME(BatchNorm);
TWOFOLD_OP_NAME(BatchNormGrad);
TWOFOLD_OP_NAME(RunningStatistics);
}  // namespace op_name

}  // namespace twofold
