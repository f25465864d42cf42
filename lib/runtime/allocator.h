// Host memory: 64-byte aligned, and kept for the next request of its size, since fresh pages cost more than arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>

namespace twofold {

/// Bytes, but for the counts. A steady program has a constant `fresh_count`.
struct AllocatorStats {
  int64_t in_use = 0;       ///< handed out now
  int64_t peak = 0;         ///< most ever handed out at once
  int64_t cached = 0;       ///< freed by the program, not yet returned to the system
  int64_t fresh_count = 0;  ///< requests that the system had to serve
};

/// Memory for `bytes` (at least 1), 64-byte aligned, contents undefined. Throws ResourceExhausted.
void* allocate(size_t bytes);
/// Gives back what allocate(bytes) returned.
void deallocate(void* p, size_t bytes) noexcept;

/// What the host has or, in a container that may use less, that.
size_t host_memory_bytes();

/// Of the host's memory, now.
AllocatorStats allocator_stats();
/// From here on the peak is that of what comes.
void reset_peak_allocation();
/// Bounds what is kept for reuse (default: 2 GiB), and gives back what is over it. InvalidArgument: below 0.
void set_allocator_cache_limit(int64_t bytes);

}  // namespace twofold
