// Waiting for GPUs.
#pragma once

namespace twofold {

/// Waits until the GPUs have done all that was asked of them, and throws what of this thread's work has failed without
/// anybody's having been told. Values wait by themselves; timing and profiling need it.
void synchronize();

}  // namespace twofold
