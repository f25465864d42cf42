// What does a convolution: one of cuDNN's engines, or a kernel of our own.
#pragma once

#include <functional>
#include <memory>

#include <twofold/kernels/conv2d/cudnn_gpu.h>

namespace twofold::cudnn {

/// A kernel of our own that does one pass of a convolution of float32, writing what the pass makes of the others; it
/// adds `bias` to y where that is made and there is one.
struct Own {
  size_t workspace = 0;
  std::function<cudaError_t(float* x, float* weight, const float* bias, float* y, void* workspace, cudaStream_t stream)>
      run;
};

/// From about four million products on. Smaller convolutions take no longer in float32 than in TF32.
bool is_large(const Convolution& c);

/// A plan for the convolution on the current device, which has run once; null if `own`, where there is one, is to do
/// it, or if cuDNN has none.
///
/// Large convolutions go to the fastest of `own` and the first eight of cuDNN's engines, in the order of its
/// heuristics, by timing. That choice is kept on disk (cuda/disk_cache.h) for later processes, as another engine would
/// give other last bits. The rest, and with TWOFOLD_AUTOTUNE=0 in the environment all, are done by `own`, where there
/// is none by the first engine that works. Of engines those alone are taken whose results on trial are off by no more
/// than 3e-7 (float32), 1e-3 (TF32) or 1e-14 (float64) of what the terms' magnitudes sum to. Equal arguments get the
/// same plan in a process. Without memory for a trial there is no plan, `untried` is set, and the next call chooses
/// anew.
std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints, const Own* own,
                                        bool& untried);

}  // namespace twofold::cudnn
