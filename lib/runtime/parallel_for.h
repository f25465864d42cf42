// The threads kernels run on, as kernels are given them.
#pragma once

#include <twofold/lib/runtime/kernel.h>

namespace twofold {

/// For KernelContext::parallel; null when one thread is all there is.
const ParallelFor* parallel_for();

}  // namespace twofold
