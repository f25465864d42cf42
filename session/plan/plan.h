// A plan as plain data: a program turned into a flat array of instructions over memory whose layout is fixed. Made by
// the planner (planner.h), run by executors (session/run).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/kernel.h>
#include <twofold/session/plan/gpu_launch.h>
#include <twofold/session/plan/slots.h>
#include <twofold/session/program/program.h>

namespace twofold {

/// Bytes on devices.
using DeviceBytes = SmallVector<std::pair<Device, int64_t>, 2>;

/// What a plan does, one after another. Numbers in it are places in the plan's lists.
struct Instruction {
  enum class Do : uint8_t {
    kernel,
    kernel_that_may_fail,
    random,   ///< a kernel that draws
    read,     ///< of a variable
    assign,   ///< to a variable
    make,     ///< an external
    release,  ///< an external
    host,     ///< a HostOp
    gpu_kernel,
    gpu_random,
    transfer
  };

  KernelFn fn = nullptr;
  const void* params = nullptr;  ///< read, assign: the Slot
  uint32_t args = 0;             ///< the first of the kernel's args; read, transfer: the external that results
  uint32_t node = 0;             ///< graph node, for errors
  /// host: the host op; random, gpu_random: the counter; make, release: the external; assign, transfer: the source;
  /// kernel_that_may_fail: the checked kernel; gpu_kernel: its tag for late errors, where it may fail
  uint32_t aux = 0;
  Do what = Do::kernel;
  Device device;
};

/// Where a tensor is found: a fetch, an input of a host op.
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

/// Where a pointer that kernels take comes from.
struct PlannedArg {
  using From = Source::From;
  From from = From::arena;
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

/// A fed variable that a body of control flow reads, and the input of the node with its value.
struct FedVariable {
  Ref<VariableState> variable;
  size_t input;
};

/// Work on the host between kernels, on tensors instead of pointers: control flow, printing, ops of unknown shape.
struct HostOp {
  const OpDef* op = nullptr;
  Ref<AttrsBox> attrs;
  Device device;
  uint32_t node = 0;                                  ///< of the graph
  std::shared_ptr<const std::vector<BodyKept>> kept;  ///< as ProgramNode's
  Slot* slot = nullptr;                               ///< of an assignment or a read
  RandomCounter* counter = nullptr;                   ///< of a random op
  std::vector<FedVariable> fed;
  std::vector<Source> inputs;
  std::vector<uint32_t> outputs;  ///< externals

  AttrsView attrs_view() const { return attrs ? attrs->view() : AttrsView(); }
};

/// A kernel on the CPU that may fail, for the message.
struct CheckedKernel {
  const OpDef* op = nullptr;
  Ref<AttrsBox> attrs;

  AttrsView attrs_view() const { return attrs ? attrs->view() : AttrsView(); }
};

/// What is shown to an observer when the first `after` instructions are done.
struct ObservedOp {
  size_t after = 0;
  uint32_t node = 0;  ///< of the graph
  OpIdentity identity;
  uint32_t execution = ObservedRun::kNone;  ///< of the plan's
  Device device;
  std::vector<std::optional<Source>> inputs;  ///< none: only its shape is used
  std::vector<Source> outputs;
};

/// What a plan has if it uses a GPU.
struct GpuPlan {
  int gpu = -1;                                 ///< the first one used; -1: none
  bool launches = false;                        ///< something runs on a GPU
  bool fails_late = false;                      ///< some kernel on a GPU may fail
  std::shared_ptr<const LateCalls> late_calls;  ///< these kernels, by their tags
  std::string obstacle;                         ///< why it cannot be captured; empty: it can
  std::vector<GpuLaunch> kernels;               ///< by instruction, up to the last one on a GPU
};

struct Plan {
  Ref<GraphData> graph;
  RunSettings settings;
  std::vector<Instruction> code;
  size_t first_late = 0;          ///< from here on what a run does once it cannot fail any more
  std::vector<const OpDef*> ops;  ///< by instruction: what the ledger calls it
  std::vector<std::shared_ptr<const Prepared>> prepared;
  std::vector<PlannedArg> args;
  std::vector<External> externals;
  std::vector<Slot*> in_place;  ///< by external: the variable whose new value it is, where it may lie over the old
  std::vector<std::pair<uint32_t, uint32_t>> feeds;  ///< (feed, external) of those that are needed
  std::vector<HostOp> host_ops;
  std::vector<RandomCounter*> counters;
  std::vector<CheckedKernel> checked;
  std::vector<Source> assigned;     ///< what assignments store, by Instruction::aux
  std::vector<Source> transferred;  ///< what transfers copy, by Instruction::aux
  std::vector<Source> fetches;
  std::vector<Slot*> fetched_slots;
  std::vector<std::pair<Slot*, bool>> slots;  ///< (slot, written) of every variable used, in order of creation
  std::vector<Tensor> constants;              ///< kept alive
  DeviceBytes constant_bytes;                 ///< of those that the plan alone holds
  struct ArenaSize {
    size_t bytes = 0;
    size_t workspace = 0;  ///< where the kernels' scratch memory begins
  };
  std::vector<ArenaSize> arenas;  ///< by Device::index
  bool writes = false;            ///< some variable
  bool uses_eager = false;        ///< some variable whose value eager code has, too
  bool draws = false;             ///< it has random ops, or host ops, which may
  GpuPlan gpu;
  std::vector<ObservedOp> observed;        ///< in order; empty unless the plan is for observed runs
  std::vector<BuiltExecution> executions;  ///< of bodies, that an observed run does

  size_t num_fetches() const { return fetches.size() + fetched_slots.size(); }
};

}  // namespace twofold
