// What plans that use GPUs need beside what all have.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include <twofold/session/plan/memory_plan.h>
#include <twofold/session/plan/plan.h>

namespace twofold {

/// New values of variables, as (value, variable), that a captured run may write over the old ones: made on a GPU by ops
/// that can (OpDef::in_place), after the last op that may fail, when nobody reads the old value any more.
std::vector<std::pair<ValueId, Ref<VariableState>>> gpu_updates_in_place(const Program& p, MemoryPlan& memory);

/// What the planner does of kernels on GPUs beside what it does of all kernels.
class GpuKernels {
 public:
  explicit GpuKernels(Plan& plan) : plan_(plan) {}

  /// `i` is about to become the plan's next instruction: a launch of the node's kernel.
  void add(Instruction& i, const ProgramNode& n, std::span<const TensorSpec> inputs,
           std::span<const TensorSpec> outputs, size_t workspace);
  /// When all instructions are there: fills in what `plan.gpu` says of them, the GPU that is used and why they cannot
  /// become a captured graph, unless they can.
  void finish(bool captures);
  /// Then gives the kernels on `device` their workspaces, of which the largest takes so much, behind its values.
  /// Returns where they begin.
  size_t place_workspaces(Arena& arena, Device device, size_t largest);

 private:
  Plan& plan_;
  LateCalls late_calls_;
};

}  // namespace twofold
