// Carrying bodies out op by op, recorded, so that what they did can be differentiated.
#pragma once

#include <source_location>
#include <unordered_map>
#include <vector>

#include <twofold/eager/trace.h>
#include <twofold/graph/identity.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/session/run/control_flow.h>

namespace twofold {

/// One run of an If or While node whose gradient is wanted. Computes with the kernels that plans call, on the same
/// values, in the order of the graph. The caller holds the locks of the variables' slots.
class TracedBodies final : public Bodies {
 public:
  /// `where`: the line of the outermost node.
  TracedBodies(Slots& slots, std::source_location where) : slots_(slots), where_(where) {}

  /// Variable `v` reads as `value`, which was fed.
  void feed(const VariableState& v, const Tensor& value);
  /// Does the node: its visible outputs and its trace.
  Traced run(AttrsView attrs, std::span<const Tensor> inputs);

  BodyResults branch(const Body& taken, std::span<const Tensor> inputs) override;
  bool test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) override;
  BodyResults iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) override;

 private:
  BodyResults call(const Body& body, std::span<const Tensor> parameters, std::span<const Tensor> inputs);
  void execute(const Node& node, Inputs inputs, Outputs& outputs);
  void call_op(const Node& node, Inputs inputs, Outputs& outputs);
  Tensor read(const Ref<VariableState>& v);
  Tensor assign(const OpDef& op, const Ref<VariableState>& v, const Tensor& given, std::source_location where);

  Slots& slots_;
  std::source_location where_;                // of the innermost node under way
  std::unordered_map<uint64_t, Tensor> fed_;  // by VariableState::id
  struct Known {
    std::vector<uint32_t> order;  // the nodes that the body needs
    // Where somebody observes: what the nodes are seen as, what is executed, and by node which of that.
    GraphIdentities identities;
    std::vector<BuiltExecution> executions;
    std::vector<uint32_t> executions_of_nodes;
  };
  const Known& known(const Body& body);
  std::unordered_map<const GraphData*, Known> known_;
};

/// Does a Backprop node: its visible outputs and its trace. Where no gradient arrives (a branch not taken), and eager
/// execution has None, the result is zero.
Traced run_backprop_node(const BackpropAttrs& attrs, std::span<const Tensor> inputs, Slots& slots, bool keep);
/// The trace in the hidden output of a node.
Tensor trace_handle(Ref<Trace> trace);

}  // namespace twofold
