// What does a convolution: one of cuDNN's engines, or a kernel of our own.
#pragma once

#include <functional>
#include <memory>

#include <twofold/kernels/conv2d/cudnn_gpu.h>

namespace twofold::cudnn {

/// A kernel of our own for one Pass of a convolution of float32. It writes that pass's result, made from the other two
/// tensors, and adds `bias` to y if y is the result and there is a bias.
struct Own {
  size_t workspace = 0;
  std::function<cudaError_t(float* x, float* weight, const float* bias, float* y, void* workspace, cudaStream_t stream)>
      run;
};

/// Whether a convolution has about four million products or more. Smaller ones take no longer in float32 than in TF32.
bool is_large(const Convolution& c);

/// A plan for the convolution on the current device, which has run once; null if `own`, where there is one, is to do
/// it, or if cuDNN has none.
///
/// Large convolutions go to the fastest, by timing, of `own` and the first eight engines in the order of cuDNN's
/// heuristics. That choice is kept on disk (cuda/disk_cache.h) for later processes, as another engine would give other
/// last bits. The others, and with TWOFOLD_AUTOTUNE=0 in the environment all, go to `own`, or if there is none to the
/// first engine that works. An engine is taken only if its results on trial are off by no more than 3e-7 (float32),
/// 1e-3 (TF32) or 1e-14 (float64) of the sum of the terms' magnitudes. Equal arguments get the same plan in a process.
/// Without memory for a trial there is no plan, `untried` is set, and the next call chooses anew.
/// anew.
std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints, const Own* own,
                                        bool& untried);

}  // namespace twofold::cudnn
