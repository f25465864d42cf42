// What a session keeps between runs: values of variables, counters of random ops.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include <twofold/lib/core/gpu_memory.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>
#include <twofold/session/options.h>

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
      : device(parse_device(options.device, options.soft_placement)), pools(options.gpu_memory_limit) {}

  const Device device;  ///< of what no guard has placed
  GpuPools pools;
  /// What the session's kernels on a GPU have reported.
  LateErrors& late_errors(int gpu) {
    std::lock_guard lock(mutex_);
    auto& errors = late_errors_[gpu];
    if (!errors) errors = make_ref<LateErrors>(gpu);
    return *errors;
  }
  Device device_of(const VariableState& v) const { return v.device < 0 ? device : Device{v.device}; }

  /// Good as long as the session lives.
  Slot& slot(const Ref<VariableState>& v) {
    std::lock_guard lock(mutex_);
    auto& slot = slots_[v->id];
    if (!slot) slot = std::make_unique<Slot>(v, device_of(*v));
    return *slot;
  }
  /// Gives up the values once runs in flight are done with them.
  void release_values() {
    std::lock_guard lock(mutex_);
    for (auto& [id, slot] : slots_) {
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
  std::mutex mutex_;  // guards the maps, not what they hold
  std::unordered_map<uint64_t, std::unique_ptr<Slot>> slots_;
  std::unordered_map<uint64_t, std::unique_ptr<std::atomic<uint64_t>>> counters_;
  std::map<int, Ref<LateErrors>> late_errors_;
};

}  // namespace twofold
