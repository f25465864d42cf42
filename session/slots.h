// What a session keeps between runs: values of variables, counters of random ops.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include <twofold/lib/core/gpu_memory.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>
#include <twofold/session/options.h>
#include <twofold/session/plan_memory.h>

namespace twofold {

/// A variable's value in one session. A run that writes it holds `lock` exclusively, one that reads it shared;
/// `pending` is the writing run's new value, which becomes `value` when the run has succeeded.
struct Slot {
  Slot(Ref<VariableState> v, Device d) : variable(std::move(v)), device(d) {}
  const Ref<VariableState> variable;
  const Device device;  ///< where the value lies
  std::shared_mutex lock;
  Tensor value;    // guarded by lock; undefined: uninitialised
  Tensor pending;  // of the run that holds lock exclusively

  const Tensor& current() const { return pending.defined() ? pending : value; }
};

class SessionSlots {
 public:
  explicit SessionSlots(const SessionOptions& options)
      : device(parse_device(options.device, options.soft_placement)),
        pools(options.gpu_memory_limit),
        plans(options.plan_memory, options.gpu_memory_limit, pools) {}

  const Device device;                    ///< of what no guard has placed
  const uint64_t number = next_number();  ///< of the session, from 1
  GpuPools pools;
  PlanMemory plans;
  /// Whether runs may have failed late, on a GPU, without anybody's having been told.
  std::atomic<bool> fails_late{false};
  Device device_of(const VariableState& v) const { return v.device < 0 ? device : Device{v.device}; }

  /// Good as long as the session lives.
  Slot& slot(const Ref<VariableState>& v) {
    std::lock_guard lock(mutex_);
    auto& slot = slots_[v->id];
    if (!slot) slot = std::make_unique<Slot>(v, device_of(*v));
    return *slot;
  }
  /// Gives up the values once runs in flight are done with them. These may look for slots and counters meanwhile, so
  /// that mutex_ is not held while a slot's lock is waited for.
  void release_values() {
    std::vector<Slot*> slots;
    {
      std::lock_guard lock(mutex_);
      for (auto& [id, slot] : slots_) slots.push_back(slot.get());
    }
    for (Slot* slot : slots) {
      std::lock_guard value_lock(slot->lock);
      slot->value = Tensor();
    }
    pools.release_cached();
  }
  std::atomic<uint64_t>& counter(uint64_t random_key) {
    std::lock_guard lock(mutex_);
    auto& counter = counters_[random_key];
    if (!counter) counter = std::make_unique<std::atomic<uint64_t>>(0);
    return *counter;
  }
  /// How often random ops have run, by key, of those that have.
  std::map<uint64_t, uint64_t> executions() {
    std::lock_guard lock(mutex_);
    std::map<uint64_t, uint64_t> found;
    for (const auto& [key, counter] : counters_)
      if (const uint64_t count = *counter) found.emplace(key, count);
    return found;
  }
  /// Those of keys that are not listed have not run.
  void set_executions(const std::map<uint64_t, uint64_t>& executions) {
    {
      std::lock_guard lock(mutex_);
      for (auto& [key, counter] : counters_) *counter = 0;
    }
    for (const auto& [key, count] : executions) counter(key) = count;
  }

 private:
  static uint64_t next_number() {
    static std::atomic<uint64_t> g_next{1};
    return g_next.fetch_add(1, std::memory_order_relaxed);
  }
  std::mutex mutex_;  // guards the maps, not what they hold
  std::unordered_map<uint64_t, std::unique_ptr<Slot>> slots_;
  std::unordered_map<uint64_t, std::unique_ptr<std::atomic<uint64_t>>> counters_;
};

}  // namespace twofold
