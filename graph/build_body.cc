#include <twofold/graph/build_body.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include <twofold/graph/control.h>
#include <twofold/graph/graph_ops.h>

namespace twofold {
namespace {

void add_variable(std::vector<Ref<VariableState>>& list, const Ref<VariableState>& v) {
  if (std::ranges::find(list, v) == list.end()) list.push_back(v);
}

// Effects and variables of a body that has been built.
void find_effects(Body& b) {
  const GraphData& g = *b.graph;
  for (uint32_t id = 0; id < g.size(); ++id) {
    add_variables_of(g.node(id), b);
    if (has_effect(g.node(id))) b.effects.push_back(id);
  }
  std::vector<uint32_t> needed = b.effects;
  for (Edge e : b.outputs) needed.push_back(e.node);
  std::vector<uint32_t> all(g.size());
  std::iota(all.begin(), all.end(), 0u);
  const std::vector<uint32_t> unread = unread_checks(g, all, needed);
  b.effects.insert(b.effects.end(), unread.begin(), unread.end());
  std::ranges::sort(b.effects);
}

}  // namespace

bool has_effect(const Node& n) {
  // Eager, a random op draws whether or not its numbers are used; the count of draws must not differ.
  return n.op->flags.effect || n.op->flags.random ||
         std::ranges::any_of(bodies_of(*n.op, n.attrs_view()), [](const Body* b) { return !b->effects.empty(); });
}

GraphData& surrounding_graph(std::span<const Tensor> given) {
  GraphData& current = current_graph();
  for (const Tensor& t : given)
    if (t.is_symbolic() && !current.within(t.graph())) return *t.graph();
  return current;
}

void add_variables_of(const Node& n, Body& b) {
  if (const auto* v = variable_in(n.attrs_view())) {
    if (n.op->flags.writes_variable) add_variable(b.writes, *v);
    if (n.op->flags.reads_variable) add_variable(b.reads, *v);
  }
  for (const Body* inner : bodies_of(*n.op, n.attrs_view())) {
    for (const auto& v : inner->reads) add_variable(b.reads, v);
    for (const auto& v : inner->writes) add_variable(b.writes, v);
  }
}

BuiltBody build_body(GraphData& outer, const char* label, const BodyKey& key, std::span<const TensorSpec> specs,
                     std::source_location where, const internal::TensorFunction& f,
                     std::optional<BodySymbols>* symbols) {
  BuiltBody built;
  Body& b = built.body;
  b.graph = make_ref<GraphData>(&outer, label);
  GraphData& g = *b.graph;
  struct Closing {  // also if `f` throws: what it has built is used nowhere
    GraphData& graph;
    ~Closing() { graph.close(); }
  } closing{g};
  const CurrentGraph enter(g);
  const BodyExecution execution(key);
  if (symbols) symbols->emplace(g);
  std::vector<Tensor> parameters;
  for (const TensorSpec& s : specs) {
    const ParameterAttrs attrs{static_cast<int64_t>(parameters.size())};
    b.parameters.push_back({g.add(parameter_op, {}, attrs, {&s, 1}, "", where), 0});
    parameters.push_back(Tensor::symbol(&g, b.parameters.back().node, 0));
  }
  for (const Tensor& t : f(parameters)) b.outputs.push_back(edge_in(g, t, where));
  find_effects(b);
  built.captures = g.captures();
  built.follows = g.followed();
  return built;
}

Body BodyNode::add(BuiltBody built) {
  Body& b = built.body;
  follows_.insert(follows_.end(), built.follows.begin(), built.follows.end());
  for (const Capture& c : built.captures) {
    const auto known = std::find_if(inputs_.begin() + static_cast<std::ptrdiff_t>(first_), inputs_.end(),
                                    [&](const Tensor& t) { return t.same_as(c.outer); });
    b.captures.push_back(c.inner);
    b.capture_inputs.push_back(static_cast<uint32_t>(known - inputs_.begin()));
    if (known == inputs_.end()) inputs_.push_back(c.outer);
  }
  return std::move(b);
}

Outputs BodyNode::make(GraphData& outer, const OpDef& op, AttrsView attrs, std::source_location where) const {
  const ControlScope after(outer, follows_, false);
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs_) pointers.push_back(&t);
  return apply_all(op, pointers, attrs, where);
}

}  // namespace twofold
