// Ops that a session carries out on the host.
#pragma once

#include <memory>

#include <twofold/session/plan/plan.h>
#include <twofold/session/run/control_flow.h>

namespace twofold {

/// True for ops that are host steps by nature: printing, assertions, control flow.
bool is_host_op(const OpDef& op);
/// The step for node `n` of `p`: control flow, printing, an assertion, or a launch with shapes known only at run time.
std::unique_ptr<HostStep> make_host_step(const ProgramNode& n, const Program& p, const SessionOptions& options,
                                         SessionSlots& slots);

}  // namespace twofold
