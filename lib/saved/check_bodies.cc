// What holds of the bodies that a node has, for one that comes from a file.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include <twofold/graph/backprop.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/saved/writer.h>

namespace twofold::saved {
namespace {

bool in_range(const std::vector<int64_t>& numbers, size_t end) {
  return std::ranges::all_of(numbers, [&](int64_t i) { return i >= 0 && static_cast<size_t>(i) < end; });
}

// Whether a value like `from` may come where `to` is expected.
bool fits(const TensorSpec& from, const TensorSpec& to) {
  return from.dtype == to.dtype && from.shape.compatible_with(to.shape);
}

std::string check_body(const Body& b, std::span<const TensorSpec> inputs) {
  if (!b.graph) return "it has no body";
  if (b.captures.size() != b.capture_inputs.size()) return "its body captures more than it says, or less";
  for (size_t i = 0; i < b.captures.size(); ++i) {
    if (b.capture_inputs[i] >= inputs.size()) return "its body captures an input that there is not";
    if (!fits(inputs[b.capture_inputs[i]], b.graph->spec(b.captures[i])))
      return fmt::format("its body captures input {} as another dtype or shape", b.capture_inputs[i]);
  }
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
    if (!fits(inputs[i], body.graph->spec(body.parameters[i])) ||
        !fits(inputs[i], test.graph->spec(test.parameters[i])) ||
        !fits(body.output_spec(i), body.graph->spec(body.parameters[i])))
      return fmt::format("its loop variable {} is of a shape that its bodies do not take", i);
  }
  return {};
}

std::string check_call(const CallAttrs& a, std::span<const TensorSpec> inputs) {
  const size_t n = a.body.parameters.size();
  if (n > inputs.size()) return "its body takes more arguments than it is given";
  for (size_t i = 0; i < n; ++i)
    if (!fits(inputs[i], a.body.graph->spec(a.body.parameters[i])))
      return fmt::format("its argument {} is of another dtype or shape than its body's", i);
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

// Of the body `traced`, whose gradient it is said to be. `variables`: how many it may be differentiated by.
std::string check_gradient_of(const BodyGradient& gradient, const Body& traced, size_t variables) {
  const Body& body = gradient.body;
  const GraphData &g = *body.graph, &forward = *traced.graph;
  const char* const other = "a gradient is not that of its body";
  const auto same = [&](const std::vector<Edge>& ours, const std::vector<Edge>& theirs) {
    for (size_t i = 0; i < theirs.size(); ++i)
      if (ours[i] != theirs[i] || !fits(forward.spec(theirs[i]), g.spec(ours[i]))) return false;
    return true;
  };
  if (gradient.dys.size() != traced.outputs.size() || gradient.forward > forward.size() ||
      body.captures.size() != traced.captures.size() || body.capture_inputs != traced.capture_inputs)
    return other;
  std::vector<DType> dys;
  for (size_t i = 0; i < gradient.dys.size(); ++i)
    if (gradient.dys[i] != Dy::none) dys.push_back(traced.output_spec(i).dtype);
  dys.insert(dys.end(), static_cast<size_t>(std::ranges::count(gradient.dys, Dy::conditional)), bool_);
  const size_t n = traced.parameters.size();
  if (body.parameters.size() != n + dys.size() || !same(body.parameters, traced.parameters) ||
      !same(body.captures, traced.captures))
    return other;
  for (size_t i = 0; i < dys.size(); ++i)
    if (g.spec(body.parameters[n + i]).dtype != dys[i]) return other;
  std::unordered_set<uint64_t> reads;  // by Edge::key
  for (const ForwardRead& r : gradient.reads) {
    if (r.edge.node >= gradient.forward || r.edge.output >= forward.node(r.edge.node).outputs.size() ||
        !fits(forward.spec(r.edge), g.spec(r.edge)))
      return "a gradient reads what its body does not have";
    reads.insert(r.edge.key());
  }
  // Forward nodes but constants are cut off by what is read of them.
  const auto is_given = [&](Edge e) {
    return e.node >= gradient.forward || g.node(e.node).op == &constant_op || reads.contains(e.key());
  };
  for (uint32_t id = gradient.forward; id < g.size(); ++id)
    if (!std::ranges::all_of(g.node(id).inputs, is_given)) return "a gradient reads more of its body than it says";
  for (const InputGradient& of : gradient.inputs) {
    for (const GradientPart& p : of.parts)
      if (!is_given(body.outputs[p.value])) return "a gradient is a value of its body that it does not say it reads";
    if (of.input >= n + traced.captures.size() + variables) return "a gradient is of an input that there is not";
  }
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
  // Of a gradient: all but its trace and what says whether gradients have arrived.
  std::span<const Edge> differentiated = from.inputs;
  if (from.op == &backprop_op)
    differentiated =
        from.inputs.subspan(1, from.inputs.size() - 1 - from.attrs_view().as<BackpropAttrs>().conditional.size());
  if (n != differentiated.size()) return "it has other inputs than what it is the gradient of";
  for (size_t i = 0; i < n; ++i)
    if (!fits(g.spec(inputs[1 + i]), g.spec(differentiated[i])))
      return fmt::format("its input {} is of another kind", i);
  for (size_t i = 0; i < a.conditional.size(); ++i)
    if (g.spec(inputs[1 + n + a.dys.size() + i]).dtype != bool_) return "whether a gradient has arrived is no truth";
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
    if (!a.gradients[i].body.graph) continue;
    if (!traced[i]) return "it has a gradient of what is not called";
    if (std::string problem = check_gradient_of(a.gradients[i], *traced[i], a.variables.size()); !problem.empty())
      return problem;
  }
  return {};
}

}  // namespace

std::vector<const Body*> all_bodies_of(const OpDef& op, AttrsView attrs) {
  if (!op.flags.control_flow) return {};
  std::vector<const Body*> bodies = bodies_of(op, attrs);
  if (&op == &backprop_op)
    for (const BodyGradient& g : attrs.as<BackpropAttrs>().gradients)
      if (g.body.graph) bodies.push_back(&g.body);
  return bodies;
}

std::string check_bodies(const GraphData& g, const NodeRecord& node) {
  const AttrsView attrs = node.attrs ? node.attrs->view() : AttrsView();
  if (node.op == &backprop_op) return check_backprop(g, attrs.as<BackpropAttrs>(), node.inputs);
  std::vector<TensorSpec> specs;
  for (Edge e : node.inputs) specs.push_back(g.spec(e));
  for (const Body* b : bodies_of(*node.op, attrs))
    if (std::string problem = check_body(*b, specs); !problem.empty()) return problem;
  if (node.op == &if_op) return check_if(attrs.as<IfAttrs>());
  if (node.op == &while_op) return check_while(attrs.as<WhileAttrs>(), specs);
  if (node.op == &call_op) return check_call(attrs.as<CallAttrs>(), specs);
  return {};
}

}  // namespace twofold::saved
