#include <twofold/session/program/inline_calls.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>

namespace twofold {
namespace {

// A number for an execution of a body, which no other has: from the top, where those of BodyExecution never come.
uint64_t execution_number() {
  static std::atomic<uint64_t> g_next{~uint64_t{0}};
  return g_next.fetch_sub(1, std::memory_order_relaxed);
}

class Inlining {
 public:
  Inlining(const GraphData& g, const Request& request) : g_(g) {
    result_.request = request;
    result_.graph = make_ref<GraphData>(nullptr, g.label());
    if (g.closed()) result_.graph->close();
  }

  std::optional<InlinedCalls> run(std::span<const uint32_t> nodes) {
    Request& r = result_.request;
    Copy copy{.from = g_, .kept = kept_calls(g_, nodes, r.fetches)};
    for (Edge e : r.feeds) copy.kept.insert(e.node);
    const auto gives_way = [&](uint32_t id) { return g_.node(id).op == &call_op && !copy.kept.contains(id); };
    if (std::ranges::none_of(nodes, gives_way)) return std::nullopt;
    // A fed edge stands for its value even where its node is not run.
    std::vector<uint32_t> all(nodes.begin(), nodes.end());
    for (Edge e : r.feeds) all.push_back(e.node);
    std::ranges::sort(all);
    all.erase(std::ranges::unique(all).begin(), all.end());
    for (uint32_t id : all) this->copy(copy, id, std::ranges::binary_search(nodes, id));
    const auto moved = [&](Edge& e) { e = edge(copy, e); };
    std::ranges::for_each(r.fetches, moved);
    std::ranges::for_each(r.feeds, moved);
    std::vector<uint32_t> operations;
    for (uint32_t id : r.operations)
      if (!copy.calls.contains(id)) operations.push_back(copy.nodes.at(id));
    operations.insert(operations.end(), effects_.begin(), effects_.end());
    r.operations = std::move(operations);
    return std::move(result_);
  }

 private:
  // Nodes of one graph as they come to the new one: once for the graph around, once for each call.
  struct Copy {
    const GraphData& from;
    std::string prefix = {};                                     // of names
    std::set<uint32_t> kept = {};                                // calls that stay
    std::unordered_map<uint32_t, uint32_t> nodes = {};           // by node there
    std::unordered_map<uint32_t, std::vector<Edge>> calls = {};  // outputs of calls that have given way
    std::unordered_map<uint64_t, Edge> edges = {};               // parameters and captures, by Edge::key there
    std::map<uint64_t, uint64_t> executions = {};                // of a function's nodes: by number there
    uint64_t outermost = 0;                                      // of the call; 0: it is in no body
    std::vector<MadeIn> made_in = from.made_in();
    size_t made_in_at = 0;
    size_t made_in_done = ~size_t{0};
  };

  // Those of which it is asked what they have done: for their gradients.
  static std::set<uint32_t> kept_calls(const GraphData& g, std::span<const uint32_t> nodes,
                                       std::span<const Edge> fetches) {
    std::set<uint32_t> kept;
    const auto ask = [&](Edge e) {
      const Node& n = g.node(e.node);
      if (n.op == &call_op && e.output + 1u == n.outputs.size()) kept.insert(e.node);
    };
    for (uint32_t id : nodes) std::ranges::for_each(g.node(id).inputs, ask);
    std::ranges::for_each(fetches, ask);
    return kept;
  }

  static Edge edge(const Copy& copy, Edge e) {
    if (const auto known = copy.edges.find(e.key()); known != copy.edges.end()) return known->second;
    if (const auto call = copy.calls.find(e.node); call != copy.calls.end()) return call->second[e.output];
    return {copy.nodes.at(e.node), e.output};
  }

  void copy(Copy& copy, uint32_t id, bool runs) {
    const Node& n = copy.from.node(id);
    if (runs && n.op == &call_op && !copy.kept.contains(id)) return call(copy, id, n);
    SmallVector<Edge, 8> inputs;
    SmallVector<uint32_t, 8> controls;
    if (runs) {
      for (Edge e : n.inputs) inputs.push_back(edge(copy, e));
      for (uint32_t c : n.controls)
        if (const auto known = copy.nodes.find(c); known != copy.nodes.end()) controls.push_back(known->second);
    }
    note_made_in(copy, id);
    GraphData& to = *result_.graph;
    copy.nodes[id] = to.append({.op = n.op,
                                .attrs = n.attrs,
                                .inputs = inputs,
                                .outputs = n.outputs,
                                .controls = controls,
                                .scope = to.scope_id(copy.prefix + std::string(copy.from.scope_name(n))),
                                .base = to.base_id(copy.from.base_name(n)),
                                .ordinal = n.ordinal,
                                .device = n.device,
                                .only_names = n.only_names,
                                .generation = n.generation,
                                .where = n.where});
    if (runs) result_.nodes.push_back(copy.nodes[id]);
  }

  // The nodes of what is called, in place of `id`.
  void call(Copy& outer, uint32_t id, const Node& n) {
    const Body& body = n.attrs_view().as<CallAttrs>().body;
    const std::vector<uint32_t> nodes = prune(*body.graph, {.fetches = body.outputs, .operations = body.effects});
    Copy inner{.from = *body.graph,
               .prefix = outer.prefix + outer.from.node_name(id) + "/",
               .kept = kept_calls(*body.graph, nodes, {})};
    inner.outermost = made_in(outer, id).outermost;
    for (size_t i = 0; i < body.parameters.size(); ++i)
      inner.edges[body.parameters[i].key()] = edge(outer, n.inputs[i]);
    for (size_t i = 0; i < body.captures.size(); ++i)
      inner.edges[body.captures[i].key()] = edge(outer, n.inputs[body.capture_inputs[i]]);
    // All of them, for what is not needed counts as an execution of its body, too.
    for (uint32_t each = 0; each < body.graph->size(); ++each)
      if (!inner.edges.contains(Edge{each, 0}.key())) copy(inner, each, std::ranges::binary_search(nodes, each));
    std::vector<Edge>& outputs = outer.calls[id];
    for (Edge e : body.outputs) outputs.push_back(edge(inner, e));
    for (uint32_t each : body.effects)
      if (!inner.calls.contains(each)) effects_.push_back(inner.nodes.at(each));
    for (uint32_t c : n.controls)
      if (const auto known = outer.nodes.find(c); known != outer.nodes.end()) effects_.push_back(known->second);
    ++result_.count;
  }

  static const MadeIn& made_in(Copy& copy, uint32_t id) {
    while (copy.made_in_at + 1 < copy.made_in.size() && copy.made_in[copy.made_in_at + 1].first <= id)
      ++copy.made_in_at;
    return copy.made_in[copy.made_in_at];
  }
  // Each call is another execution of the function's body, and of those inside.
  void note_made_in(Copy& copy, uint32_t id) {
    MadeIn now = made_in(copy, id);
    if (&copy.from != &g_ && now.execution != 0) {
      uint64_t& number = copy.executions[now.execution];
      if (!number) number = execution_number();
      now.execution = number;
      if (!copy.outermost) copy.outermost = number;
      now.outermost = copy.outermost;
    }
    if (copy_noted_ == &copy && copy.made_in_done == copy.made_in_at) return;
    copy_noted_ = &copy;
    copy.made_in_done = copy.made_in_at;
    result_.graph->append_made_in(now);
  }

  const GraphData& g_;
  InlinedCalls result_;
  std::vector<uint32_t> effects_;     // nodes that run whether or not somebody reads them
  const Copy* copy_noted_ = nullptr;  // whose made_in was noted last
};

}  // namespace

std::optional<InlinedCalls> inline_calls(const GraphData& g, const Request& request, std::span<const uint32_t> nodes) {
  if (std::ranges::none_of(nodes, [&](uint32_t id) { return g.node(id).op == &call_op; })) return std::nullopt;
  return Inlining(g, request).run(nodes);
}

}  // namespace twofold
