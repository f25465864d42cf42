// Executions of If and While nodes that are recorded, so that gradients can go back through them.
#pragma once

#include <source_location>
#include <span>

#include <twofold/eager/trace.h>
#include <twofold/session/run/planned_bodies.h>

namespace twofold {

/// Does an If or While node whose gradient is wanted, by the plans of its bodies: its visible outputs, and a trace in
/// which each execution of a body is one record, with the values that are kept of it. `inputs`: of the node, then those
/// of fed variables; the trace is of the first `num_inputs`.
Traced run_traced_bodies(PlannedBodies& bodies, std::span<const Tensor> inputs, size_t num_inputs,
                         std::source_location where, Ledger* ledger);

/// What a node's trace is to others: a tensor without elements.
Tensor trace_handle(Ref<Trace> trace);
/// That of a node whose gradient nobody wants.
Tensor no_trace();

}  // namespace twofold
