// Bodies of control flow, and the ops whose nodes hold them.
#include <twofold/graph/body.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/graph_ops.h>

namespace twofold {

uint64_t hash_field(const Body& b) { return b.graph ? b.graph->id() : 0; }
std::string print_field(const Body& b) {
  return b.graph ? fmt::format("{} of {} nodes", b.graph->label(), b.graph->size()) : "none";
}
void perturb_field(Body& b) { b.graph = b.graph ? Ref<GraphData>() : make_ref<GraphData>(); }

FieldValue to_field(const Body& b) { return {std::make_shared<const Body>(b)}; }
void from_field(const FieldValue& f, Body& b) { b = *f.as<std::shared_ptr<const Body>>(); }

Shape merged_shape(const Shape& a, const Shape& b) {
  if (!a.has_rank() || !b.has_rank() || a.rank() != b.rank()) return unknown_shape;
  Shape both = a;
  for (int i = 0; i < a.rank(); ++i)
    if (a.extent(i) != b.extent(i)) both.set(i, -1);
  return both;
}

namespace {

bool may_fail(const Node& n) {
  if (n.op->flags.can_fail && !n.op->flags.session) return true;
  return std::ranges::any_of(bodies_of(*n.op, n.attrs_view()), [](const Body* b) {
    for (uint32_t id = 0; id < b->graph->size(); ++id)
      if (may_fail(b->graph->node(id))) return true;
    return false;
  });
}

}  // namespace

std::vector<uint32_t> unread_checks(const GraphData& g, std::span<const uint32_t> nodes,
                                    std::span<const uint32_t> needed) {
  if (nodes.empty()) return {};
  const uint32_t begin = nodes.front();
  std::vector<bool> is_needed(nodes.back() - begin + 1);
  const auto need = [&](uint32_t id) {
    if (id >= begin && id <= nodes.back()) is_needed[id - begin] = true;
  };
  for (uint32_t id : needed) need(id);
  std::vector<uint32_t> unread;
  for (size_t i = nodes.size(); i-- > 0;) {
    const Node& n = g.node(nodes[i]);
    if (!is_needed[nodes[i] - begin]) {
      if (!may_fail(n)) continue;
      unread.push_back(nodes[i]);
    }
    for (Edge e : n.inputs) need(e.node);
    for (uint32_t c : n.controls) need(c);
  }
  return {unread.rbegin(), unread.rend()};
}

std::vector<const Body*> bodies_of(const OpDef& op, AttrsView attrs) {
  if (&op == &if_op) return {&attrs.as<IfAttrs>().then_body, &attrs.as<IfAttrs>().else_body};
  if (&op == &while_op) return {&attrs.as<WhileAttrs>().test, &attrs.as<WhileAttrs>().body};
  if (&op == &call_op) return {&attrs.as<CallAttrs>().body};
  return {};
}

std::vector<const Body*> differentiable_bodies(const OpDef& op, AttrsView attrs) {
  if (&op == &while_op) return {&attrs.as<WhileAttrs>().body};
  return bodies_of(op, attrs);
}

namespace {

// The hidden output of If, While and Call is a handle to what was done, for the gradient.
void trace_output(InferContext& c) { c.output(uint8, Shape{0}); }

void infer_if(InferContext& c) {
  const auto& a = c.attrs<IfAttrs>();
  for (size_t i = 0; i < a.then_body.outputs.size(); ++i) {
    const TensorSpec& s = a.then_body.output_spec(i);
    c.output(s.dtype, merged_shape(s.shape, a.else_body.output_spec(i).shape));
  }
  trace_output(c);
}

void infer_while(InferContext& c) {
  const Body& b = c.attrs<WhileAttrs>().body;
  for (Edge e : b.parameters) c.output(b.graph->spec(e).dtype, b.graph->spec(e).shape);
  trace_output(c);
}

void infer_call(InferContext& c) {
  const Body& b = c.attrs<CallAttrs>().body;
  for (size_t i = 0; i < b.outputs.size(); ++i) c.output(b.output_spec(i).dtype, b.output_spec(i).shape);
  trace_output(c);
}

}  // namespace

constinit OpDef if_op{.key = OpKey::without_kernels("If"),
                      .node_name = "cond",
                      .doc = "One of two bodies, by a predicate. (TensorFlow: If)",
                      .min_inputs = 1,
                      .max_inputs = -1,
                      .outputs = -1,
                      .hidden = 1,
                      .infer = infer_if,
                      .differentiable = Differentiability::rule,
                      .gradient = control_flow_gradient,
                      .flags = {.can_fail = true, .session = true, .on_host = true, .control_flow = true},
                      .attrs = &internal::kAttrsType<IfAttrs>};
constinit OpDef while_op{.key = OpKey::without_kernels("While"),
                         .node_name = "while",
                         .doc = "A body again and again while another yields true. (TensorFlow: While)",
                         .min_inputs = 0,
                         .max_inputs = -1,
                         .outputs = -1,
                         .hidden = 1,
                         .infer = infer_while,
                         .differentiable = Differentiability::rule,
                         .gradient = control_flow_gradient,
                         .flags = {.can_fail = true, .session = true, .on_host = true, .control_flow = true},
                         .attrs = &internal::kAttrsType<WhileAttrs>};

constinit OpDef call_op{.key = OpKey::without_kernels("Call"),
                        .node_name = "call",
                        .doc = "A function's body, once. (TensorFlow: PartitionedCall)",
                        .min_inputs = 0,
                        .max_inputs = -1,
                        .outputs = -1,
                        .hidden = 1,
                        .infer = infer_call,
                        .differentiable = Differentiability::rule,
                        .gradient = control_flow_gradient,
                        .flags = {.can_fail = true, .session = true, .on_host = true, .control_flow = true},
                        .attrs = &internal::kAttrsType<CallAttrs>};

__attribute__((constructor(101))) static void register_control_flow_ops() {
  register_op(if_op);
  register_op(while_op);
  register_op(call_op);
}

}  // namespace twofold
