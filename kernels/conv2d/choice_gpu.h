// What does a convolution: one of cuDNN's engines, or a kernel of our own.
#pragma once

#include <memory>

#include <twofold/kernels/conv2d/cudnn_gpu.h>
#include <twofold/kernels/conv2d/direct3x3_gpu.h>

namespace twofold::cudnn {

/// A plan for the convolution on the current device, which has run once; null if `own`, where there is one, is to do
/// it, or if cuDNN has none.
///
/// Of cuDNN's engines, in the order of its heuristics, the first that works; for larger convolutions the fastest of the
/// first eight and of `own`, by timing; without timing `own`, unless cuDNN may round to TF32. That choice is kept on
/// disk (cuda/disk_cache.h) for later processes, as another engine would give other last bits. Equal arguments get the
/// same plan in a process. TWOFOLD_AUTOTUNE=0 in the environment: no timing.
std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints,
                                        const direct3x3::WeightGradient* own);

}  // namespace twofold::cudnn
