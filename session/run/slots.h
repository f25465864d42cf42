// What a session keeps between runs: values of variables, counters of random ops.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/session/options.h>
#include <twofold/session/run/plan_memory.h>

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

/// Gives counts back that a failed run has taken, unless other runs have taken some since: these must not be drawn
/// again.
inline void give_back(std::atomic<uint64_t>& counter, const TakenCounts& taken) {
  uint64_t expected = taken.end;
  counter.compare_exchange_strong(expected, taken.begin, std::memory_order_relaxed);
}

/// Counts that the bodies of a run's control flow have taken, to be given back where the run fails.
class RandomDraws {
 public:
  RandomDraws() : outer_(t_state.draws) { t_state.draws = this; }
  ~RandomDraws() { t_state.draws = outer_; }
  RandomDraws(const RandomDraws&) = delete;
  RandomDraws& operator=(const RandomDraws&) = delete;

  /// The next count, noted by the run under way on this thread.
  static uint64_t take(std::atomic<uint64_t>& counter) {
    const uint64_t count = counter.fetch_add(1, std::memory_order_relaxed);
    note(counter, count);
    return count;
  }
  static void note(std::atomic<uint64_t>& counter, uint64_t count) {
    if (t_state.draws) t_state.draws->taken_[&counter].add(count);
  }
  void give_back() {
    for (const auto& [counter, taken] : taken_) twofold::give_back(*counter, taken);
  }

 private:
  RandomDraws* outer_;
  std::unordered_map<std::atomic<uint64_t>*, TakenCounts> taken_;
};

/// Throws FailedPrecondition: "Attempting to use uninitialized value w".
[[noreturn]] void throw_uninitialized(const VariableState& v);

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
  /// Of a random op of that key and generation.
  std::atomic<uint64_t>& counter(uint64_t key, uint32_t generation) {
    std::lock_guard lock(mutex_);
    auto& counter = counters_[{key, generation}];
    if (!counter) {
      counter = std::make_unique<std::atomic<uint64_t>>(0);
      if (generation <= loaded_generation_)
        if (const auto known = loaded_.extract(execution_id(key, loaded_generation_ - generation)))
          *counter = known.mapped();
    }
    return *counter;
  }
  /// How often random ops have run, by execution_id, of those that have, in a graph that has come to `generation`.
  std::map<uint64_t, uint64_t> executions(uint32_t generation) {
    std::lock_guard lock(mutex_);
    std::map<uint64_t, uint64_t> found;
    for (const auto& [id, count] : loaded_) found.emplace(execution_id(id, generation - loaded_generation_), count);
    for (const auto& [op, counter] : counters_)
      if (const uint64_t count = *counter)
        found.insert_or_assign(execution_id(op.first, generation - op.second), count);
    return found;
  }
  /// Those that are not listed have not run.
  void set_executions(const std::map<uint64_t, uint64_t>& executions, uint32_t generation) {
    std::lock_guard lock(mutex_);
    loaded_ = executions;
    loaded_generation_ = generation;
    for (auto& [op, counter] : counters_) {
      const auto known = loaded_.extract(execution_id(op.first, generation - op.second));
      *counter = known ? known.mapped() : 0;
    }
  }

 private:
  static uint64_t next_number() {
    static std::atomic<uint64_t> g_next{1};
    return g_next.fetch_add(1, std::memory_order_relaxed);
  }
  std::mutex mutex_;  // guards the maps, not what they hold
  std::unordered_map<uint64_t, std::unique_ptr<Slot>> slots_;
  std::map<std::pair<uint64_t, uint32_t>, std::unique_ptr<std::atomic<uint64_t>>> counters_;  // by key and generation
  std::map<uint64_t, uint64_t> loaded_;  // executions of ops that no plan has met yet
  uint32_t loaded_generation_ = 0;       // the graph's when they were loaded: their ids say how old they were then
};

}  // namespace twofold
