// A GPU's memory: pools that hand it out, and what they have handed out.
#pragma once

#include <cstdint>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/runtime/caching_allocator.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/memory_stats.h>

namespace twofold {

/// Hands out one GPU's memory, in the order of its stream: what is freed may be handed out again at once, though work
/// on it has not ended. Each session has a pool of its own; eager values share one.
class GpuPool final : public RefCounted {
 public:
  /// `limit` bytes at most are handed out at once; 0: what the device has.
  GpuPool(int gpu, int64_t limit);
  /// The one that eager values of `gpu` come from.
  static GpuPool& eager(int gpu);

  /// 256-byte aligned, contents undefined. Throws ResourceExhausted, saying what was asked for, held and free.
  void* allocate(size_t bytes);
  void deallocate(void* p, size_t bytes) noexcept;
  /// Returns to `gpu`, for what is not of a pool, what pools keep for reuse or, if there is none, what a holder of
  /// memory can do without (reclaim.h). False if there was nothing.
  static bool give_up_memory(int gpu);
  /// Returns to the device what is kept for reuse.
  void release_cached() noexcept;

  int gpu() const { return source_.gpu; }
  AllocatorStats stats() const { return allocator_.stats(); }
  void reset_peak() { allocator_.reset_peak(); }

 private:
  ~GpuPool() override;

  struct Source final : MemorySource {
    explicit Source(int g) : gpu(g) {}
    void* take(size_t bytes) override;
    void give(void* p, size_t bytes) noexcept override;
    void release() noexcept override;
    const int gpu;
  };
  Source source_;
  CachingAllocator allocator_;
  const int64_t limit_;
};

/// The pools of one session, made as it comes to use GPUs.
class GpuPools {
 public:
  explicit GpuPools(int64_t limit) : limit_(limit) {}
  GpuPool& of(int gpu) {
    std::lock_guard lock(mutex_);
    const auto i = static_cast<size_t>(gpu);
    if (pools_.size() <= i) pools_.resize(i + 1);
    if (!pools_[i]) pools_[i] = make_ref<GpuPool>(gpu, limit_);
    return *pools_[i];
  }
  /// Null if it is not made yet.
  const GpuPool* known(int gpu) const {
    std::lock_guard lock(mutex_);
    const auto i = static_cast<size_t>(gpu);
    return i < pools_.size() ? pools_[i].get() : nullptr;
  }
  void release_cached() {
    std::lock_guard lock(mutex_);
    for (const auto& pool : pools_)
      if (pool) pool->release_cached();
  }

 private:
  const int64_t limit_;
  mutable std::mutex mutex_;
  std::vector<Ref<GpuPool>> pools_;  // guarded by mutex_
};

/// For tests. With TWOFOLD_GPU_GUARD_BANDS in the environment, memory is handed out with marked bytes before and after
/// it and full of nonsense; this counts what was freed with its marks overwritten.
int64_t damaged_gpu_guard_bands();

}  // namespace twofold
