// What one run does on GPUs.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <twofold/session/run/capture_order.h>
#include <twofold/session/run/frame.h>

namespace twofold {

class Ledger;

/// Hands kernels on GPUs what they need during one run, or while the run is being captured.
class GpuRun {
 public:
  /// `unit`: what kernels that may fail report to; null if none of them can.
  GpuRun(Frame& frame, LateUnit* unit);
  /// What is enqueued goes to `stream`, to be replayed with counters of random ops read from `counters`, and reports to
  /// `word`, which may be null.
  GpuRun(Frame& frame, void* stream, const uint64_t* counters, DeviceError* word)
      : plan_(frame.plan), frame_(frame), stream_(stream), counters_(counters), word_(word), order_(stream) {}

  /// Enqueues a gpu_kernel or gpu_random.
  void launch(const Instruction& i, Ledger* ledger);
  /// Memory for an external: while capturing over the variable's old value, where it may lie there.
  Tensor made(uint32_t external) const;
  /// What a transfer gives. While capturing it is filled before each replay, as `uploads` says.
  Tensor transferred(const Instruction& i);
  /// While capturing: what the host has fed, to be copied before each replay, as (feed, external).
  std::span<const std::pair<uint32_t, uint32_t>> uploads() const { return uploads_; }
  /// While capturing: what is enqueued from now on comes after all that was launched.
  void join() { order_->join(); }
  /// What it may fail by; null: nothing.
  const LateErrors* errors() const { return errors_.get(); }

 private:
  bool capturing() const { return order_.has_value(); }
  KernelContext& context(int gpu);
  SmallVector<Access, 8> accesses(const GpuLaunch& kernel, uint32_t args, const KernelContext& c) const;

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

}  // namespace twofold
