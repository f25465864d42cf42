// Executions of bodies that are recorded, so that gradients can go back through them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <source_location>
#include <vector>

#include <twofold/eager/trace.h>
#include <twofold/session/run/planned_bodies.h>

namespace twofold {

/// Does an If or While node whose gradient is wanted, by the plans of its bodies: its visible outputs, and a trace in
/// which each execution of a body is one record, with the values that are kept of it. `inputs`: of the node, then those
/// of fed variables; the trace is of the first `num_inputs`.
Traced run_traced_bodies(PlannedBodies& bodies, AttrsView attrs, std::span<const Tensor> inputs, size_t num_inputs,
                         std::source_location where, Ledger* ledger);

/// The backward bodies of a Backprop node, for all its runs.
class PlannedGradients {
 public:
  PlannedGradients(const HostOp& op, const SessionOptions& options, const RunSettings& settings,
                   SessionContext& context);

  /// Does the node: its outputs.
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger);

 private:
  class Running;
  friend void body_call_gradient(Backward& b);

  // A backward body, and by which of its inputs' gradients are asked for, its plans.
  struct Planned {
    const BodyGradient* gradient = nullptr;
    std::shared_ptr<const BodyKept> kept;
    std::map<std::vector<bool>, std::unique_ptr<BodyExecutors>> executors;
  };
  BodyExecutors& executors(Planned& planned, const std::vector<bool>& asked);
  void differentiate(Backward& b, Ledger* ledger);
  void hand_out(const TracedGradient& gradient, int64_t consist, const Shape& shape, std::span<Tensor> outputs,
                size_t& next) const;

  const HostOp& op_;
  const BackpropAttrs& attrs_;
  const size_t num_bodies_;  // of what it differentiates
  const SessionOptions options_;
  RunSettings settings_;
  SessionContext& context_;
  std::mutex mutex_;              // guards what `planned_` maps to
  std::vector<Planned> planned_;  // by the number of the body that is differentiated
};

/// What a node's trace is to others: a tensor without elements.
Tensor trace_handle(Ref<Trace> trace);
/// That of a node whose gradient nobody wants.
Tensor no_trace();

}  // namespace twofold
