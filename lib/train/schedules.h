// Schedules of the learning rate: factors by the number of steps done, for Optimizer::set_schedule.
#pragma once

#include <cstdint>
#include <source_location>

#include <twofold/lib/train/optimizer.h>

namespace twofold::train {

/// gamma^floor(step / size). InvalidArgument: size < 1. (PyTorch: StepLR)
Schedule step_decay(int64_t size, double gamma = 0.1, std::source_location where = std::source_location::current());

/// gamma^step. (PyTorch: ExponentialLR)
Schedule exponential_decay(double gamma);

/// end + (1 - end) * (1 + cos(pi * min(step, steps) / steps)) / 2: from 1 down to `end` in `steps`, where it stays.
/// InvalidArgument: steps < 1. (Loshchilov and Hutter, "SGDR", 2017; PyTorch: CosineAnnealingLR)
Schedule cosine_decay(int64_t steps, double end = 0, std::source_location where = std::source_location::current());

/// min(1, (step + 1) / steps), times what `then` gives. InvalidArgument: steps < 1. (PyTorch: LinearLR)
Schedule warmup(int64_t steps, Schedule then = {}, std::source_location where = std::source_location::current());

}  // namespace twofold::train
