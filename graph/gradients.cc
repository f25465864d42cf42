// A graph as a record list for the gradient engine.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <twofold/graph/body.h>
#include <twofold/graph/build_body.h>
#include <twofold/graph/gradients.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {

Edge eager_edge(const GraphData& g, Edge e) {
  const auto hands_on = [](const Node& n) { return n.op == &shape_check_op || n.only_names; };
  while (hands_on(g.node(e.node))) e = g.node(e.node).inputs[0];
  return e;
}

namespace {

/// A place in the order of a graph's nodes.
struct GraphPosition {
  uint64_t graph = 0;  ///< its id, which no other graph ever has
  uint32_t node = 0;
};

/// What a tape over a graph has seen, as an eager one would have recorded it.
struct GraphWatch {
  GraphPosition begin;    ///< nodes before do not count
  bool trainable = true;  ///< reads of trainable variables do, without being asked for
  // What was asked for, and the position from which on uses of it count.
  std::vector<std::pair<Tensor, GraphPosition>> tensors;
  std::vector<std::pair<Ref<VariableState>, GraphPosition>> variables;

  bool watches(const VariableState& v) const {
    if (!is_floating(v.dtype)) return false;
    return (trainable && v.trainable) ||
           std::ranges::any_of(variables, [&](const auto& w) { return w.first.get() == &v; });
  }
};

class GraphRecords final : public RecordList {
 public:
  /// What `watch` sees of the graph; null: all.
  GraphRecords(GraphData& g, const GraphWatch* watch)
      : GraphRecords(g, watch ? position(g, watch->begin) : 0, g.size(), false) {
    if (!watch) return;
    for (const auto& [t, from] : watch->tensors)
      if (t.graph() == &g) from_.emplace(eager_edge(g, {t.node(), t.output()}).key(), position(g, from));
    for (const auto& [v, from] : watch->variables) from_.emplace(variable_key(*v), position(g, from));
  }
  /// Nodes from `begin` up to `end`. `nested`: of a body of control flow.
  GraphRecords(GraphData& g, uint32_t begin, uint32_t end, bool nested)
      : graph_(g), begin_(begin), end_(end), nested_(nested) {
    for (uint32_t id = begin_; id < end_; ++id) {
      const Node& n = g.node(id);
      if (n.op->flags.reads_variable) {
        variables_[id] = {n.attrs_view().as<VariableAttrs>().variable};
      } else if (n.op->flags.control_flow) {
        variables_[id] = differentiable_variables(*n.op, n.attrs_view());
      }
    }
  }

  size_t size() const override { return end_ - begin_; }
  const OpDef& op(size_t r) const override { return *at(r).op; }
  AttrsView attrs(size_t r) const override { return at(r).attrs_view(); }
  std::source_location where(size_t r) const override { return at(r).where; }
  size_t num_inputs(size_t r) const override { return at(r).inputs.size() + variables(r).size(); }
  size_t num_outputs(size_t r) const override { return at(r).outputs.size(); }
  TensorKey input_key(size_t r, size_t i) const override {
    const auto inputs = at(r).inputs;
    const TensorKey key =
        i < inputs.size() ? eager_edge(graph_, inputs[i]).key() : variable_key(*variables(r)[i - inputs.size()]);
    const auto from = from_.empty() ? from_.end() : from_.find(key);
    return from != from_.end() && id(r) < from->second ? kNoKey : key;
  }
  TensorKey output_key(size_t r, size_t i) const override { return Edge{id(r), static_cast<uint16_t>(i)}.key(); }
  bool is_read(size_t r) const override { return at(r).op->flags.reads_variable; }
  bool nested() const override { return nested_; }
  Tensor input(size_t r, size_t i) const override {
    if (const size_t n = at(r).inputs.size(); i >= n) {
      const VariableState& v = *variables(r)[i - n];
      return Tensor::adopt(Value::shell(v.dtype, v.shape, {}, 0).detach());
    }
    const Edge e = at(r).inputs[i];
    return Tensor::symbol(&graph_, e.node, e.output);
  }
  Tensor output(size_t r, size_t i) const override { return Tensor::symbol(&graph_, id(r), static_cast<uint16_t>(i)); }

 private:
  static uint32_t position(const GraphData& g, GraphPosition p) { return p.graph == g.id() ? p.node : 0; }
  uint32_t id(size_t r) const { return begin_ + static_cast<uint32_t>(r); }
  const Node& at(size_t r) const { return graph_.node(id(r)); }
  std::span<const Ref<VariableState>> variables(size_t r) const {
    const auto it = variables_.find(id(r));
    return it == variables_.end() ? std::span<const Ref<VariableState>>() : it->second;
  }

  GraphData& graph_;
  uint32_t begin_, end_;
  bool nested_;
  std::unordered_map<uint32_t, std::vector<Ref<VariableState>>> variables_;  // by node: what it reads
  std::unordered_map<TensorKey, uint32_t> from_;                             // uses by earlier nodes do not count
};

std::vector<Tensor> differentiate_graph(const GraphRecords& records, GraphData& g, std::span<const Tensor> ys,
                                        std::span<const Differentiable> xs, std::span<const Tensor> dys,
                                        std::span<RowsGradient> rows = {}) {
  const auto key = [&](const Tensor& t) {
    if (t.graph() == &g) return eager_edge(g, {t.node(), t.output()}).key();
    check_not_escaped(t, t_state.source);
    if (!g.within(t.graph()))
      fail(Code::InvalidArgument, fmt::format("{} is not an element of this graph", to_string(t)));
    return g.capture(t).key();
  };
  std::vector<Seed> seeds;
  for (size_t i = 0; i < ys.size(); ++i) {
    if (!ys[i].is_symbolic() || (!dys.empty() && !dys[i].defined())) continue;
    seeds.push_back({key(ys[i]), dys.empty() ? Gradient{ones_like(ys[i]), {}}
                                             : Gradient{identity(dys[i]), gradient_of(dys[i]).arrived}});
  }
  std::vector<TensorKey> keys;
  for (const Differentiable& x : xs)
    keys.push_back(x.variable() ? variable_key(*x.variable()) : x.tensor().is_symbolic() ? key(x.tensor()) : kNoKey);
  return differentiate(records, seeds, keys, rows);
}

// Behind all nodes that the current graph has now.
GraphPosition position_now() {
  const GraphData& g = current_graph();
  return {g.id(), g.size()};
}

// Through what `watch` sees; null: through the whole graph.
std::vector<Tensor> gradients_of(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                 std::span<const Tensor> dys, const GraphWatch* watch, std::span<RowsGradient> rows) {
  for (const Tensor& y : ys) check_not_escaped(y, t_state.source);
  GraphData& g = surrounding_graph(ys);
  const Ref<GraphData> keep(&g);
  const EnterGraph enter(g);
  const NameScope scope("gradients");
  return differentiate_graph(GraphRecords(g, watch), g, ys, xs, dys, rows);
}

// Whether the symbol `t` is watched, or depends on what is watched or on control flow.
bool depends(const Tensor& t, const GraphWatch& watch) {
  if (!t.is_symbolic()) return false;
  const GraphData& g = *t.graph();
  const auto position = [&](GraphPosition p) { return p.graph == g.id() ? p.node : 0; };
  for (const auto& [x, from] : watch.tensors)
    if (x.same_as(t)) return true;
  std::vector<bool> dependent(t.node() + 1, false);
  const auto depends_on = [&](Edge e) { return dependent[e.node] && carries_gradient(g.spec(e).dtype); };
  const auto watched_at = [&](Edge e, uint32_t id) {
    return std::ranges::any_of(watch.tensors, [&](const auto& w) {
      return w.first.graph() == &g && Edge{w.first.node(), w.first.output()} == e && position(w.second) <= id;
    });
  };
  const auto reads_watched = [&](const VariableState& v, uint32_t id) {
    if (!is_floating(v.dtype)) return false;
    if (watch.trainable && v.trainable) return true;
    return std::ranges::any_of(watch.variables,
                               [&](const auto& w) { return w.first.get() == &v && position(w.second) <= id; });
  };
  for (uint32_t id = position(watch.begin); id <= t.node(); ++id) {
    const Node& n = g.node(id);
    if (n.op->flags.reads_variable) dependent[id] = reads_watched(*n.attrs_view().as<VariableAttrs>().variable, id);
    if (n.op->differentiable == Differentiability::none) continue;
    // No gradient flows where only a shape is used.
    for (size_t i = 0; i < n.inputs.size(); ++i)
      if (!n.op->reads_shape(i) && (depends_on(n.inputs[i]) || watched_at(n.inputs[i], id))) dependent[id] = true;
    // What a body reads depends on values; tapes follow its results in any case.
    if (n.op->flags.control_flow) dependent[id] = true;
  }
  return depends_on({t.node(), t.output()});
}

class GraphRecording final : public Recording {
 public:
  explicit GraphRecording(bool watch_variables) : watch_{.begin = position_now(), .trainable = watch_variables} {}
  void watch(const Tensor& x) override {
    if (!depends(x, watch_)) watch_.tensors.emplace_back(x, position_now());
  }
  void watch(const Ref<VariableState>& x) override {
    if (!watch_.watches(*x)) watch_.variables.emplace_back(x, position_now());
  }
  // The same things are watched as an eager tape would.
  std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs, bool) override {
    std::vector<Differentiable> watched;
    std::vector<bool> is_watched;
    for (const Differentiable& x : xs) {
      is_watched.push_back(x.variable() ? watch_.watches(*x.variable()) : depends(x.tensor(), watch_));
      if (is_watched.back()) watched.push_back(x);
    }
    std::vector<Tensor> found = gradients_of(ys, watched, {}, &watch_, {});
    std::vector<Tensor> result;
    size_t next = 0;
    for (bool known : is_watched) result.push_back(known ? found[next++] : Tensor());
    return result;
  }

 private:
  GraphWatch watch_;
};

}  // namespace

std::vector<GradientSum> graph_gradient_sums(GraphData& g, uint32_t size, std::span<const Seed> seeds,
                                             std::span<const TensorKey> keys) {
  return differentiate_unsummed(GraphRecords(g, 0, size, true), seeds, keys);
}

std::vector<Tensor> graph_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                    std::span<const Tensor> dys, std::span<RowsGradient> rows) {
  return gradients_of(ys, xs, dys, nullptr, rows);
}

std::unique_ptr<Recording> record_in_graph(bool watch_variables) {
  return std::make_unique<GraphRecording>(watch_variables);
}

std::vector<Tensor> graph_vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                              std::span<const Tensor> dys) {
  GraphData& g = current_graph();
  const GraphWatch watch{.begin = {g.id(), g.size()}};
  std::vector<Tensor> fresh;
  std::vector<Differentiable> xs;
  for (const Tensor& t : inputs) {
    fresh.push_back(t.is_symbolic() ? identity(t) : graph_constant(t, "", std::source_location::current()));
    xs.emplace_back(fresh.back());
  }
  const std::vector<Tensor> ys = f(fresh);
  return differentiate_graph(GraphRecords(g, &watch), g, ys, xs, dys);
}

}  // namespace twofold
