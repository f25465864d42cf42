// Counts that a run takes from random ops, and gives back if it fails.
#pragma once

#include <cstddef>
#include <cstdint>

#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/session/plan/slots.h>

namespace twofold {

/// All the counts that a run takes on this thread during its lifetime, those of its bodies among them: several of its
/// ops may draw by one counter.
class RandomDraws {
 public:
  RandomDraws() : outer_(t_state.draws) { t_state.draws = this; }
  ~RandomDraws() { t_state.draws = outer_; }
  RandomDraws(const RandomDraws&) = delete;
  RandomDraws& operator=(const RandomDraws&) = delete;

  /// The next count, noted by the run under way on this thread.
  static uint64_t take(RandomCounter& counter) {
    const uint64_t count = counter.eager ? take_eager_count(counter.eager, counter.generation, counter.key)
                                         : counter.count.fetch_add(1, std::memory_order_relaxed);
    if (t_state.draws) t_state.draws->note(counter, count);
    return count;
  }
  /// The run has failed: what it has drawn is drawn again by the next, unless other runs have drawn since. These counts
  /// must not be drawn again.
  void give_back() noexcept;

 private:
  struct Taken {
    RandomCounter* counter = nullptr;
    TakenCounts counts;
  };

  void note(RandomCounter& counter, uint64_t count);
  void join() noexcept;

  static constexpr size_t kFirstMost = 16;

  RandomDraws* const outer_;
  SmallVector<Taken, kFirstMost> taken_;  // in order, as far as they are of one counter
  size_t most_ = kFirstMost;              // before those of one counter are joined
};

}  // namespace twofold
