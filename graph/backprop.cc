#include <twofold/graph/backprop.h>

#include <fmt/format.h>

#include <algorithm>

namespace twofold {

uint64_t hash_field(const BackpropResult& r) {
  uint64_t h = hash_field(r.bodies);
  for (const GradientPart& p : r.parts) h = mix(h, internal::kAttrsType<GradientPart>.hash(&p));
  return h;
}
std::string print_field(const BackpropResult& r) { return fmt::format("{} parts", r.parts.size()); }
void perturb_field(BackpropResult& r) { r.parts.emplace_back(); }

namespace {

// A body among those traced: which node calls it, and the how manieth of that node's it is.
struct TracedBody {
  uint32_t node = 0;
  size_t place = 0;
  const Body* body = nullptr;
  const BodyGradient* gradient = nullptr;  // of a backward body: itself
  size_t of = 0;                           // and the number of the body whose gradient it is
};

void add_traced(const GraphData& g, uint32_t id, std::vector<TracedBody>& all) {
  const Node& node = g.node(id);
  const AttrsView attrs = node.attrs_view();
  if (node.op != &backprop_op) {
    for (const Body* body : differentiable_bodies(*node.op, attrs))
      all.push_back({.node = id, .place = all.size(), .body = body});
  } else {
    add_traced(g, node.inputs[0].node, all);
    const auto& gradients = attrs.as<BackpropAttrs>().gradients;
    for (size_t i = 0; i < gradients.size(); ++i) {
      const bool called = static_cast<bool>(gradients[i].body.graph);
      all.push_back({id, i, called ? &gradients[i].body : nullptr, &gradients[i], i});
    }
  }
}

void merge(BodyKept& kept, const BodyKept& more) {
  for (const ForwardRead& r : more.edges) kept.add(r);
  merge(kept.inner, more.inner);
}

class Keeping {
 public:
  explicit Keeping(const GraphData& g) : graph_(g) {}

  void add(uint32_t backprop) {
    const auto& attrs = graph_.node(backprop).attrs_view().as<BackpropAttrs>();
    traced_.clear();
    add_traced(graph_, graph_.node(backprop).inputs[0].node, traced_);
    for (const TracedBody& traced : traced_) kept_[traced.node];  // a trace though nothing be kept
    for (size_t i = 0; i < attrs.gradients.size(); ++i) {
      const BodyGradient& gradient = attrs.gradients[i];
      if (!gradient.body.graph) continue;
      for (const ForwardRead& r : gradient.reads)
        if (!gradient.knows(r)) keep(i, r);
      std::vector<uint32_t> own;
      for (uint32_t id = gradient.forward; id < gradient.body.graph->size(); ++id) own.push_back(id);
      for (const auto& [node, kept] : kept_for_gradients(*gradient.body.graph, own))
        if (node < gradient.forward) keep_inner(i, node, kept);
    }
  }
  KeptByNode take() { return std::move(kept_); }

 private:
  BodyKept& of(size_t i) {
    const TracedBody& traced = traced_[i];
    auto& bodies = kept_[traced.node];
    if (bodies.size() <= traced.place) bodies.resize(traced.place + 1);
    return bodies[traced.place];
  }
  // Of the execution of body `i`. A backward body is given what is its forward body's.
  void keep(size_t i, const ForwardRead& r) {
    of(i).add(r);
    if (traced_[i].gradient && r.edge.node < traced_[i].gradient->forward) keep(traced_[i].of, r);
  }
  void keep_inner(size_t i, uint32_t node, const std::vector<BodyKept>& kept) {
    if (traced_[i].gradient && node < traced_[i].gradient->forward) return keep_inner(traced_[i].of, node, kept);
    merge(of(i).inner, {{node, kept}});
  }

  const GraphData& graph_;
  std::vector<TracedBody> traced_;
  KeptByNode kept_;
};

}  // namespace

std::vector<const Body*> bodies_traced(const GraphData& g, uint32_t node) {
  std::vector<TracedBody> traced;
  add_traced(g, node, traced);
  std::vector<const Body*> bodies;
  for (const TracedBody& t : traced) bodies.push_back(t.body);
  return bodies;
}

void BodyKept::add(const ForwardRead& read) {
  const auto key = [](const ForwardRead& r) { return r.edge.key(); };
  const auto at = std::ranges::lower_bound(edges, read.edge.key(), {}, key);
  if (at != edges.end() && at->edge == read.edge)
    at->shape_only &= read.shape_only;
  else
    edges.insert(at, read);
}

void merge(KeptByNode& kept, const KeptByNode& more) {
  for (const auto& [node, bodies] : more) {
    auto& into = kept[node];
    if (into.size() < bodies.size()) into.resize(bodies.size());
    for (size_t i = 0; i < bodies.size(); ++i) merge(into[i], bodies[i]);
  }
}

KeptByNode kept_for_gradients(const GraphData& g, std::span<const uint32_t> nodes) {
  Keeping keeping(g);
  for (uint32_t id : nodes)
    if (g.node(id).op == &backprop_op) keeping.add(id);
  return keeping.take();
}

}  // namespace twofold
