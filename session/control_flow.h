// If and While at run time.
#pragma once

#include <memory>

#include <twofold/session/plan.h>

namespace twofold {

bool is_control_flow(const OpDef& op);
std::unique_ptr<HostStep> make_control_flow_step(const ProgramNode& n, const Program& p, const SessionOptions& options,
                                                 SessionSlots& slots);

}  // namespace twofold
