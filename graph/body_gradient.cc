#include <twofold/graph/body_gradient.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include <twofold/graph/gradients.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

const InputGradient* BodyGradient::of(size_t i) const {
  const auto found = std::ranges::find(inputs, i, &InputGradient::input);
  return found == inputs.end() ? nullptr : &*found;
}

Contribution contribution_of(const GradientPart& part, std::span<const Tensor> outputs) {
  Contribution c{.kind = part.kind, .value = outputs[part.value]};
  if (part.arrived >= 0) c.arrived = outputs[static_cast<size_t>(part.arrived)];
  if (part.indices >= 0)
    c.indices = outputs[static_cast<size_t>(part.indices)];
  else if (part.kind == Contribution::Kind::slice)
    c.place = std::make_shared<const SlicePlace>(SlicePlace{part.begin, part.strides});
  return c;
}

uint64_t hash_field(const BodyGradient& g) { return hash_field(g.body); }
std::string print_field(const BodyGradient& g) { return print_field(g.body); }
void perturb_field(BodyGradient& g) { perturb_field(g.body); }

namespace {

// The node inside for each input: a parameter or a capture; none for a variable.
Edge input_edge(const Body& b, size_t i) {
  return i < b.parameters.size() ? b.parameters[i] : b.captures[i - b.parameters.size()];
}
TensorKey input_key(const Body& b, size_t i, std::span<const Ref<VariableState>> variables) {
  const size_t tensors = b.parameters.size() + b.captures.size();
  return i < tensors ? input_edge(b, i).key() : variable_key(*variables[i - tensors]);
}

// What the nodes behind the first `forward` that `outputs` need read of those.
std::vector<ForwardRead> forward_reads(const GraphData& g, uint32_t forward, std::span<const Edge> outputs) {
  std::map<uint64_t, ForwardRead> reads;  // by key of the edge
  std::vector<bool> needed(g.size());
  const auto read = [&](Edge e, bool shape_only) {
    needed[e.node] = true;
    if (e.node >= forward || g.node(e.node).op == &constant_op) return;
    const auto [at, is_new] = reads.try_emplace(e.key(), ForwardRead{e, shape_only});
    at->second.shape_only &= shape_only;
  };
  for (Edge e : outputs) read(e, false);
  for (uint32_t id = g.size(); id-- > forward;) {
    if (!needed[id]) continue;
    const Node& n = g.node(id);
    for (size_t i = 0; i < n.inputs.size(); ++i) read(n.inputs[i], n.op->reads_shape(i));
  }
  std::vector<ForwardRead> all;
  for (const auto& [key, each] : reads) all.push_back(each);
  return all;
}

}  // namespace

BodyGradient differentiate_body(const Body& body, std::span<const Dy> dys, std::span<const uint32_t> wanted,
                                std::span<const Ref<VariableState>> variables) {
  BodyGradient made;
  made.forward = body.graph->size();
  made.dys.assign(dys.begin(), dys.end());
  Body& b = made.body;
  b.graph = make_ref<GraphData>(nullptr, body.graph->label());
  GraphData& g = *b.graph;
  struct Closing {
    GraphData& graph;
    ~Closing() { graph.close(); }
  } closing{g};
  g.begin_as(*body.graph);
  b.parameters = body.parameters;
  b.captures = body.captures;
  b.capture_inputs = body.capture_inputs;
  const CurrentGraph enter(g);
  const NameScope scope("gradients");
  const auto parameter = [&](const TensorSpec& spec) {
    const ParameterAttrs attrs{static_cast<int64_t>(b.parameters.size())};
    b.parameters.push_back({g.add(parameter_op, {}, attrs, {&spec, 1}, "dy", t_state.source), 0});
    return Tensor::symbol(&g, b.parameters.back().node, 0);
  };
  std::vector<Seed> seeds;
  for (size_t i = 0; i < dys.size(); ++i)
    if (dys[i] != Dy::none)
      seeds.push_back({eager_edge(g, body.outputs[i]).key(), {parameter(body.output_spec(i)), {}}});
  for (size_t i = 0, k = 0; i < dys.size(); ++i) {
    if (dys[i] == Dy::conditional) seeds[k].dy.arrived = parameter({bool_, {}});
    if (dys[i] != Dy::none) ++k;
  }
  std::vector<TensorKey> keys;
  for (uint32_t i : wanted) keys.push_back(input_key(body, i, variables));
  std::vector<GradientSum> sums = graph_gradient_sums(g, made.forward, seeds, keys);
  std::unordered_map<uint64_t, uint32_t> known;  // outputs, by key of their edges
  const auto output = [&](const Tensor& t) {
    const Edge e = edge_in(g, t, t_state.source);
    const auto [at, is_new] = known.emplace(e.key(), static_cast<uint32_t>(b.outputs.size()));
    if (is_new) b.outputs.push_back(e);
    return at->second;
  };
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (sums[i].empty()) continue;
    InputGradient gradient{wanted[i], {}};
    for (const Contribution& c : sums[i].parts()) {
      GradientPart part{.kind = c.kind, .value = static_cast<uint32_t>(b.outputs.size())};
      b.outputs.push_back(edge_in(g, c.value, t_state.source));  // one of its own, that has its own gradient
      if (c.indices.defined()) part.indices = static_cast<int32_t>(output(c.indices));
      if (c.arrived.defined()) part.arrived = static_cast<int32_t>(output(c.arrived));
      if (c.place) part.begin = c.place->begin, part.strides = c.place->strides;
      gradient.parts.push_back(part);
    }
    made.inputs.push_back(std::move(gradient));
  }
  made.reads = forward_reads(g, made.forward, b.outputs);
  return made;
}

std::vector<bool> outputs_depending(const Body& body, std::span<const uint32_t> on,
                                    std::span<const Ref<VariableState>> variables) {
  const GraphData& g = *body.graph;
  std::unordered_set<TensorKey> reached;
  for (uint32_t i : on) reached.insert(input_key(body, i, variables));
  for (uint32_t id = 0; id < g.size(); ++id) {
    const Node& n = g.node(id);
    bool depends = false;
    const auto depend_on = [&](const VariableState& v) { depends |= reached.contains(variable_key(v)); };
    if (n.op->flags.reads_variable) {
      depend_on(*n.attrs_view().as<VariableAttrs>().variable);
    } else if (n.op->differentiable == Differentiability::none) {
      continue;
    } else if (n.op->flags.control_flow) {
      for (const auto& v : differentiable_variables(*n.op, n.attrs_view())) depend_on(*v);
    }
    for (Edge e : n.inputs) depends |= reached.contains(e.key());
    for (size_t i = 0; depends && i < n.outputs.size(); ++i) reached.insert(Edge{id, static_cast<uint16_t>(i)}.key());
  }
  std::vector<bool> result;
  for (Edge e : body.outputs) result.push_back(reached.contains(e.key()) && carries_gradient(g.spec(e).dtype));
  return result;
}

}  // namespace twofold
