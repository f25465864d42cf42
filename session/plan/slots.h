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

/// A variable's value in one session, or the place of an eager variable's own, which whatever runs shares with eager
/// code. A run that writes it holds `lock` exclusively, one that reads it shared; `pending` is the writing run's new
/// value, which becomes the value when the run has succeeded.
struct Slot {
  Slot(Ref<VariableState> v, Device d, bool of_eager)
      : variable(std::move(v)), device(d), is_eager(of_eager), lock(of_eager ? variable->used_by_runs() : own_lock_) {}
  const Ref<VariableState> variable;
  const Device device;  ///< where the value lies
  const bool is_eager;  ///< `variable` itself has the value, and `value` is never defined
  std::shared_mutex& lock;
  Tensor value;    // guarded by lock; undefined: uninitialised
  Tensor pending;  // of the run that holds lock exclusively

  /// The value as the run that holds the lock sees it. Throws FailedPrecondition where there is none: "Attempting to
  /// use uninitialized value w".
  Tensor current() const {
    const Tensor& t = pending.defined() ? pending : value;
    if (!t.defined()) [[unlikely]]
      return eager_value();
    return t;
  }
  bool has_current() const { return pending.defined() || value.defined() || is_eager; }
  /// The new value, if there is one, is the value from now on. The lock is held exclusively.
  void commit() {
    if (!pending.defined()) return;
    if (is_eager) [[unlikely]]
      variable->set_eager_value(std::move(pending));
    else
      value = std::move(pending);
  }

 private:
  Tensor eager_value() const;  // throws where there is none
  std::shared_mutex own_lock_;
};

/// How often a random op has run: in one session, or in eager mode, whose counts are then the ones.
struct RandomCounter {
  const uint64_t key = 0;
  const uint32_t generation = 0;
  const std::shared_ptr<RandomCounters> eager = nullptr;  ///< null: `count` is the one
  std::atomic<uint64_t> count{0};
};

/// A session's variables, and how often its random ops have run.
class Slots {
 public:
  /// `of_eager`: random ops share their counts with eager code.
  Slots(Device d, bool of_eager) : device(d), is_eager(of_eager) {}

  const Device device;  ///< of what no guard has placed
  const bool is_eager;

  /// Good as long as the session lives.
  Slot& slot(const Ref<VariableState>& v);
  /// Gives up the values once runs in flight are done with them. These may look for slots and counters meanwhile, so
  /// that mutex_ is not held while a slot's lock is waited for.
  void release_values();
  /// Of a random op of that key and generation.
  RandomCounter& counter(uint64_t key, uint32_t generation);
  /// How often that op has run.
  uint64_t count(uint64_t key, uint32_t generation);
  /// How often random ops have run, by execution_id, of those that have, in a graph that has come to `generation`.
  std::map<uint64_t, uint64_t> executions(uint32_t generation);
  /// Those that are not listed have not run.
  void set_executions(const std::map<uint64_t, uint64_t>& executions, uint32_t generation);

 private:
  std::mutex mutex_;  // guards the maps, not what they hold
  std::unordered_map<uint64_t, std::unique_ptr<Slot>> slots_;
  std::map<std::pair<uint64_t, uint32_t>, std::unique_ptr<RandomCounter>> counters_;  // by key and generation
  std::map<uint64_t, uint64_t> loaded_;  // executions of ops that no plan has met yet
  uint32_t loaded_generation_ = 0;       // the graph's when they were loaded: their ids say how old they were then
};

}  // namespace twofold
