// What a run does on GPUs.
#pragma once

#include <optional>

#include <twofold/session/plan/plan.h>
#include <twofold/session/run/capture_order.h>

namespace twofold {

/// Hands kernels on GPUs what they need during one run, or while the run is being captured.
class GpuRun {
 public:
  /// `unit`: what kernels that may fail report to; null if none of them can.
  GpuRun(const Plan& plan, Frame& frame, LateUnit* unit) : plan_(plan), frame_(frame), unit_(unit) {
    if (!unit) return;
    first_tag_ = unit->add(plan.late_calls_);
    errors_ = make_ref<LateErrors>(Ref<LateUnit>(unit));
  }
  /// What is enqueued goes to `stream`, to be replayed with counters of random ops read from `counters`, and reports to
  /// `word`, which may be null.
  GpuRun(const Plan& plan, Frame& frame, void* stream, const uint64_t* counters, DeviceError* word)
      : plan_(plan), frame_(frame), stream_(stream), counters_(counters), word_(word), order_(stream) {}

  bool capturing() const { return order_.has_value(); }
  /// While capturing: what the host has fed, to be copied before each replay, as (feed, external).
  void upload(uint32_t feed, uint32_t external) { uploads_.emplace_back(feed, external); }
  std::span<const std::pair<uint32_t, uint32_t>> uploads() const { return uploads_; }
  /// Enqueues a gpu_kernel or gpu_random.
  void launch(const Plan::Instruction& i, Ledger* ledger);
  /// While capturing: what is enqueued from now on comes after all that was launched.
  void join() { order_->join(); }
  /// What it may fail by; null: nothing.
  const LateErrors* errors() const { return errors_.get(); }

 private:
  KernelContext& context(int gpu);
  SmallVector<Access, 8> accesses(const GpuStep& step, uint32_t args, const KernelContext& c) const;

  const Plan& plan_;
  Frame& frame_;
  void* stream_ = nullptr;
  const uint64_t* counters_ = nullptr;
  LateUnit* unit_ = nullptr;
  DeviceError* word_ = nullptr;  // while capturing
  uint32_t first_tag_ = 0;
  Ref<LateErrors> errors_;
  std::optional<CaptureOrder> order_;  // of a captured graph
  int current_ = -1;                   // the GPU that is current on this thread
  SmallVector<KernelContext, 2> contexts_;
  std::vector<std::pair<uint32_t, uint32_t>> uploads_;
};

/// A plan's work on a GPU as one captured graph. Its kernels use memory that stays where it is: what is fed is copied
/// there, the values of variables are updated in place, what is fetched is copied out.
class Captured {
 public:
  explicit Captured(const Plan& plan) : plan_(plan), own_(plan.feeds_.size(), false) {}
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
  int runs_ = 0, captures_ = 0;
  std::string obstacle_;  // why it is not tried any more
  void* graph_ = nullptr;
  std::unique_ptr<Frame> frame_;
  std::vector<bool> own_;                                // by place in Plan::feeds_: has memory of its own on the GPU
  std::vector<const void*> bound_;                       // by place in Plan::feeds_: the memory captured
  std::vector<std::pair<uint32_t, Tensor>> uploads_;     // (feed, where it is copied to)
  std::vector<std::pair<Slot*, const void*>> captured_;  // variables and the memory captured
  std::vector<Slot*> held_;                              // by external: the variable whose value it is
  Tensor counters_;                                      // of random ops, by number
  std::unique_ptr<ErrorWord> word_;                      // that kernels report to, where some may fail
  DeviceBytes counted_;                                  // beside the frame, among what the plan holds
};

}  // namespace twofold
