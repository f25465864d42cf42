// Carrying out a plan's instructions.
#pragma once

#include <span>

#include <twofold/session/run/frame.h>
#include <twofold/session/run/host_call.h>

namespace twofold {

class GpuRun;
struct SessionContext;

/// Does `code`, part of the frame's plan, in order. `gpu`: null if nothing runs there.
void run_code(std::span<const Instruction> code, Frame& frame, HostCalls calls, GpuRun* gpu, Ledger* ledger);

/// The same with all code that a plan does early, shown op by op to this thread's observers, which may not use
/// `session` meanwhile.
void run_observed(Frame& frame, HostCalls calls, GpuRun* gpu, Ledger* ledger, const SessionContext* session);

/// `retained` of a tensor that the caller gives away.
inline Tensor kept(Tensor t) { return t.value()->is_borrowed() ? retained(t) : t; }

}  // namespace twofold
