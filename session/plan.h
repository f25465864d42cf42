// A plan: a program turned into a flat array of instructions over a memory whose layout is fixed.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <twofold/lib/op/kernel.h>
#include <twofold/session/options.h>
#include <twofold/session/program.h>
#include <twofold/session/slots.h>

namespace twofold {

class Ledger;
class Plan;

/// What one run needs beside the plan: memory for intermediate values, pointers to it in the order kernels take them,
/// and the tensors that come from outside or go there. Runs in flight have one each.
struct Frame {
  explicit Frame(const Plan& plan);
  ~Frame();
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  std::byte* arena = nullptr;
  size_t arena_bytes = 0;
  std::vector<void*> args;        ///< Plan::args_ resolved
  std::vector<Tensor> externals;  ///< by number; those of the last run are gone
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
  Plan() = default;
  ~Plan();

  enum class Do : uint8_t { kernel, kernel_that_may_fail, random, read, assign, make, host };

  struct Instruction {
    KernelFn fn = nullptr;
    const void* params = nullptr;  ///< read, assign: the Slot; random: see counter
    uint32_t args = 0;             ///< place in Frame::args; other kinds: an external
    uint32_t node = 0;             ///< graph node, for errors
    uint32_t aux = 0;  ///< host: number of the step; random: number of the counter; make: number of the external
    Do what = Do::kernel;
  };

  /// Executes. `feeds` are by Request's numbers, of the planned dtypes and shapes; `fetched` gets one tensor a fetch,
  /// then one a fetched variable. With `locked`, the caller holds the slots' locks already (a subgraph of a run). On an
  /// error variables are as before.
  void execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) const;

  size_t num_fetches() const { return fetches_.size() + fetched_slots_.size(); }
  size_t num_instructions() const { return code_.size(); }
  size_t arena_bytes() const { return arena_bytes_; }
  /// (slot, written) of every variable used, in order of creation.
  std::span<const std::pair<Slot*, bool>> slots() const { return slots_; }

 private:
  friend class Planner;
  friend struct Frame;

  struct Arg {
    enum class From : uint8_t { arena, external, constant } from = From::arena;
    uint32_t external = 0;
    uint64_t offset = 0;  ///< bytes into the arena or the external
    void* constant = nullptr;
  };
  /// A tensor that is not arena memory.
  struct External {
    TensorSpec spec;
    int32_t feed = -1;
    std::vector<uint32_t> args;  ///< pointers to set when it arrives
  };
  /// Where a fetch, or an input of a host step, is found.
  struct Source {
    enum class From : uint8_t { arena, external, constant } from = From::arena;
    uint32_t external = 0;
    uint64_t offset = 0;
    TensorSpec spec;
    Tensor constant;
    bool fed = false;
  };
  struct Host {
    std::unique_ptr<HostStep> step;
    std::vector<Source> inputs;
    std::vector<uint32_t> outputs;  ///< externals
  };

  std::unique_ptr<Frame> take_frame() const;
  void give_frame(std::unique_ptr<Frame> frame) const;
  void run_code(Frame& frame, Ledger* ledger) const;
  template <bool kTimed>
  void run_code_as(Frame& frame, Ledger* ledger) const;
  void set_external(Frame& frame, uint32_t external, Tensor t) const;
  Tensor tensor_of(const Frame& frame, const Source& s) const;
  void lock_slots() const;
  void unlock_slots() const noexcept;

  Ref<GraphData> graph_;
  std::vector<Instruction> code_;
  std::vector<const OpDef*> ops_;  ///< by instruction: what the ledger calls it
  std::vector<std::shared_ptr<const Prepared>> prepared_;
  std::vector<Arg> args_;
  std::vector<External> externals_;
  std::vector<std::pair<uint32_t, uint32_t>> feeds_;  ///< (feed, external) of those that are needed
  std::vector<Host> hosts_;
  std::vector<std::atomic<uint64_t>*> counters_;
  std::vector<Source> assigned_;  ///< what assignments store, by Instruction::aux
  std::vector<Source> fetches_;
  std::vector<Slot*> fetched_slots_;
  std::vector<std::pair<Slot*, bool>> slots_;
  std::vector<Tensor> constants_;  ///< kept alive
  size_t arena_bytes_ = 0;
  size_t workspace_offset_ = 0;
  bool writes_ = false;

  // Frames of runs that are over. A program of one thread needs only the spare one, which takes no lock.
  mutable std::atomic<Frame*> spare_{nullptr};
  mutable std::mutex frames_mutex_;
  mutable std::vector<std::unique_ptr<Frame>> frames_;  // guarded by frames_mutex_
};

/// Makes a plan for `request` on `g`. Subgraphs are planned with the same slots.
std::unique_ptr<const Plan> make_plan(GraphData& g, const Request& request, const SessionOptions& options,
                                      SessionSlots& slots, Ledger* ledger);

}  // namespace twofold
