// A plan: a program turned into a flat array of instructions over a memory whose layout is fixed.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/kernel.h>
#include <twofold/session/options.h>
#include <twofold/session/plan/gpu_step.h>
#include <twofold/session/program/program.h>
#include <twofold/session/run/slots.h>

namespace twofold {

class Captured;
class GpuRun;
class Ledger;
class Plan;

/// What one run needs beside the plan: memory for intermediate values, pointers to it in the order kernels take them,
/// and the tensors that come from outside or go there. Runs in flight have one each.
struct Frame {
  explicit Frame(const Plan& plan);
  ~Frame();
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  const Plan& plan;
  std::vector<std::byte*> arenas;   ///< by Device::index; null where there is nothing
  std::vector<void*> args;          ///< Plan::args_ resolved
  std::vector<Tensor> externals;    ///< by number; those of the last run are gone
  std::vector<Ref<GpuPool>> pools;  ///< that the arenas are from, by Device::index
  bool counted = false;             ///< among what its plan holds
  uint32_t drawn = 0;               ///< of the plan's counters, from the first: those that this run has taken from
  std::vector<uint64_t> counts;     ///< what it took

 private:
  struct WithoutArenas {};
  Frame(const Plan& plan, WithoutArenas);
};

/// Work on the host between kernels, on tensors instead of pointers: control flow, printing, ops of unknown shape.
class HostStep {
 public:
  virtual ~HostStep() = default;
  virtual void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) = 0;
  /// Variables that it touches, which the run must lock.
  virtual void add_slots(std::vector<std::pair<Slot*, bool>>&) const {}
};

/// A plan is immutable and may be executed by several threads at once.
class Plan {
 public:
  Plan();
  ~Plan();

  enum class Do : uint8_t {
    kernel,
    kernel_that_may_fail,
    random,
    read,
    assign,
    make,
    release,
    host,
    gpu_kernel,
    gpu_random,
    transfer
  };

  struct Instruction {
    KernelFn fn = nullptr;
    const void* params = nullptr;  ///< read, assign: the Slot
    uint32_t args = 0;             ///< place in Frame::args; read, transfer: the external that results
    uint32_t node = 0;             ///< graph node, for errors
    /// host: number of the step; random: of the counter; make, release: of the external; assign, transfer: of the
    /// source; gpu_kernel: its tag for late errors
    uint32_t aux = 0;
    Do what = Do::kernel;
    Device device;
  };

  /// Executes. `feeds` are by Request's numbers, of the planned dtypes and shapes; `fetched` gets one tensor a fetch,
  /// then one a fetched variable. With `locked`, the caller holds the slots' locks already (a subgraph of a run). On an
  /// error variables are as before.
  void execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const;

  size_t num_fetches() const { return fetches_.size() + fetched_slots_.size(); }
  /// When a run last used it, by memory_clock.
  uint64_t last_used() const { return last_used_.load(std::memory_order_relaxed); }

  /// What runs have left to the next, as long as none takes it.
  struct Idle {
    Idle();
    Idle(Idle&&) noexcept;
    ~Idle();
    DeviceBytes bytes() const;
    std::vector<std::unique_ptr<Frame>> frames;
    std::unique_ptr<Captured> captured;
  };
  Idle take_idle() const;
  /// Its session has been told to hold it no more.
  void set_given_up() const { given_up_.store(true, std::memory_order_relaxed); }
  bool is_given_up() const { return given_up_.load(std::memory_order_relaxed); }

  /// (slot, written) of every variable used, in order of creation.
  std::span<const std::pair<Slot*, bool>> slots() const { return slots_; }

 private:
  friend class Planner;
  friend struct Frame;
  friend class GpuRun;
  friend class Captured;

  class Drawing;
  struct Arg {
    enum class From : uint8_t { arena, external, constant } from = From::arena;
    Device device;  ///< of the arena
    uint32_t external = 0;
    uint64_t offset = 0;  ///< bytes into the arena or the external
    void* constant = nullptr;
  };
  /// A tensor that is not arena memory.
  struct External {
    TensorSpec spec;
    Device device;
    int32_t feed = -1;
    std::vector<uint32_t> args;  ///< pointers to set when it arrives
  };
  /// Where a fetch, or an input of a host step, is found.
  struct Source {
    enum class From : uint8_t { arena, external, constant } from = From::arena;
    Device device;
    uint32_t external = 0;
    uint64_t offset = 0;
    TensorSpec spec;
    Tensor constant;
    bool fed = false;
    bool read = false;  ///< a variable's value itself
  };
  struct Host {
    std::unique_ptr<HostStep> step;
    std::vector<Source> inputs;
    std::vector<uint32_t> outputs;  ///< externals
  };

  std::unique_ptr<Frame> take_frame() const;
  void give_frame(std::unique_ptr<Frame> frame) const;
  /// `gpu`: null if nothing runs there.
  void run_code(Frame& frame, GpuRun* gpu, Ledger* ledger) const {
    run_code({code_.data(), first_late_}, frame, gpu, ledger);
  }
  void run_code(std::span<const Instruction> code, Frame& frame, GpuRun* gpu, Ledger* ledger) const;
  template <bool kTimed>
  void run_code_as(std::span<const Instruction> code, Frame& frame, GpuRun* gpu, Ledger* ledger) const;
  void execute_on_gpu(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const;
  /// Runs it as a captured graph, where that can be done now.
  bool run_captured(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, LateUnit* unit) const;
  void spoil(std::span<Tensor> fetched, const LateErrors* errors, bool waits) const;
  /// Hands out fetches and makes new values of variables the values.
  void finish_run(Frame& frame, std::span<Tensor> fetched, Ledger* ledger, bool locked) const;
  /// What the feeds that it needs may be spoiled by; what is known is thrown.
  Ref<LateErrors> late_errors_of(std::span<const Tensor> feeds) const;
  /// The memory of so many frames, by device.
  DeviceBytes frame_bytes(int64_t count) const;
  /// With the variables' locks held.
  void execute_drawing(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const;
  // Inlined: the several of a small run make a tenth of it.
  [[gnu::always_inline]] void set_external(Frame& frame, uint32_t external, Tensor t) const {
    auto* data = static_cast<std::byte*>(t.value()->data());
    void** const args = frame.args.data();
    const Arg* const planned = args_.data();
    for (uint32_t a : externals_[external].args) args[a] = data + planned[a].offset;
    frame.externals[external] = std::move(t);
  }
  /// The next count of a counter, which the run has taken.
  uint64_t draw(Frame& frame, uint32_t counter) const {
    frame.drawn = counter + 1;
    return frame.counts[counter] = counters_[counter]->fetch_add(1, std::memory_order_relaxed);
  }
  Tensor tensor_of(const Frame& frame, const Source& s) const;
  void lock_slots() const;
  void unlock_slots() const noexcept;

  Ref<GraphData> graph_;
  std::vector<Instruction> code_;
  size_t first_late_ = 0;          ///< from here on what a run does once it cannot fail any more
  std::vector<const OpDef*> ops_;  ///< by instruction: what the ledger calls it
  std::vector<std::shared_ptr<const Prepared>> prepared_;
  std::vector<Arg> args_;
  std::vector<GpuStep> gpu_steps_;  ///< by instruction, up to the last one on a GPU
  std::vector<External> externals_;
  std::vector<Slot*> in_place_;  ///< by external: the variable whose new value it is, where it may lie over the old
  std::vector<std::pair<uint32_t, uint32_t>> feeds_;  ///< (feed, external) of those that are needed
  std::vector<Host> hosts_;
  std::vector<std::atomic<uint64_t>*> counters_;
  std::vector<Source> assigned_;     ///< what assignments store, by Instruction::aux
  std::vector<Source> transferred_;  ///< what transfers copy, by Instruction::aux
  std::vector<Source> fetches_;
  std::vector<Slot*> fetched_slots_;
  std::vector<std::pair<Slot*, bool>> slots_;
  std::vector<Tensor> constants_;  ///< kept alive
  struct ArenaPlan {
    size_t bytes = 0;
    size_t workspace = 0;  ///< where the kernels' scratch memory begins
  };
  std::vector<ArenaPlan> arenas_;  ///< by Device::index
  bool writes_ = false;
  SessionSlots* session_ = nullptr;
  mutable std::atomic<uint64_t> last_used_{0};
  mutable std::atomic<bool> given_up_{false};
  bool draws_ = false;  ///< it has random ops, or host steps, which may

  // Of plans that use a GPU.
  int gpu_ = -1;                                     ///< the first one used
  bool launches_ = false;                            ///< something runs on a GPU
  bool fails_late_ = false;                          ///< some kernel on a GPU may fail
  std::shared_ptr<const LateCalls> late_calls_;      ///< these kernels, by their tags
  std::string obstacle_;                             ///< why it cannot be captured; empty: it can
  mutable std::atomic<bool> captured_taken_{false};  ///< by the one run that may use captured_
  mutable std::unique_ptr<Captured> captured_;

  // Frames of runs that are over. A program of one thread needs only the spare one, which takes no lock.
  mutable std::atomic<Frame*> spare_{nullptr};
  mutable std::mutex frames_mutex_;
  mutable std::vector<std::unique_ptr<Frame>> frames_;  // guarded by frames_mutex_
};

/// Makes a plan for `request` on `g`. Subgraphs are planned with the same slots.
std::unique_ptr<const Plan> make_plan(GraphData& g, const Request& request, const SessionOptions& options,
                                      SessionSlots& slots, Ledger* ledger);

}  // namespace twofold
