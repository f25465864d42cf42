// What holds of the bodies that a node has, for one that comes from a file.
#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/backprop.h>
#include <twofold/lib/saved/writer.h>

namespace twofold::saved {
namespace {

bool in_range(const std::vector<int64_t>& numbers, size_t end) {
  return std::ranges::all_of(numbers, [&](int64_t i) { return i >= 0 && static_cast<size_t>(i) < end; });
}

std::string check_body(const Body& b, size_t inputs) {
  if (!b.graph) return "it has no body";
  if (b.captures.size() != b.capture_inputs.size()) return "its body captures more than it says, or less";
  if (std::ranges::any_of(b.capture_inputs, [&](uint32_t i) { return i >= inputs; }))
    return "its body captures an input that there is not";
  return {};
}

std::string check_if(const IfAttrs& a) {
  const Body &x = a.then_body, &y = a.else_body;
  if (!x.parameters.empty() || !y.parameters.empty()) return "its branches have parameters";
  if (x.outputs.size() != y.outputs.size()) return "its branches give different numbers of results";
  for (size_t i = 0; i < x.outputs.size(); ++i)
    if (x.output_spec(i).dtype != y.output_spec(i).dtype) return "its branches give different dtypes";
  return {};
}

std::string check_while(const WhileAttrs& a, std::span<const TensorSpec> inputs) {
  const Body &test = a.test, &body = a.body;
  const size_t n = body.parameters.size();
  if (n > inputs.size() || body.outputs.size() != n || test.parameters.size() != n)
    return "its bodies take another number of loop variables than it has";
  if (test.outputs.size() != 1 || test.output_spec(0).dtype != bool_) return "its test gives no truth";
  for (size_t i = 0; i < n; ++i) {
    const DType dtype = inputs[i].dtype;
    if (body.graph->spec(body.parameters[i]).dtype != dtype || body.output_spec(i).dtype != dtype ||
        test.graph->spec(test.parameters[i]).dtype != dtype)
      return fmt::format("its loop variable {} changes its dtype", i);
  }
  return {};
}

std::string check_call(const CallAttrs& a, std::span<const TensorSpec> inputs) {
  const size_t n = a.body.parameters.size();
  if (n > inputs.size()) return "its body takes more arguments than it is given";
  for (size_t i = 0; i < n; ++i)
    if (a.body.graph->spec(a.body.parameters[i]).dtype != inputs[i].dtype)
      return fmt::format("its argument {} is of another dtype than its body's", i);
  return {};
}

std::string check_gradient(const BodyGradient& g) {
  if (!g.body.graph) return {};
  const auto outputs = g.body.outputs.size();
  for (const InputGradient& of : g.inputs)
    for (const GradientPart& p : of.parts)
      if (p.value >= outputs) return "a gradient is an output that there is not";
  if (g.forward > g.body.graph->size()) return "its forward body is longer than its gradient";
  return {};
}

std::string check_backprop(const GraphData& g, const BackpropAttrs& a, std::span<const Edge> inputs) {
  if (inputs.empty()) return "it has no trace";
  const Node& from = g.node(inputs[0].node);
  if (!from.op->flags.control_flow || inputs[0].output + 1u != from.outputs.size()) return "its trace is none";
  if (a.num_inputs < 0 || a.num_outputs < 0 || a.num_outputs > INT16_MAX) return "it has less than no inputs";
  const auto n = static_cast<size_t>(a.num_inputs);
  if (1 + n + a.dys.size() + a.conditional.size() != inputs.size()) return "it has another number of inputs";
  if (!in_range(a.dys, static_cast<size_t>(a.num_outputs)) || !in_range(a.conditional, a.dys.size()) ||
      !in_range(a.wanted, n) || !in_range(a.wanted_variables, a.variables.size()))
    return "it refers to inputs or outputs that there are not";
  if (a.results.size() != a.wanted.size() + a.wanted_variables.size()) return "it gives another number of gradients";
  if (a.shapes.size() != a.dtypes.size()) return "it gives another number of results";
  for (const BackpropResult& r : a.results)
    for (const GradientPart& p : r.parts)
      for (const int64_t output : {int64_t{p.value}, int64_t{p.indices}, int64_t{p.arrived}})
        if (output < -1 || output >= static_cast<int64_t>(a.shapes.size()))
          return "a gradient is an output that there is not";
  for (const BodyGradient& each : a.gradients)
    if (std::string problem = check_gradient(each); !problem.empty()) return problem;
  const std::vector<const Body*> traced = bodies_traced(g, inputs[0].node);
  if (a.gradients.size() != traced.size()) return "it has gradients of other bodies than its trace's";
  for (size_t i = 0; i < traced.size(); ++i) {
    const BodyGradient& gradient = a.gradients[i];
    if (!gradient.body.graph) continue;
    if (!traced[i] || gradient.dys.size() != traced[i]->outputs.size() ||
        gradient.body.parameters.size() < traced[i]->parameters.size() || gradient.forward > traced[i]->graph->size() ||
        gradient.body.captures.size() != traced[i]->captures.size())
      return "a gradient is not that of its body";
  }
  return {};
}

}  // namespace

std::string check_bodies(const GraphData& g, const NodeRecord& node) {
  const AttrsView attrs = node.attrs ? node.attrs->view() : AttrsView();
  if (node.op == &backprop_op) return check_backprop(g, attrs.as<BackpropAttrs>(), node.inputs);
  for (const Body* b : bodies_of(*node.op, attrs))
    if (std::string problem = check_body(*b, node.inputs.size()); !problem.empty()) return problem;
  std::vector<TensorSpec> specs;
  for (Edge e : node.inputs) specs.push_back(g.spec(e));
  if (node.op == &if_op) return check_if(attrs.as<IfAttrs>());
  if (node.op == &while_op) return check_while(attrs.as<WhileAttrs>(), specs);
  if (node.op == &call_op) return check_call(attrs.as<CallAttrs>(), specs);
  return {};
}

}  // namespace twofold::saved
