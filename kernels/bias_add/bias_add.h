// Adding a bias to each channel, and how a vector of channels broadcasts.
#pragma once

#include <twofold/kernels/window2d/window2d.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `bias_add`.
struct BiasAddOptions {
  DataFormat data_format = DataFormat::nhwc;  ///< nchw: channels are axis 1; nhwc: the last axis
};

/// y = x + bias, bias[c] being added to channel c. x of rank 2 and above with C channels, bias (C,), y as x; dtypes
/// promote to one. InvalidArgument: other ranks, numbers of channels that differ. Source: TensorFlow's bias_add.
Tensor bias_add(Operand x, Operand bias, BiasAddOptions options = {});

namespace internal {
/// v, checked to be a vector of as many elements as x has along `axis`, by the run where these are known only there.
/// InvalidArgument: it is not; the error names `function`, and v `name`.
Tensor checked_channels(const char* function, const char* name, const Tensor& v, const Tensor& x, int64_t axis);
/// Such a vector with axes of extent 1 behind it, so that it broadcasts along `axis` of x.
Tensor along_channels(const Tensor& v, const Tensor& x, int64_t axis);
}  // namespace internal

}  // namespace twofold
