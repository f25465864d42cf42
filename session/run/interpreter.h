// Carrying bodies out op by op, recorded, so that what they did can be differentiated.
#pragma once

#include <unordered_map>
#include <vector>

#include <twofold/graph/body.h>
#include <twofold/lib/autodiff/trace.h>
#include <twofold/session/run/slots.h>

namespace twofold {

/// One run of an If or While node whose gradient is wanted. Computes with the kernels that plans call, on the same
/// values, in the order of the graph. The caller holds the locks of the variables' slots.
class Interpreter {
 public:
  explicit Interpreter(SessionSlots& slots) : slots_(slots) {}

  /// Variable `v` reads as `value`, which was fed.
  void feed(const VariableState& v, const Tensor& value);
  /// Does the node: its visible outputs and its trace.
  Traced run(const OpDef& op, AttrsView attrs, std::span<const Tensor> inputs, std::source_location where);

 private:
  std::vector<Tensor> call(const Body& body, std::span<const Tensor> parameters, std::span<const Tensor> inputs);
  std::vector<Tensor> loop(const WhileAttrs& attrs, std::span<const Tensor> inputs, std::source_location where);
  void execute(const Node& node, Inputs inputs, Outputs& outputs);
  Tensor read(const Ref<VariableState>& v);
  Tensor assign(const OpDef& op, const Ref<VariableState>& v, const Tensor& given);

  SessionSlots& slots_;
  std::unordered_map<uint64_t, Tensor> fed_;                            // by VariableState::id
  std::unordered_map<const GraphData*, std::vector<uint32_t>> orders_;  // the nodes that a body needs
};

/// Does a Backprop node: its visible outputs and its trace. Where no gradient arrives (a branch not taken), and eager
/// execution has None, the result is zero.
Traced run_backprop_node(const BackpropAttrs& attrs, std::span<const Tensor> inputs, SessionSlots& slots, bool keep);
/// The trace in the hidden output of a node.
Tensor trace_handle(Ref<Trace> trace);

}  // namespace twofold
