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

// In order: the body (or nothing), `forward`, `reads`, `dys`, `inputs`.
static FieldValue to_field(const ForwardRead& r) {
  return {FieldValue::List{{int64_t{r.edge.node}}, {int64_t{r.edge.output}}, {int64_t{r.shape_only}}}};
}
FieldValue to_field(const BodyGradient& g) {
  FieldValue::List reads, dys, inputs;
  for (const ForwardRead& r : g.reads) reads.push_back(to_field(r));
  for (Dy dy : g.dys) dys.push_back({static_cast<int64_t>(dy)});
  for (const InputGradient& of : g.inputs) {
    FieldValue::List parts;
    for (const GradientPart& p : of.parts) parts.push_back(to_field(p));
    inputs.push_back({FieldValue::List{{int64_t{of.input}}, {std::move(parts)}}});
  }
  return {FieldValue::List{g.body.graph ? to_field(g.body) : FieldValue{FieldValue::List{}},
                           {int64_t{g.forward}},
                           {std::move(reads)},
                           {std::move(dys)},
                           {std::move(inputs)}}};
}

// The values of a list that has `n`.
static const FieldValue::List& list_of(const FieldValue& f, size_t n) {
  const auto& list = f.as<FieldValue::List>();
  if (list.size() != n) FieldValue::fail_kind();
  return list;
}
static Edge edge_of(const FieldValue& node, const FieldValue& output, const GraphData& g) {
  const Edge e{static_cast<uint32_t>(node.integer(0, int64_t{g.size()} - 1)),
               static_cast<uint16_t>(output.integer(0, UINT16_MAX))};
  if (e.output >= g.node(e.node).outputs.size()) FieldValue::fail_kind();
  return e;
}
void from_field(const FieldValue& f, BodyGradient& g) {
  const auto& fields = list_of(f, 5);
  g = {};
  if (std::holds_alternative<FieldValue::List>(fields[0].value)) return;
  from_field(fields[0], g.body);
  const auto outputs = static_cast<int64_t>(g.body.outputs.size());
  g.forward = static_cast<uint32_t>(fields[1].integer(0, int64_t{g.body.graph->size()}));
  for (const FieldValue& r : fields[2].as<FieldValue::List>()) {
    const auto& read = list_of(r, 3);
    g.reads.push_back({edge_of(read[0], read[1], *g.body.graph), read[2].integer(0, 1) != 0});
  }
  for (const FieldValue& dy : fields[3].as<FieldValue::List>()) g.dys.push_back(static_cast<Dy>(dy.integer(0, 2)));
  for (const FieldValue& i : fields[4].as<FieldValue::List>()) {
    const auto& input = list_of(i, 2);
    InputGradient of{static_cast<uint32_t>(input[0].integer(0, INT32_MAX)), {}};
    for (const FieldValue& p : input[1].as<FieldValue::List>()) {
      GradientPart made;
      from_field(p, made);
      for (const int64_t output : {int64_t{made.value}, int64_t{made.indices}, int64_t{made.arrived}})
        if (output < -1 || output >= outputs) FieldValue::fail_kind();
      of.parts.push_back(std::move(made));
    }
    g.inputs.push_back(std::move(of));
  }
}

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
