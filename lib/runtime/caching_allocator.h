// An allocator that keeps freed blocks for the next request of their size: what both the host's memory and a GPU's are
// handed out by.
#pragma once

#include <algorithm>
#include <bit>
#include <mutex>
#include <vector>

#include <twofold/lib/runtime/allocator.h>

namespace twofold {

/// Where a CachingAllocator gets blocks from.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Null if there is none.
  virtual void* take(size_t bytes) = 0;
  virtual void give(void* p, size_t bytes) noexcept = 0;
  /// Called when there is none, before it is asked once more: gives back what else it keeps.
  virtual void release() noexcept {}
};

/// Safe from several threads.
class CachingAllocator {
 public:
  /// At most `cache_limit` bytes are kept for reuse.
  CachingAllocator(MemorySource& source, int64_t cache_limit) : source_(source), cache_limit_(cache_limit) {}

  /// Null if the source has none.
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
    void* p = bytes <= kLargest ? source_.take(c.bytes) : nullptr;
    if (!p && bytes <= kLargest) {
      release_cached();  // it may be what is missing
      source_.release();
      p = source_.take(c.bytes);
    }
    if (!p) return nullptr;
    std::lock_guard lock(mutex_);
    ++stats_.fresh_count;
    took(c.bytes);
    return p;
  }

  /// Gives back what allocate(bytes) returned.
  void deallocate(void* p, size_t bytes) noexcept {
    const SizeClass c = class_of(bytes);
    {
      std::lock_guard lock(mutex_);
      stats_.in_use -= static_cast<int64_t>(c.bytes);
      if (stats_.cached + static_cast<int64_t>(c.bytes) <= cache_limit_) {
        try {
          free_[c.index].push_back(p);
          stats_.cached += static_cast<int64_t>(c.bytes);
          return;
        } catch (const std::bad_alloc&) {  // no room to remember it: return it instead
        }
      }
    }
    source_.give(p, c.bytes);
  }

  /// What a request for `bytes` takes up.
  static size_t size_of_block(size_t bytes) { return class_of(bytes).bytes; }

  AllocatorStats stats() const {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }
  void set_cache_limit(int64_t limit) {
    std::lock_guard lock(mutex_);
    cache_limit_ = limit;
    trim(limit);
  }
  void release_cached() noexcept {
    std::lock_guard lock(mutex_);
    trim(0);
  }

 private:
  // Size classes: multiples of 64 up to 512, then eight to each power of two, so that at most an eighth is wasted.
  struct SizeClass {
    size_t index;
    size_t bytes;
  };
  static SizeClass class_of(size_t bytes) {
    if (bytes <= 512) {
      const size_t i = bytes <= 64 ? 0 : (bytes - 1) / 64;
      return {i, (i + 1) * 64};
    }
    const int log = static_cast<int>(std::bit_width(bytes - 1)) - 1;  // 2^log < bytes <= 2^(log+1), log >= 9
    const size_t step = size_t{1} << (log - 3);
    const size_t eighths = (bytes - (size_t{1} << log) + step - 1) / step;  // 1..8
    return {8 + static_cast<size_t>(log - 9) * 8 + eighths - 1, (size_t{1} << log) + eighths * step};
  }
  static size_t bytes_of(size_t index) {
    if (index < 8) return (index + 1) * 64;
    const size_t log = 9 + (index - 8) / 8;
    return (size_t{1} << log) + ((index - 8) % 8 + 1) * (size_t{1} << (log - 3));
  }
  static constexpr size_t kClasses = 8 + 8 * 55;
  static constexpr size_t kLargest = size_t{1} << 47;

  // Precondition: mutex_ is held.
  void trim(int64_t most) noexcept {
    for (size_t i = kClasses; i-- > 0 && stats_.cached > most;) {
      while (!free_[i].empty() && stats_.cached > most) {
        source_.give(free_[i].back(), bytes_of(i));
        free_[i].pop_back();
        stats_.cached -= static_cast<int64_t>(bytes_of(i));
      }
    }
  }
  void took(size_t bytes) {
    stats_.in_use += static_cast<int64_t>(bytes);
    stats_.peak = std::max(stats_.peak, stats_.in_use);
  }

  MemorySource& source_;
  mutable std::mutex mutex_;  // guards all below
  std::vector<void*> free_[kClasses];
  AllocatorStats stats_;
  int64_t cache_limit_;
};

}  // namespace twofold
