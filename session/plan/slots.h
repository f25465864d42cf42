// What a session keeps between runs: values of variables, counters of random ops.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/op/variable_state.h>
#include <twofold/lib/runtime/device.h>

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

  /// The value as the run that holds the lock sees it. Throws FailedPrecondition where there is none: "Attempting to
  /// use uninitialized value w".
  const Tensor& current() const {
    const Tensor& t = pending.defined() ? pending : value;
    if (!t.defined()) throw_uninitialized();
    return t;
  }
  bool has_current() const { return pending.defined() || value.defined(); }

 private:
  [[noreturn]] void throw_uninitialized() const;
};

/// A session's variables, and how often its random ops have run.
class Slots {
 public:
  explicit Slots(Device d) : device(d) {}

  const Device device;  ///< of what no guard has placed

  /// Good as long as the session lives.
  Slot& slot(const Ref<VariableState>& v);
  /// Gives up the values once runs in flight are done with them. These may look for slots and counters meanwhile, so
  /// that mutex_ is not held while a slot's lock is waited for.
  void release_values();
  /// Of a random op of that key and generation.
  std::atomic<uint64_t>& counter(uint64_t key, uint32_t generation);
  /// How often random ops have run, by execution_id, of those that have, in a graph that has come to `generation`.
  std::map<uint64_t, uint64_t> executions(uint32_t generation);
  /// Those that are not listed have not run.
  void set_executions(const std::map<uint64_t, uint64_t>& executions, uint32_t generation);

 private:
  std::mutex mutex_;  // guards the maps, not what they hold
  std::unordered_map<uint64_t, std::unique_ptr<Slot>> slots_;
  std::map<std::pair<uint64_t, uint32_t>, std::unique_ptr<std::atomic<uint64_t>>> counters_;  // by key and generation
  std::map<uint64_t, uint64_t> loaded_;  // executions of ops that no plan has met yet
  uint32_t loaded_generation_ = 0;       // the graph's when they were loaded: their ids say how old they were then
};

}  // namespace twofold
