// A graph as a record list for the gradient engine.
#include <fmt/format.h>

#include <unordered_map>

#include <twofold/graph/body.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/high.h>

namespace twofold {
namespace {

// Several reads of a variable with no write between them are one tensor: what they would be in eager mode.
constexpr TensorKey kReadBit = uint64_t{1} << 63;

class GraphRecords final : public RecordList {
 public:
  GraphRecords(GraphData& g, uint32_t begin) : graph_(g), begin_(begin), end_(g.size()) {
    std::unordered_map<uint64_t, uint64_t> writes;  // so far, by variable
    for (uint32_t id = 0; id < end_; ++id) {
      const Node& n = g.node(id);
      if (n.op == &read_variable_op) {
        const VariableState& v = *n.attrs_view().as<VariableAttrs>().variable;
        const TensorKey key = read_key(v, writes[v.id]);
        add_read(v, key);
        read_keys_.emplace(id, key);
      } else if (n.op == &if_op || n.op == &while_op || n.op == &backprop_op) {
        add_body(id, n, writes);
      } else if (n.op->flags.effect && n.attrs && n.attrs_view().type() == &internal::kAttrsType<VariableAttrs>) {
        ++writes[n.attrs_view().as<VariableAttrs>().variable->id];
      }
    }
  }

  TensorKey key(Edge e) const {
    const auto it = read_keys_.find(e.node);
    return it == read_keys_.end() ? e.key() : it->second;
  }
  std::span<const TensorKey> reads(const VariableState& v) const {
    const auto it = reads_.find(v.id);
    return it == reads_.end() ? std::span<const TensorKey>() : it->second;
  }

  size_t size() const override { return end_ - begin_; }
  const OpDef& op(size_t r) const override { return *at(r).op; }
  AttrsView attrs(size_t r) const override { return at(r).attrs_view(); }
  std::source_location where(size_t r) const override { return at(r).where; }
  size_t num_inputs(size_t r) const override {
    const auto it = bodies_.find(id(r));
    return at(r).inputs.size() + (it == bodies_.end() ? 0 : it->second.keys.size());
  }
  size_t num_outputs(size_t r) const override { return at(r).outputs.size(); }
  TensorKey input_key(size_t r, size_t i) const override {
    const auto inputs = at(r).inputs;
    return i < inputs.size() ? key(inputs[i]) : bodies_.at(id(r)).keys[i - inputs.size()];
  }
  TensorKey output_key(size_t r, size_t i) const override { return key({id(r), static_cast<uint16_t>(i)}); }
  Tensor input(size_t r, size_t i) const override {
    if (const size_t n = at(r).inputs.size(); i >= n) {
      const VariableState& v = *bodies_.at(id(r)).variables[i - n];
      return Tensor::adopt(Value::shell(v.dtype, v.shape, {}, 0).detach());
    }
    const Edge e = at(r).inputs[i];
    return Tensor::symbol(&graph_, e.node, e.output);
  }
  Tensor output(size_t r, size_t i) const override { return Tensor::symbol(&graph_, id(r), static_cast<uint16_t>(i)); }

 private:
  // What a node of control flow reads inside counts as inputs of it.
  struct BodyInputs {
    std::vector<Ref<VariableState>> variables;
    std::vector<TensorKey> keys;
  };

  void add_read(const VariableState& v, TensorKey key) {
    auto& keys = reads_[v.id];
    if (keys.empty() || keys.back() != key) keys.push_back(key);
  }

  void add_body(uint32_t id, const Node& n, std::unordered_map<uint64_t, uint64_t>& writes) {
    BodyInputs& b = bodies_[id];
    b.variables = differentiable_variables(*n.op, n.attrs_view());
    if (n.op == &backprop_op) {
      b.keys = bodies_.at(n.inputs[0].node).keys;  // as the forward node read them
      return;
    }
    for (const auto& v : b.variables) {
      b.keys.push_back(read_key(*v, writes[v->id]));
      add_read(*v, b.keys.back());
    }
    for (const Body* body : bodies_of(*n.op, n.attrs_view()))
      for (const auto& v : body->writes) ++writes[v->id];
  }

  static TensorKey read_key(const VariableState& v, uint64_t writes) { return kReadBit | v.id << 24 | writes; }

  uint32_t id(size_t r) const { return begin_ + static_cast<uint32_t>(r); }
  const Node& at(size_t r) const { return graph_.node(id(r)); }

  GraphData& graph_;
  uint32_t begin_, end_;
  std::unordered_map<uint32_t, TensorKey> read_keys_;           // by node
  std::unordered_map<uint64_t, std::vector<TensorKey>> reads_;  // by variable, in order
  std::unordered_map<uint32_t, BodyInputs> bodies_;             // by node
};

std::vector<Tensor> differentiate_graph(GraphData& g, uint32_t begin, std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                        std::span<const Tensor> dys) {
  const GraphRecords records(g, begin);
  const auto edge = [&](const Tensor& t) -> Edge {
    if (t.graph() == &g) return {t.node(), t.output()};
    if (!g.within(t.graph()))
      fail(Code::InvalidArgument, fmt::format("{} is not an element of this graph", to_string(t)));
    return g.capture(t);
  };
  std::vector<Seed> seeds;
  for (size_t i = 0; i < ys.size(); ++i) {
    if (!ys[i].is_symbolic() || (!dys.empty() && !dys[i].defined())) continue;
    seeds.push_back({records.key(edge(ys[i])), dys.empty() ? ones_like(ys[i]) : dys[i]});
  }
  std::vector<TensorKey> keys;
  std::vector<size_t> counts;
  for (const Differentiable& x : xs) {
    const size_t before = keys.size();
    if (x.variable()) {
      const auto reads = records.reads(*x.variable());
      keys.insert(keys.end(), reads.begin(), reads.end());
    } else if (x.tensor().is_symbolic()) {
      keys.push_back(records.key(edge(x.tensor())));
    }
    counts.push_back(keys.size() - before);
  }
  const std::vector<Tensor> parts = differentiate(records, seeds, keys);
  std::vector<Tensor> result;
  size_t next = 0;
  for (size_t count : counts) {
    Tensor sum;
    for (size_t i = 0; i < count; ++i) {
      const Tensor& part = parts[next++];
      if (part.defined()) sum = sum.defined() ? add(sum, part) : part;
    }
    result.push_back(std::move(sum));
  }
  return result;
}

// The graph that gradient nodes go to: the ys', unless a body around them is being built.
GraphData& graph_of(std::span<const Tensor> ys) {
  GraphData& current = current_graph();
  for (const Tensor& y : ys)
    if (y.is_symbolic() && !current.within(y.graph())) return *y.graph();
  return current;
}

}  // namespace

GraphPosition graph_position() {
  const GraphData& g = current_graph();
  return {&g, g.size()};
}

std::vector<Tensor> graph_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs, std::span<const Tensor> dys,
                                    GraphPosition begin) {
  GraphData& g = graph_of(ys);
  const Ref<GraphData> keep(&g);
  std::unique_ptr<CurrentGraph> enter;
  if (&g != &current_graph()) enter = std::make_unique<CurrentGraph>(g);
  const NameScope scope("gradients");
  return differentiate_graph(g, begin.graph == &g ? begin.node : 0, ys, xs, dys);
}

std::vector<Tensor> graph_vjp(const VjpFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys) {
  GraphData& g = current_graph();
  const uint32_t begin = g.size();
  std::vector<Tensor> fresh;
  std::vector<Differentiable> xs;
  for (const Tensor& t : inputs) {
    fresh.push_back(t.is_symbolic() ? identity(t) : graph_constant(t, "", std::source_location::current()));
    xs.emplace_back(fresh.back());
  }
  const std::vector<Tensor> ys = f(fresh);
  return differentiate_graph(g, begin, ys, xs, dys);
}

bool graph_depends(const Tensor& t, std::span<const Tensor> sources, GraphPosition begin) {
  if (!t.is_symbolic()) return false;
  const GraphData& g = *t.graph();
  const uint32_t from = begin.graph == &g ? begin.node : 0;
  std::vector<bool> depends(t.node() + 1, false);
  for (const Tensor& s : sources)
    if (s.is_symbolic() && s.graph() == &g && s.node() <= t.node()) depends[s.node()] = true;
  for (uint32_t id = 0; id <= t.node(); ++id) {
    const Node& n = g.node(id);
    if (n.op == &read_variable_op && n.attrs_view().as<VariableAttrs>().variable->trainable) depends[id] = true;
    if (id < from || n.op->differentiable == Differentiability::none) continue;
    // No gradient flows where only a shape is used.
    for (size_t i = 0; i < n.inputs.size(); ++i)
      if (!(i < 32 && (n.op->shape_inputs >> i & 1)) && depends[n.inputs[i].node]) depends[id] = true;
    // What a body reads depends on values; tapes follow its results in any case.
    if (n.op == &if_op || n.op == &while_op || n.op == &backprop_op) depends[id] = true;
  }
  return depends[t.node()];
}

}  // namespace twofold
