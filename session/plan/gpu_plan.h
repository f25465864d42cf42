// What plans that use GPUs need beside what all have.
#pragma once

#include <utility>
#include <vector>

#include <twofold/session/plan/memory_plan.h>
#include <twofold/session/plan/plan.h>

namespace twofold {

/// New values of variables, as (value, variable), that a captured run may write over the old ones: made on a GPU by ops
/// that can (OpDef::in_place), after the last op that may fail, when nobody reads the old value any more.
std::vector<std::pair<ValueId, Ref<VariableState>>> gpu_updates_in_place(const Program& p, MemoryPlan& memory);

/// Fills in what `plan.gpu` says of the plan's instructions: the GPU that it uses and why it cannot become a captured
/// graph, unless it can.
void finish_gpu_plan(Plan& plan, bool captures);

}  // namespace twofold
