// If and While at run time.
#pragma once

#include <memory>
#include <span>

#include <twofold/graph/backprop.h>
#include <twofold/session/run/host_call.h>

namespace twofold {

using BodyResults = SmallVector<Tensor, 4>;

/// How the bodies of one If or While node are carried out: by plans (planned_bodies.h), which are recorded if what they
/// did is to be differentiated (traced_bodies.h). `inputs` are those of the node.
class Bodies {
 public:
  virtual BodyResults branch(const Body& taken, std::span<const Tensor> inputs) = 0;
  /// Whether a loop in this state goes on.
  virtual bool test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) = 0;
  /// The state after one iteration of a loop.
  virtual BodyResults iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) = 0;

 protected:
  ~Bodies() = default;
};

/// Does an If or While node: its visible outputs.
BodyResults run_bodies(AttrsView attrs, std::span<const Tensor> inputs, Bodies& bodies);

/// The truth of a predicate. Throws InvalidArgument unless it is a bool scalar.
bool truth_of(const Tensor& p, const char* op);

/// An If, While or Backprop node.
std::unique_ptr<HostCall> make_control_flow_call(const HostOp& op, GraphData& graph, const SessionOptions& options,
                                                 const RunSettings& settings, SessionContext& context);

}  // namespace twofold
