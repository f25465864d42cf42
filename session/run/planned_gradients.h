// Backward bodies by plans of their own.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <twofold/eager/trace.h>
#include <twofold/session/run/planned_bodies.h>

namespace twofold {

/// Those of one Backprop node, for all its runs. The gradient engine goes back over the records of the node's trace,
/// each of which is an execution of a body; the gradient of such a record is one execution of its backward body.
class PlannedGradients {
 public:
  PlannedGradients(const HostOp& op, const SessionOptions& options, const RunSettings& settings,
                   SessionContext& context);

  /// Does the node: its outputs.
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger);

 private:
  class Running;
  friend void body_call_gradient(Backward& b);

  // A backward body and, by which of its inputs' gradients are asked for, its plans.
  struct Planned {
    const BodyGradient* gradient = nullptr;
    std::shared_ptr<const BodyKept> kept;
    std::map<std::vector<bool>, std::unique_ptr<BodyExecutors>> executors;
  };
  BodyExecutors& executors(Planned& planned, const std::vector<bool>& asked);
  void differentiate(Backward& b, Ledger* ledger);
  std::vector<int> slots(size_t w, const GradientSum& sum, const Running& running) const;
  void hand_out(size_t w, const GradientSum& sum, const Shape& shape, const Running& running,
                std::span<Tensor> outputs) const;
  Shape shape_of(const Backprop& request, size_t w) const;

  const HostOp& op_;
  const BackpropAttrs& attrs_;
  const SessionOptions options_;
  RunSettings settings_;
  SessionContext& context_;
  std::mutex mutex_;              // guards the maps in `planned_`
  std::vector<Planned> planned_;  // by the number of the body that is differentiated
};

}  // namespace twofold
