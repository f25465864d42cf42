// Doing an op now: what eager mode does for each op, and a session for bodies that it does op by op.
#pragma once

#include <cstdint>
#include <source_location>
#include <span>

#include <twofold/lib/op/apply.h>

namespace twofold {

/// Computes `op`, and tells whoever keeps account of it: the ledger, the observer and the tapes of this thread.
/// `random_counter` counts earlier executions of a random op; `over` is as `launch` has it.
void execute_now(const OpDef& op, Inputs inputs, AttrsView attrs, uint64_t random_counter, std::source_location where,
                 Outputs& outputs, std::span<const Tensor> over = {});

}  // namespace twofold
