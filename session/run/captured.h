// A plan's work on a GPU as one captured graph.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <twofold/session/run/frame.h>

namespace twofold {

class Ledger;

/// Its kernels use memory that stays where it is: what is fed is copied there, the values of variables are updated in
/// place, what is fetched is copied out.
class Captured {
 public:
  Captured(const Plan& plan, Frames& frames) : plan_(plan), frames_(frames), own_(plan.feeds.size(), false) {}
  ~Captured();
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  /// Runs the plan, reporting to `unit` if that is not null. False, with nothing done, if it must run in the usual way
  /// this time. The caller holds the locks of the plan's slots.
  bool run(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, LateUnit* unit);

  /// What it holds, its frame among it.
  DeviceBytes bytes() const;
  /// It goes, and its plan has counted what it holds no more.
  void count_no_more();

 private:
  DeviceBytes own_bytes() const;
  void count();
  bool fits(std::span<const Tensor> feeds);
  bool capture(std::span<const Tensor> feeds, Ledger* ledger);
  bool enqueue(std::span<const Tensor> feeds);
  /// New values of variables to where the old ones are. False if that cannot be done one after another.
  bool enqueue_commits(void* stream);
  bool snapshots_hold() const;
  void release_variables();
  void drop();

  static constexpr int kMostCaptures = 16;

  const Plan& plan_;
  Frames& frames_;
  int runs_ = 0, captures_ = 0;
  std::string obstacle_;  // why it is not tried any more
  void* graph_ = nullptr;
  std::unique_ptr<Frame> frame_;
  std::vector<bool> own_;                                // by place in Plan::feeds: has memory of its own on the GPU
  std::vector<const void*> bound_;                       // by place in Plan::feeds: the memory captured
  std::vector<std::pair<uint32_t, Tensor>> uploads_;     // (feed, where it is copied to)
  std::vector<std::pair<Slot*, const void*>> captured_;  // variables and the memory captured
  std::vector<const Slot*> held_;                        // by external: the variable whose value it is
  Tensor counters_;                                      // of random ops, by number
  std::unique_ptr<ErrorWord> word_;                      // that kernels report to, where some may fail
  DeviceBytes counted_;                                  // beside the frame, among what the plan holds
};

}  // namespace twofold
