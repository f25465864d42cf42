// Which of cuDNN's engines does a convolution.
#pragma once

#include <memory>

#include <twofold/kernels/conv2d/cudnn_gpu.h>

namespace twofold::cudnn {

/// A plan for the convolution on the current device, which has run once; null if cuDNN has none.
///
/// Of cuDNN's engines, in the order of its heuristics, the first that works; for larger convolutions the fastest of the
/// first eight, by timing. That choice is kept on disk (cuda/disk_cache.h) for later processes, as another engine would
/// give other last bits. Equal arguments get the same plan in a process. TWOFOLD_AUTOTUNE=0 in the environment: no
/// timing.
std::shared_ptr<const Plan> choose_plan(const Convolution& c, const Constraints& constraints);

}  // namespace twofold::cudnn
