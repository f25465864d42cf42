#include <twofold/lib/runtime/allocator.h>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/caching_allocator.h>
#include <twofold/lib/runtime/reclaim.h>

namespace twofold {
namespace {

class HostMemory final : public MemorySource {
 public:
  // A system that overcommits hands out more than there is, and kills whoever writes there.
  void* take(size_t bytes) override { return bytes > host_memory_bytes() ? nullptr : std::aligned_alloc(64, bytes); }
  void give(void* p, size_t) noexcept override { std::free(p); }
};

// Never destroyed: values with static storage may outlive any order of destruction.
CachingAllocator& the_allocator() {
  constexpr int64_t kCacheLimit = int64_t{2} << 30;
  static auto* allocator = new CachingAllocator(*new HostMemory, kCacheLimit);
  return *allocator;
}

}  // namespace

size_t host_memory_bytes() {
  static const size_t known = [] {
    const size_t bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_t most = 0;  // "max" where there is no limit, which is no number
    return std::ifstream("/sys/fs/cgroup/memory.max") >> most && most > 0 ? std::min(bytes, most) : bytes;
  }();
  return known;
}

void* allocate(size_t bytes) {
  do {
    if (void* p = the_allocator().allocate(bytes)) return p;
  } while (reclaim_memory({}));
  fail(Code::ResourceExhausted, fmt::format("Out of memory: {} bytes were asked for while {} are in use", bytes,
                                            the_allocator().stats().in_use));
}
void deallocate(void* p, size_t bytes) noexcept { the_allocator().deallocate(p, bytes); }
AllocatorStats allocator_stats() { return the_allocator().stats(); }
void reset_peak_allocation() { the_allocator().reset_peak(); }
void set_allocator_cache_limit(int64_t bytes) {
  if (bytes < 0)
    fail(Code::InvalidArgument, fmt::format("The limit is {} bytes; it must be 0 or more", bytes), "0 to keep nothing");
  the_allocator().set_cache_limit(bytes);
}

}  // namespace twofold
