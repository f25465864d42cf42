#include <twofold/session/program/program.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/layout/shapes.h>
#include <twofold/kernels/variable/assignment.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/launch.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/program/passes.h>

namespace twofold {

std::vector<uint32_t> prune(const GraphData& g, const Request& request) {
  const uint32_t n = g.size();
  std::vector<bool> needed(n, false);
  std::vector<uint32_t> stack;
  const auto is_fed = [&](Edge e) { return std::ranges::find(request.feeds, e) != request.feeds.end(); };
  const auto is_fed_variable = [&](const Node& node) {
    return node.op->flags.reads_variable &&
           std::ranges::find(request.fed_variables, node.attrs_view().as<VariableAttrs>().variable) !=
               request.fed_variables.end();
  };
  std::vector<bool> cut(n, false);  // a node with a fed output; looked at more closely when met
  for (Edge e : request.feeds) cut[e.node] = true;
  const auto need = [&](uint32_t id) {
    if (needed[id]) return;
    // A fed placeholder has nothing to do, where something is to run after it too.
    if (cut[id] && g.node(id).op == &placeholder_op && is_fed({id, 0})) return;
    needed[id] = true;
    stack.push_back(id);
  };
  const auto need_edge = [&](Edge e) {
    if (cut[e.node] && is_fed(e)) return;
    need(e.node);
  };
  for (Edge e : request.fetches) need_edge(e);
  for (uint32_t id : request.operations) need(id);
  while (!stack.empty()) {
    const Node& node = g.node(stack.back());
    stack.pop_back();
    if (!request.fed_variables.empty() && is_fed_variable(node)) continue;
    for (Edge e : node.inputs) need_edge(e);
    for (uint32_t c : node.controls) need(c);
  }
  std::vector<uint32_t> order;
  for (uint32_t id = 0; id < n; ++id)
    if (needed[id]) order.push_back(id);
  return order;
}

namespace {

class Lowering {
 public:
  Lowering(GraphData& g, const Request& request) : request_(request) { p_.graph = &g; }

  Program run(std::span<const uint32_t> order) {
    const GraphData& g = *p_.graph;
    kept_ = kept_for_gradients(g, asks_for_trace(g) ? all_of(g) : std::vector(order.begin(), order.end()));
    merge(kept_, request_.kept);
    first_value_.assign(order.empty() ? 0 : order.back() + 1, Program::kNoValue);
    p_.nodes.reserve(order.size());
    p_.values.reserve(order.size() + order.size() / 8);
    for (size_t i = 0; i < request_.feeds.size() + request_.fed_variables.size(); ++i) {
      p_.feeds.push_back(static_cast<ValueId>(p_.values.size()));
      p_.values.push_back(
          {.spec = request_.feed_specs[i], .feed = static_cast<int32_t>(i), .device = request_.feed_devices[i]});
    }
    for (uint32_t id : order) {
      const Node& node = g.node(id);
      if (node.op == &constant_op) {
        constant(id, node);
      } else if (node.op == &variable_op) {
        first_value_[id] = Program::kNoValue;  // a name to fetch by; reads are nodes of their own
      } else if (!fed_variable(id, node)) {
        add(id, node);
      }
    }
    for (Edge e : request_.fetches) p_.fetches.push_back(value(e));
    for (uint32_t id : request_.operations)
      if (id < node_index_.size() && node_index_[id] >= 0) p_.nodes[static_cast<size_t>(node_index_[id])].root = true;
    p_.fetched_variables = request_.fetched_variables;
    p_.fed_variables = request_.fed_variables;
    p_.nested = request_.nested;
    p_.settings = request_.settings;
    return std::move(p_);
  }

 private:
  // Whether a run is to hand out what control flow has done, for gradients that other runs compute.
  bool asks_for_trace(const GraphData& g) const {
    return std::ranges::any_of(request_.fetches, [&](Edge e) {
      const Node& n = g.node(e.node);
      return n.op->flags.control_flow && e.output + 1u == n.outputs.size();
    });
  }
  static std::vector<uint32_t> all_of(const GraphData& g) {
    std::vector<uint32_t> all(g.size());
    std::iota(all.begin(), all.end(), 0u);
    return all;
  }

  ValueId value(Edge e) const {
    for (size_t i = 0; i < request_.feeds.size(); ++i)
      if (request_.feeds[i] == e) return p_.feeds[i];
    return first_value_[e.node] + e.output;
  }

  void constant(uint32_t id, const Node& node) {
    first_value_[id] = static_cast<ValueId>(p_.values.size());
    p_.values.push_back({.spec = node.outputs[0], .constant = node.attrs_view().as<ConstantAttrs>().value.tensor});
  }

  bool fed_variable(uint32_t id, const Node& node) {
    if (request_.fed_variables.empty() || !node.op->flags.reads_variable) return false;
    const auto it = std::ranges::find(request_.fed_variables, node.attrs_view().as<VariableAttrs>().variable);
    if (it == request_.fed_variables.end()) return false;
    first_value_[id] = p_.feeds[request_.feeds.size() + static_cast<size_t>(it - request_.fed_variables.begin())];
    return true;
  }

  void add(uint32_t id, const Node& node) {
    ProgramNode n;
    n.op = node.op;
    n.attrs = node.attrs;
    n.graph_node = id;
    bool as_built = true;  // inputs have exactly the specs that the graph's shape rule saw, and those were full
    for (Edge e : node.inputs) {
      const ValueId v = value(e);
      n.inputs.push_back(v);
      as_built = as_built && p_.values[v].spec.shape == p_.graph->spec(e).shape;
      if (!p_.values[v].spec.shape.is_known()) n.dynamic = true;
    }
    for (const TensorSpec& s : node.outputs) as_built = as_built && s.shape.is_known();
    if (n.op->host_inputs) {
      // Values decide, and a graph's are not the run's where they are fed.
      as_built = false;
      fold_host_inputs(n);
    }
    if (const auto kept = kept_.find(id); kept != kept_.end())
      n.kept = std::make_shared<const std::vector<BodyKept>>(kept->second);
    // A body reads fed variables as further inputs of its node, and may be kept for what it does.
    for (const Body* b : bodies_of(*node.op, n.attrs_view())) {
      n.root = n.root || !b->effects.empty();
      for (size_t i = 0; i < request_.fed_variables.size(); ++i) {
        const ValueId fed = p_.feeds[request_.feeds.size() + i];
        if (std::ranges::find(b->reads, request_.fed_variables[i]) != b->reads.end() &&
            std::ranges::find(n.inputs, fed) == n.inputs.end())
          n.inputs.push_back(fed);
      }
    }
    if (n.op->combine) {
      lower_update(n, as_built ? node.outputs[0] : inferred(n, node)[0]);
      as_built = true;
    }
    n.first_output = static_cast<ValueId>(p_.values.size());
    n.num_outputs = static_cast<uint32_t>(node.outputs.size());
    first_value_[id] = n.first_output;
    if (node_index_.size() <= id) node_index_.resize(id + 1, -1);
    const auto index = static_cast<int32_t>(p_.nodes.size());
    node_index_[id] = index;
    if (as_built || node.op->infer == nullptr || node.op->flags.declared) {
      for (const TensorSpec& s : node.outputs) p_.values.push_back({.spec = s, .producer = index});
    } else {
      for (const TensorSpec& s : inferred(n, node)) p_.values.push_back({.spec = s, .producer = index});
    }
    for (const ProgramValue& v : p_.outputs(n)) n.dynamic = n.dynamic || !v.spec.shape.is_known();
    for (uint32_t c : node.controls)
      if (c < node_index_.size() && node_index_[c] >= 0) p_.nodes[static_cast<size_t>(node_index_[c])].root = true;
    p_.nodes.push_back(std::move(n));
    if (is_of_shapes(p_.nodes.back())) fold_value(p_, p_.nodes.back().first_output);
  }

  // `n`, which updates a variable to a value of `spec`, becomes the assignment of that value, which nodes before it
  // make.
  void lower_update(ProgramNode& n, const TensorSpec& spec) {
    const VariableState& v = *n.attrs_view().as<VariableAttrs>().variable;
    const auto read = [&] {
      ProgramNode reads{.op = &read_variable_op, .attrs = n.attrs, .graph_node = n.graph_node};
      return add_one(std::move(reads), {v.dtype, v.shape});
    };
    const auto combine = [&](const OpDef& op, ValueId current, ValueId given) {
      ProgramNode sum{.op = &op, .graph_node = n.graph_node, .dynamic = n.dynamic || !spec.shape.is_known()};
      sum.inputs.push_back(current);
      sum.inputs.push_back(given);
      n.dynamic = sum.dynamic;
      // Where it is not known whether it fits the variable, the assignment sees to that.
      return add_one(std::move(sum), {v.dtype, n.dynamic ? unknown_shape : spec.shape});
    };
    carry_out(*n.op, n.inputs[0], read, combine, [&](ValueId next) {
      n.inputs[0] = next;
      n.op = &assign_op;
    });
  }

  // Adds a node with one output.
  ValueId add_one(ProgramNode n, const TensorSpec& spec) {
    n.first_output = static_cast<ValueId>(p_.values.size());
    n.num_outputs = 1;
    n.dynamic = n.dynamic || !spec.shape.is_known();
    p_.values.push_back({.spec = spec, .producer = static_cast<int32_t>(p_.nodes.size())});
    p_.nodes.push_back(std::move(n));
    return p_.nodes.back().first_output;
  }

  // The elements of operands that are read on the host. Where they show in the run only, so does what the op does.
  void fold_host_inputs(ProgramNode& n) {
    SmallVector<Tensor, 4> known(n.inputs.size());
    SmallVector<const Tensor*, 4> pointers;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (n.op->reads_on_host(i)) {
        known[i] = fold_value(p_, n.inputs[i]);
        n.dynamic = n.dynamic || !known[i].defined();
      }
      pointers.push_back(&known[i]);
    }
    if (!n.op->specialise || n.dynamic) return;
    with_node(*p_.graph, n.graph_node, [&] {
      const Specialised now = n.op->specialise(n.attrs_view(), pointers);
      n.op = now.op;
      n.attrs = now.attrs;
      while (n.inputs.size() > now.inputs) n.inputs.pop_back();
    });
  }

  // Extents, and parts of them, which are known with the shapes: no kernel runs for them in any plan.
  bool is_of_shapes(const ProgramNode& n) const {
    constexpr int64_t kMost = 64;
    if (n.dynamic || n.num_outputs != 1 || n.inputs.empty()) return false;
    if (n.op == &shape_op) return true;
    const TensorSpec& y = p_.values[n.first_output].spec;
    if (!is_integer(y.dtype) || y.shape.saturated_elements() > kMost) return false;
    for (ValueId v : n.inputs)
      if (!p_.values[v].constant.defined()) return false;
    return n.op == &extents_op || n.op->flags.alias || n.op->view;
  }

  SmallVector<TensorSpec, 2> inferred(ProgramNode& n, const Node& node) {
    SmallVector<TensorSpec, 4> specs;
    SmallVector<Tensor, 4> known(n.inputs.size());
    SmallVector<const Tensor*, 4> pointers;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      specs.push_back(p_.values[n.inputs[i]].spec);
      if (n.op->reads_on_host(i)) known[i] = fold_value(p_, n.inputs[i]);
      pointers.push_back(&known[i]);
    }
    SmallVector<TensorSpec, 2> out;
    with_node(*p_.graph, n.graph_node, [&] { infer(*n.op, specs, n.attrs_view(), pointers, out); });
    if (out.size() != node.outputs.size())
      fail(Code::Internal, fmt::format("'{}' changed its number of outputs", n.op->name));
    return out;
  }

  const Request& request_;
  Program p_;
  std::vector<ValueId> first_value_;  // by graph node
  std::vector<int32_t> node_index_;   // by graph node; -1: none
  KeptByNode kept_;
};

}  // namespace

Program lower(GraphData& g, const Request& request, std::span<const uint32_t> nodes) {
  Program p = Lowering(g, request).run(nodes);
  if (verifies_programs()) p.verify("lowering");
  return p;
}

Tensor fold_value(Program& p, ValueId id) {
  ProgramValue& v = p.values[id];
  if (v.constant.defined() || v.producer < 0) return v.constant;
  const ProgramNode& n = p.nodes[static_cast<size_t>(v.producer)];
  if (n.op->flags.session || n.op->flags.random || n.op->flags.effect || n.dynamic) return {};
  if (v.spec.dtype == DType::list) return {};  // each run's own: it would keep what a run has put into it
  SmallVector<Tensor, 4> inputs;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const TensorSpec& spec = p.values[n.inputs[i]].spec;
    if (n.op->reads_shape(i)) {
      if (!spec.shape.is_known()) return {};
      inputs.push_back(Tensor::adopt(Value::shell(spec.dtype, spec.shape, {}, 0).detach()));
    } else {
      inputs.push_back(fold_value(p, n.inputs[i]));
      if (!inputs.back().defined()) return {};
    }
  }
  SmallVector<const Tensor*, 4> pointers;
  for (const Tensor& t : inputs) pointers.push_back(&t);
  Outputs out;
  const OnDevice on(n.device);
  const InLateUnit of_no_run(nullptr);  // what fails here is not the run's that is being planned for
  try {
    launch(*n.op, pointers, n.attrs_view(), 0, out, nullptr, {}, p.settings.numerics);
    for (const Tensor& t : out) check_late_errors(t);  // a GPU says later that it has failed
  } catch (const Error&) {
    return {};  // it fails in the run, if the run gets there
  }
  for (size_t i = 0; i < out.size(); ++i) p.values[n.first_output + i].constant = out[i];
  return p.values[id].constant;
}

}  // namespace twofold
