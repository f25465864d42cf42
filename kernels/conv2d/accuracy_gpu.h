// How accurate a convolution's result is.
#pragma once

#include <cuda_runtime.h>

#include <twofold/kernels/conv2d/cudnn_gpu.h>

namespace twofold::cudnn {

/// Begins to compare the result of c.pass, made from the other two tensors, with sums in float64, at up to 512 places
/// spread over it: `*error`, on the GPU, becomes the largest |result - sum| / max(1, sum of the terms' magnitudes);
/// infinity where a result is NaN.
cudaError_t measure_error(const Convolution& c, const void* x, const void* weight, const void* y, float* error,
                          cudaStream_t stream);

}  // namespace twofold::cudnn
