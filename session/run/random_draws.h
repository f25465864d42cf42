// Counts that a run takes from random ops, and gives back if it fails.
#pragma once

#include <atomic>
#include <unordered_map>

#include <twofold/lib/op/random_key.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/session/run/frame.h>

namespace twofold {

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

/// What random ops of a run that fails have drawn is drawn again by the next, unless other runs have drawn since.
class Drawing {
 public:
  explicit Drawing(Frame& frame) : frame_(&frame) { frame.drawn = 0; }
  ~Drawing() {
    for (uint32_t i = 0; frame_ && i < frame_->drawn; ++i)
      give_back(*frame_->plan.counters[i], {frame_->counts[i], frame_->counts[i] + 1});
  }
  Drawing(const Drawing&) = delete;
  Drawing& operator=(const Drawing&) = delete;
  /// The run has succeeded; of a body's, the run around it may not.
  void keep(bool body) {
    for (uint32_t i = 0; body && i < frame_->drawn; ++i)
      RandomDraws::note(*frame_->plan.counters[i], frame_->counts[i]);
    frame_ = nullptr;
  }

 private:
  Frame* frame_;
};

}  // namespace twofold
