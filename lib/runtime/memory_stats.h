// What is held of a device's memory.
#pragma once

#include <string_view>

#include <twofold/lib/runtime/allocator.h>

namespace twofold {

/// Of "/cpu:0" or "/gpu:0", all sessions and eager values together. A GPU's peak adds up those of its pools, so that it
/// is an upper bound where several sessions live.
AllocatorStats memory_stats(std::string_view device);
/// Peaks count from now on.
void reset_peak_memory(std::string_view device);

}  // namespace twofold
