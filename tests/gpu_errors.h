// What tests of late errors have in common.
#pragma once

#include <twofold/twofold.h>

#include "gpu.h"
#include "thrown.h"

namespace testing {

/// On the first GPU.
inline twofold::Tensor there(const twofold::Literal& values) { return twofold::tensor(values).to("/gpu:0"); }

/// Waits without asking for errors.
inline void wait_for_gpu() { REQUIRE(twofold::gpu_runtime()->synchronize(0) == 0); }

inline constexpr const char* kBadIndex = "'Gather' was given the index 7, which is out of range";

}  // namespace testing
