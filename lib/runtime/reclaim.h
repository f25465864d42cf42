// Memory that is kept because it may be of use again, and what gives it up when memory runs out.
#pragma once

#include <atomic>
#include <cstdint>

#include <twofold/lib/runtime/device.h>

namespace twofold {

class GpuPool;

/// Holds memory that it can do without. Its functions are called by whatever thread finds no memory: they must neither
/// wait for a run nor ask for memory of a device.
class MemoryHolder {
 public:
  static constexpr uint64_t kNothing = UINT64_MAX;

  /// When it last used what it would give up next of what it holds on `device` (of `pool`, if that is not null);
  /// kNothing if it has nothing to give up. Times are those of `memory_clock`.
  virtual uint64_t oldest(Device device, const GpuPool* pool) = 0;
  /// Gives that up. False if it had nothing, or nothing that nobody uses now.
  virtual bool give_up(Device device, const GpuPool* pool) = 0;

 protected:
  virtual ~MemoryHolder();
  /// To be called last when it is made: from now on any thread may ask it.
  void join();
  /// To be called first when it ends: no other thread asks it any more.
  void leave();
};

/// Has the holder that has used it least recently give up some memory of `device` (of `pool`, if that is not null).
/// False if none has any.
bool reclaim_memory(Device device, const GpuPool* pool = nullptr);

namespace internal {
inline std::atomic<uint64_t> g_memory_clock{0};
}
/// Goes on by one whenever a holder takes memory, so that what was used since then can be told from what was not.
inline uint64_t memory_clock() { return internal::g_memory_clock.load(std::memory_order_relaxed); }
inline uint64_t tick_memory_clock() { return internal::g_memory_clock.fetch_add(1, std::memory_order_relaxed) + 1; }

}  // namespace twofold
