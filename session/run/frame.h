// What one run needs beside its plan.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include <twofold/lib/runtime/gpu_memory.h>
#include <twofold/session/plan/plan.h>
#include <twofold/session/run/plan_memory.h>

namespace twofold {

class Frames;

/// Memory for intermediate values, pointers to it in the order in which kernels take them, and the tensors that come
/// from outside or go there. Runs in flight have one each.
struct Frame {
  /// Memory on GPUs is taken from `pools`.
  Frame(const Plan& plan, GpuPools& pools);
  ~Frame();
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  // Inlined: the several of a small run make a tenth of it.
  [[gnu::always_inline]] void set_external(uint32_t external, Tensor t) {
    auto* data = static_cast<std::byte*>(t.value()->data());
    void** const resolved = args.data();
    const PlannedArg* const planned = plan.args.data();
    for (uint32_t a : plan.externals[external].args) resolved[a] = data + planned[a].offset;
    externals[external] = std::move(t);
  }
  Tensor tensor_of(const Source& s) const {
    if (s.from == Source::From::external && externals[s.external].value()->shape() == s.spec.shape)
      return externals[s.external];
    return other_tensor_of(s);
  }

  const Plan& plan;
  std::vector<std::byte*> arenas;   ///< by Device::index; null where there is nothing
  std::vector<void*> args;          ///< Plan::args resolved
  std::vector<Tensor> externals;    ///< by number; those of the last run are gone
  std::vector<Ref<GpuPool>> pools;  ///< that the arenas are from, by Device::index
  const Frames* counted = nullptr;  ///< which count its memory; null: none do

 private:
  Tensor other_tensor_of(const Source& s) const;
  struct WithoutArenas {};
  Frame(const Plan& plan, WithoutArenas);
};

/// The memory of so many frames, by device.
DeviceBytes frame_bytes(const Plan& plan, int64_t count);

/// A plan's frames: those of runs that are over serve the next ones. A program of one thread needs only the spare one,
/// which takes no lock. Safe from several threads.
class Frames {
 public:
  /// `holder` is whom `memory` counts the frames for.
  Frames(const Plan& plan, PlanHolder& holder, PlanMemory& memory, GpuPools& pools)
      : plan_(plan), holder_(holder), memory_(memory), pools_(pools) {}
  ~Frames() { delete spare_.load(); }
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  std::unique_ptr<Frame> take() {
    Frame* const spare = spare_.exchange(nullptr, std::memory_order_acquire);
    return spare ? std::unique_ptr<Frame>(spare) : take_other();
  }
  void give(std::unique_ptr<Frame> frame) {
    for (Tensor& t : frame->externals) const Tensor gone = std::move(t);
    Frame* none = nullptr;
    if (spare_.compare_exchange_strong(none, frame.get(), std::memory_order_release, std::memory_order_relaxed))
      static_cast<void>(frame.release());
    else
      give_other(std::move(frame));
  }
  /// Those that no run uses, counted no more.
  std::vector<std::unique_ptr<Frame>> take_idle();
  /// What is held beside frames grows, or falls where it is negative.
  void count(const DeviceBytes& bytes) const { memory_.hold(holder_, bytes); }

 private:
  std::unique_ptr<Frame> take_other();
  void give_other(std::unique_ptr<Frame> frame);

  const Plan& plan_;
  PlanHolder& holder_;
  PlanMemory& memory_;
  GpuPools& pools_;
  std::atomic<Frame*> spare_{nullptr};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Frame>> others_;  // guarded by mutex_
};

}  // namespace twofold
