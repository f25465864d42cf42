// If and While at run time.
#pragma once

#include <memory>

#include <twofold/session/plan/plan.h>

namespace twofold {

bool is_control_flow(const OpDef& op);
/// The truth of a predicate. Throws InvalidArgument unless it is a bool scalar.
bool truth_of(const Tensor& p, const char* op);
/// The hidden output of a node whose gradient nobody wants.
Tensor no_trace();

/// A fed variable that a body reads, and the input of the If or While node with its value.
struct FedVariable {
  Ref<VariableState> variable;
  size_t input;
};

std::unique_ptr<HostStep> make_control_flow_step(const ProgramNode& n, const Program& p, const SessionOptions& options,
                                                 SessionSlots& slots);

}  // namespace twofold
