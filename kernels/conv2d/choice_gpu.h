// What does a convolution: one of cuDNN's engines, or a kernel of our own.
#pragma once

#include <functional>
#include <memory>

#include <twofold/kernels/conv2d/cudnn_gpu.h>

namespace twofold::cudnn {

/// A kernel of our own that does a convolution of float32.
struct Own {
  size_t workspace = 0;
  std::function<cudaError_t(float* x, float* weight, float* y, void* workspace, cudaStream_t stream)> run;
};

/// A plan for the convolution on the current device, which has run once; null if `own`, where there is one, is to do
/// it, or if cuDNN has none.
///
/// Small convolutions are done by `own`, where there is none by the first of cuDNN's engines, in the order of its
/// heuristics, that works. Larger ones go to the fastest of the first eight and of `own`, by timing; without timing to
/// `own`, unless cuDNN may round to TF32. That choice is kept on disk (cuda/disk_cache.h) for later processes, as
/// another engine would give other last bits. Equal arguments get the same plan in a process. TWOFOLD_AUTOTUNE=0 in the
/// environment: no timing.
std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints, const Own* own);

}  // namespace twofold::cudnn
