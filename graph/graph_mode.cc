// Deferred execution, a mode: what adds nodes to the current graph.
#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/body.h>
#include <twofold/graph/body_symbols.h>
#include <twofold/graph/control.h>
#include <twofold/graph/gradients.h>
#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>

namespace twofold {

namespace {
thread_local constinit const NextName* t_next_name = nullptr;
}  // namespace

NextName::NextName(std::string_view name) : text_(name) { t_next_name = this; }
NextName::~NextName() { t_next_name = nullptr; }

namespace {

Tensor symbol(GraphData& g, uint32_t node, int output = 0) {
  return Tensor::symbol(&g, node, static_cast<uint16_t>(output));
}

// The graph that an op with these inputs belongs to, if it is another than `current`.
GraphData* foreign_graph(const GraphData& current, Inputs inputs, std::source_location where) {
  GraphData* foreign = nullptr;
  for (const Tensor* t : inputs) {
    if (!t->is_symbolic()) continue;
    GraphData* g = t->graph();
    if (t->owner()->closed()) check_not_escaped(*t, where);
    if (current.within(g)) continue;
    check_not_escaped(*t, where);
    if (foreign && foreign != g && !foreign->within(g) && !g->within(foreign))
      fail(Code::InvalidArgument,
           fmt::format("{} is of another graph than the op's other inputs (graph {} and graph {})", to_string(*t),
                       g->id(), foreign->id()),
           "build both in one graph");
    if (!foreign || g->within(foreign)) foreign = g;
  }
  if (!foreign) return nullptr;
  const auto in_foreign = [&](const Tensor* t) { return t->is_symbolic() && t->graph() == foreign; };
  const Tensor* other = *std::ranges::find_if(inputs, in_foreign);
  for (const Tensor* t : inputs) {
    if (t->is_symbolic() && !foreign->within(t->graph()))
      fail(Code::InvalidArgument,
           fmt::format("{} must be from the same graph as {}: graph {} and graph {}", to_string(*t), to_string(*other),
                       t->graph()->id(), foreign->id()),
           "build both in one graph");
  }
  return foreign;
}

}  // namespace

void check_not_escaped(const Tensor& t, std::source_location used) {
  if (!t.is_symbolic() || !(t.graph()->closed() || t.owner()->closed())) return;
  const GraphData& g = *t.graph();
  const bool of_step = t.owner()->closed();
  const auto made = g.node(t.node()).where;
  throw Error(Code::InvalidArgument,
              {.message = fmt::format("{} belongs to the body of a {} (made at {}) and is used outside of it, at {}",
                                      to_string(t), of_step ? "step" : g.label(), line_of(made), line_of(used)),
               .op = t_state.current_op,
               .where = used,
               .hint = of_step ? "return it from the body, or keep it in a Variable" : "return it from the body"});
}

Edge edge_in(GraphData& g, const Tensor& t, std::source_location where) {
  if (t.is_concrete()) return {add_constant(g, t, "", where), 0};
  check_not_escaped(t, where);
  if (t.graph() == &g) return {t.node(), t.output()};
  if (!g.within(t.graph()))
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("{} is not an element of the graph around this {}", to_string(t), g.label()));
  return g.capture(t);
}

uint32_t add_constant(GraphData& g, const Tensor& value, std::string_view name, std::source_location where) {
  const TensorSpec spec{value.dtype(), value.shape()};
  const Tensor kept = t_state.symbols ? t_state.symbols->constant(value, where) : retained(value);
  return g.add(constant_op, {}, ConstantAttrs{{kept}}, {&spec, 1}, name, where);
}

Tensor graph_constant(const Tensor& value, const std::string& name, std::source_location where) {
  GraphData& g = current_graph();
  return symbol(g, add_constant(g, value, name, t_state.source_scopes ? t_state.source : where));
}

namespace {

// Calls `f` in a variable's `graph`, unless the current one is that or a body within it. Null: in the current one.
template <class F>
Tensor in_graph(const Ref<RefCounted>& graph, const F& f) {
  auto* g = static_cast<GraphData*>(graph.get());
  if (!g || current_graph().within(g)) return f();
  const CurrentGraph enter(*g);
  return f();
}

class DeferredExecution final : public Mode {
 public:
  constexpr DeferredExecution() : Mode(false) {}

  void apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs,
             std::span<const Tensor>) override {
    const PhaseTimer timer(t_state.ledger, Phase::build);
    GraphData* const foreign = foreign_graph(current_graph(), inputs, where);
    std::optional<CurrentGraph> enter;
    if (foreign) enter.emplace(*foreign);
    GraphData& g = current_graph();
    SmallVector<Edge, 4> edges;
    SmallVector<TensorSpec, 4> specs;
    SmallVector<Tensor, 4> brought;  // into this graph: constants and captures
    brought.reserve(inputs.size());
    SmallVector<const Tensor*, 4> inside;
    for (const Tensor* t : inputs) {
      Edge e{t->node(), t->output()};
      const bool is_here = t->is_symbolic() && t->graph() == &g;
      if (!is_here) {
        e = t->is_concrete() ? Edge{add_constant(g, *t, "", where), 0} : g.capture(*t);
        brought.push_back(symbol(g, e.node, e.output));
        t = &brought.back();
      }
      edges.push_back(e);
      specs.push_back(g.spec(e));
      inside.push_back(t);
    }
    const auto n = static_cast<int>(inputs.size());
    if (n < op.min_inputs || (op.max_inputs >= 0 && n > op.max_inputs))
      fail(Code::Internal, fmt::format("'{}' was given {} inputs", op.name, n));
    InferContext context(op, specs, attrs, inside);
    context.check_lists();
    op.infer(context);
    const auto out = context.outputs();
    const uint32_t node = g.add(op, edges, attrs, out, t_next_name ? t_next_name->text() : std::string_view(), where);
    for (size_t i = 0; i < out.size(); ++i) outputs.push_back(symbol(g, node, static_cast<int>(i)));
  }

  Tensor source(const Tensor& value, const std::string& name, std::source_location where) override {
    return graph_constant(value, name, where);
  }
  RandomOrdinals& random_ordinals() override { return current_graph().random; }
  bool takes_eager_variables() const override { return current_graph().takes_eager_variables(); }

  Variable variable(const Tensor& initial, const VariableOptions& options, std::source_location where) override {
    GraphData& g = current_graph();
    if (g.outer())
      fail(Code::FailedPrecondition,
           fmt::format("A Variable was made in the body of a {}, where it would be made at each of its executions",
                       g.label()),
           "make it before the body");
    Tensor value = initial;
    if (!value.is_symbolic()) value = symbol(g, add_constant(g, initial, "initial_value", where));
    check_not_escaped(value, where);
    if (value.graph() != &g)
      fail(Code::InvalidArgument, fmt::format("The initial value {} is of another graph", to_string(value)));
    const ControlScope free(g, {}, true);
    const TensorSpec spec{value.dtype(), options.shape.value_or(value.shape())}, first{value.dtype(), value.shape()};
    auto state = make_ref<VariableState>("", spec.dtype, spec.shape, options.trainable, where);
    const uint32_t node = g.add(variable_op, {}, VariableAttrs{state}, {&spec, 1}, options.name, where);
    state->name = g.node_name(node);
    const Edge from{value.node(), value.output()};
    const uint32_t initializer =
        g.add(assign_op, {&from, 1}, VariableAttrs{state}, {&first, 1}, state->name + "/Assign/", where);
    g.add_variable({state, from, initializer});
    return Variable::of(state, Ref<RefCounted>(&g));
  }
  Tensor read(const Variable& v, Tensor, std::source_location where) override {
    GraphData& g = current_graph();
    const Edge e = g.read(v.state(), t_state.source_scopes ? t_state.source : where);
    return symbol(g, e.node, e.output);
  }
  Tensor assign(const Variable& v, const Operand& value, const OpDef& op) override {
    // A concrete value assigned to a graph's variable becomes a constant of that graph.
    return in_graph(v.graph(), [&] {
      const Tensor& given = assigned_value(v, value, op);
      const Tensor symbol = given.is_symbolic() ? given : graph_constant(given, "", value.where());
      return twofold::apply(op, {&symbol}, VariableAttrs{v.state()}, value.where());
    });
  }
  Operation initializer(const Variable& v) override {
    GraphData& g = current_graph();
    return Operation(Ref<GraphData>(&g), g.variable(*v.state()).initializer);
  }
  Tensor initial_value(const Variable& v, std::source_location) override {
    GraphData& g = current_graph();
    const Edge e = g.variable(*v.state()).initial;
    return symbol(g, e.node, e.output);
  }

  std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                std::span<const Tensor> dys, std::span<RowsGradient> rows) override {
    return graph_gradients(ys, xs, dys, rows);
  }
  std::vector<Tensor> vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                          std::span<const Tensor> dys) override {
    return graph_vjp(f, inputs, dys);
  }
  std::vector<Tensor> call_body(std::span<const Tensor> inputs, const internal::TensorFunction& body, bool,
                                std::source_location) override {
    return body(inputs);
  }
  std::unique_ptr<Recording> record(bool watch_variables) override { return record_in_graph(watch_variables); }

  bool has_begun() const override { return default_graph_has_nodes(); }
};
constinit DeferredExecution g_deferred;
__attribute__((constructor(101))) void register_deferred() { register_mode(g_deferred); }

}  // namespace
}  // namespace twofold
