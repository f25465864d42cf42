#include <twofold/lib/core/allocator.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <twofold/lib/core/error.h>

namespace twofold {
namespace {

// Size classes: multiples of 64 up to 512, then eight to each power of two, so that at most an eighth is wasted.
struct SizeClass {
  size_t index;
  size_t bytes;
};
SizeClass class_of(size_t bytes) {
  if (bytes <= 512) {
    const size_t i = bytes <= 64 ? 0 : (bytes - 1) / 64;
    return {i, (i + 1) * 64};
  }
  const int log = static_cast<int>(std::bit_width(bytes - 1)) - 1;  // 2^log < bytes <= 2^(log+1), log >= 9
  const size_t step = size_t{1} << (log - 3);
  const size_t eighths = (bytes - (size_t{1} << log) + step - 1) / step;  // 1..8
  return {8 + static_cast<size_t>(log - 9) * 8 + eighths - 1, (size_t{1} << log) + eighths * step};
}
constexpr size_t kClasses = 8 + 8 * 55;

class CachingAllocator {
 public:
  void* allocate(size_t bytes) {
    const SizeClass c = class_of(bytes);
    {
      std::lock_guard lock(mutex_);
      auto& free = free_[c.index];
      if (!free.empty()) {
        void* p = free.back();
        free.pop_back();
        stats_.cached -= static_cast<int64_t>(c.bytes);
        took(c.bytes);
        return p;
      }
    }
    void* p = bytes <= kLargest ? std::aligned_alloc(64, c.bytes) : nullptr;
    if (!p) {
      release_cached();  // it may be what is missing
      p = bytes <= kLargest ? std::aligned_alloc(64, c.bytes) : nullptr;
    }
    std::lock_guard lock(mutex_);
    if (!p) {
      fail(Code::ResourceExhausted,
           fmt::format("Out of memory: {} bytes were asked for while {} are in use", bytes, stats_.in_use));
    }
    ++stats_.fresh_count;
    took(c.bytes);
    return p;
  }

  void deallocate(void* p, size_t bytes) noexcept {
    const SizeClass c = class_of(bytes);
    {
      std::lock_guard lock(mutex_);
      stats_.in_use -= static_cast<int64_t>(c.bytes);
      if (stats_.cached + static_cast<int64_t>(c.bytes) <= limit_) {
        try {
          free_[c.index].push_back(p);
          stats_.cached += static_cast<int64_t>(c.bytes);
          return;
        } catch (const std::bad_alloc&) {  // no room to remember it: return it instead
        }
      }
    }
    std::free(p);
  }

  AllocatorStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }
  void set_limit(int64_t limit) {
    std::lock_guard lock(mutex_);
    limit_ = limit;
    trim(limit);
  }

 private:
  static constexpr int64_t kDefaultLimit = int64_t{2} << 30;
  static constexpr size_t kLargest = size_t{1} << 47;

  void release_cached() {
    std::lock_guard lock(mutex_);
    trim(0);
  }
  // Precondition: mutex_ is held.
  void trim(int64_t most) {
    for (size_t i = kClasses; i-- > 0 && stats_.cached > most;) {
      while (!free_[i].empty() && stats_.cached > most) {
        std::free(free_[i].back());
        free_[i].pop_back();
        stats_.cached -= static_cast<int64_t>(bytes_of(i));
      }
    }
  }
  static size_t bytes_of(size_t index) {
    if (index < 8) return (index + 1) * 64;
    const size_t log = 9 + (index - 8) / 8;
    return (size_t{1} << log) + ((index - 8) % 8 + 1) * (size_t{1} << (log - 3));
  }
  void took(size_t bytes) {
    stats_.in_use += static_cast<int64_t>(bytes);
    stats_.peak = std::max(stats_.peak, stats_.in_use);
  }

  std::mutex mutex_;  // guards all below
  std::vector<void*> free_[kClasses];
  AllocatorStats stats_;
  int64_t limit_ = kDefaultLimit;
};

// Never destroyed: values with static storage may outlive any order of destruction.
CachingAllocator& the_allocator() {
  static auto* allocator = new CachingAllocator;
  return *allocator;
}

}  // namespace

void* allocate(size_t bytes) { return the_allocator().allocate(bytes); }
void deallocate(void* p, size_t bytes) noexcept { the_allocator().deallocate(p, bytes); }
AllocatorStats allocator_stats() { return the_allocator().stats(); }
void reset_peak_allocation() { the_allocator().reset_peak(); }
void set_allocator_cache_limit(int64_t bytes) { the_allocator().set_limit(bytes); }

}  // namespace twofold
