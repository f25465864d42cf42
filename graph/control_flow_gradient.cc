// The gradient of If and While in a graph: a node that differentiates what the forward node did.
#include <algorithm>

#include <twofold/graph/body.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

std::vector<Ref<VariableState>> differentiable_variables(const OpDef& op, AttrsView attrs) {
  if (&op == &backprop_op) return attrs.as<BackpropAttrs>().variables;
  std::vector<Ref<VariableState>> found;
  for (const Body* b : bodies_of(op, attrs)) {
    if (&op == &while_op && b == &attrs.as<WhileAttrs>().test) continue;
    for (const auto& v : b->reads)
      if (is_floating(v->dtype) && std::ranges::find(found, v) == found.end()) found.push_back(v);
  }
  return found;
}

void infer_backprop(InferContext& c) {
  const auto& a = c.attrs<BackpropAttrs>();
  for (size_t i = 0; i < a.shapes.size(); ++i) c.output(a.dtypes[i], a.shapes[i]);
  for (size_t i = 0; i < a.shapes.size(); ++i) c.output(bool_, {});
  c.output(uint8, Shape{0});
}

// Behind the inputs of the node, the engine lists the variables that its bodies read.
void control_flow_gradient(Backward& b) {
  // Its own input 0 is the forward node's trace, its last ones say what arrived, as do its last outputs.
  const BackpropAttrs* again = &b.op() == &backprop_op ? &b.attrs<BackpropAttrs>() : nullptr;
  const size_t first = again ? 1 : 0;
  BackpropAttrs a;
  a.variables = again               ? again->variables
                : &b.op() == &if_op ? differentiable_variables(if_op, b.attrs<IfAttrs>())
                                    : differentiable_variables(while_op, b.attrs<WhileAttrs>());
  const size_t variables = static_cast<size_t>(b.num_inputs()) - a.variables.size();
  const size_t end = variables - (again ? again->conditional.size() : 0);
  a.num_inputs = static_cast<int64_t>(end - first);
  a.num_outputs = again ? static_cast<int64_t>(again->shapes.size()) : b.num_outputs();
  std::vector<const Tensor*> inputs{&b.output(b.num_outputs())};
  std::vector<int> places;
  const auto want = [&](int i) {
    places.push_back(i);
    a.dtypes.push_back(b.input(i).dtype());
    a.shapes.push_back(b.input(i).shape());
  };
  for (size_t i = first; i < end; ++i) {
    const int at = static_cast<int>(i);
    inputs.push_back(&b.input(at));
    if (!b.needs(at)) continue;
    a.wanted.push_back(static_cast<int64_t>(i - first));
    want(at);
  }
  for (size_t k = 0; k < a.variables.size(); ++k) {
    const int at = static_cast<int>(variables + k);
    if (!b.needs(at)) continue;
    a.wanted_variables.push_back(static_cast<int64_t>(k));
    want(at);
  }
  std::vector<const Tensor*> arrived;
  for (int i = 0; i < b.num_outputs(); ++i) {
    if (!b.dy(i).defined()) continue;
    if (b.arrived(i).defined()) {
      a.conditional.push_back(static_cast<int64_t>(a.dys.size()));
      arrived.push_back(&b.arrived(i));
    }
    a.dys.push_back(i);
    inputs.push_back(&b.dy(i));
  }
  if (places.empty()) return;
  inputs.insert(inputs.end(), arrived.begin(), arrived.end());
  const Outputs dxs = apply_all(backprop_op, inputs, a, t_state.source);
  for (size_t i = 0; i < places.size(); ++i) b.dx(places[i], dxs[i], dxs[places.size() + i]);
}

}  // namespace twofold
