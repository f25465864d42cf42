// What a session's plans hold between runs, and giving it up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <twofold/lib/runtime/reclaim.h>
#include <twofold/session/plan/plan.h>

namespace twofold {

class GpuPools;

/// Memory that no run uses now; it goes with this.
struct IdleMemory {
  DeviceBytes bytes;
  std::vector<std::shared_ptr<const void>> pieces;
};

/// Whoever keeps a plan's memory between its runs.
class PlanHolder {
 public:
  /// What runs have left to the next, as long as none takes it.
  virtual IdleMemory take_idle() = 0;

  /// When a run last used it, by memory_clock.
  uint64_t last_used() const { return last_used_.load(std::memory_order_relaxed); }
  void use() { last_used_.store(memory_clock(), std::memory_order_relaxed); }
  /// The same, before all that is used from now on.
  void use_before_others() {
    last_used_.store(tick_memory_clock(), std::memory_order_relaxed);
    tick_memory_clock();
  }
  /// Its session has been told to hold it no more.
  void set_given_up() { given_up_.store(true, std::memory_order_relaxed); }
  bool is_given_up() const { return given_up_.load(std::memory_order_relaxed); }

 protected:
  ~PlanHolder() = default;

 private:
  std::atomic<uint64_t> last_used_{0};
  std::atomic<bool> given_up_{false};
};

/// Counts what plans hold, bodies' plans among them: constants that were computed for them, and the memory that their
/// runs leave to the next. Beyond a bound, and where a device's memory runs out, the plans used least recently give up
/// what no run is using. Safe from several threads.
class PlanMemory final : public MemoryHolder {
 public:
  /// `limit` bytes at most on each device; 0: half of what the device has, or of `gpu_limit`, if that is not 0. `pools`
  /// are those that GPUs' memory comes from.
  PlanMemory(int64_t limit, int64_t gpu_limit, const GpuPools& pools)
      : limit_(limit), gpu_limit_(gpu_limit), pools_(pools) {
    join();
  }
  ~PlanMemory() override { leave(); }
  /// Its session ends: nobody asks it for memory any more.
  void stop() { leave(); }

  /// Is told which plan has given up memory: to be held no more. True if it was held until then. Called by whatever
  /// thread lacks memory, with the locks that it holds (a run's, those of reclaim_memory), but none of this class.
  void on_given_up(std::function<bool(PlanHolder*)> f) { given_up_ = std::move(f); }

  /// While it lives, what `plan` holds is counted, these constants first, and other threads may have it give up memory.
  class [[nodiscard]] Registration {
   public:
    Registration(PlanMemory& memory, PlanHolder& plan, const DeviceBytes& constants) : memory_(memory), plan_(plan) {
      memory_.add(plan_, constants);
    }
    ~Registration() { memory_.remove(plan_); }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    PlanMemory& memory_;
    PlanHolder& plan_;
  };
  /// What `plan` holds grows, or falls where it is negative. Of one that is not registered nothing is counted.
  void hold(PlanHolder& plan, const DeviceBytes& bytes);
  /// Before `plan` takes this: has others give up theirs as far as that keeps to the bound.
  void make_room(PlanHolder* plan, const DeviceBytes& bytes);
  /// Whether more is held than the bound allows on any of the devices that `bytes` names.
  bool is_over(const DeviceBytes& bytes);

  uint64_t oldest(Device device, const GpuPool* pool) override;
  bool give_up(Device device, const GpuPool* pool) override { return give_up_other(device, pool, nullptr); }

 private:
  struct Held {
    uint64_t added = 0;  // in which order plans were added
    DeviceBytes constants, bytes;
  };
  // The plan that had least recently used what it has given up, or holds constants alone, which go with it; null: none.
  struct GivenUp {
    PlanHolder* plan = nullptr;
    bool freed = false;  // memory of the device
  };
  void add(PlanHolder& plan, const DeviceBytes& constants);
  void remove(PlanHolder& plan) noexcept;
  bool give_up_other(Device device, const GpuPool* pool, PlanHolder* but);
  GivenUp give_up_one(Device device, PlanHolder* but);
  int64_t limit_of(Device device);
  bool is_of(Device device, const GpuPool* pool) const;
  int64_t held(Device device) {
    std::lock_guard lock(mutex_);
    return total_[device.index];
  }

  const int64_t limit_, gpu_limit_;
  const GpuPools& pools_;
  std::function<bool(PlanHolder*)> given_up_;
  std::mutex mutex_;                    // guards all below
  std::map<PlanHolder*, Held> plans_;   // those that live
  std::map<int8_t, int64_t> total_;     // by Device::index
  std::map<int8_t, int64_t> capacity_;  // what devices have, once asked
  uint64_t added_ = 0;
};

}  // namespace twofold
