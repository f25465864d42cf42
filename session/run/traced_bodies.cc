#include <twofold/session/run/traced_bodies.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include <twofold/eager/execute.h>
#include <twofold/eager/tape.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/shape_check/shape_check.h>
#include <twofold/kernels/variable/assignment.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/constant.h>
#include <twofold/session/program/node_error.h>
#include <twofold/session/program/program.h>
#include <twofold/session/run/random_draws.h>

namespace twofold {

void TracedBodies::feed(const VariableState& v, const Tensor& value) { fed_[v.id] = value; }

static std::vector<Tensor> vector_of(BodyResults results) {
  return {std::make_move_iterator(results.begin()), std::make_move_iterator(results.end())};
}

Traced TracedBodies::run(AttrsView attrs, std::span<const Tensor> inputs) {
  const auto bodies = [&](std::span<const Tensor> inside) { return vector_of(run_bodies(attrs, inside, *this)); };
  return run_traced(inputs, bodies, {.where = where_, .everything = true});
}

BodyResults TracedBodies::branch(const Body& taken, std::span<const Tensor> inputs) { return call(taken, {}, inputs); }

bool TracedBodies::test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) {
  const WithoutTape hidden;
  return truth_of(call(test, state, inputs)[0], "While");
}

BodyResults TracedBodies::iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) {
  const auto once = [&](std::span<const Tensor> inside) { return vector_of(call(body, inside, inputs)); };
  BodyResults next;
  for (Tensor& t : run_traced(state, once, {.where = where_, .everything = true}).outputs) next.push_back(std::move(t));
  return next;
}

const TracedBodies::Known& TracedBodies::known(const Body& body) {
  Known& known = known_[body.graph.get()];
  if (known.order.empty()) known.order = prune(*body.graph, {.fetches = body.outputs, .operations = body.effects});
  if (t_state.observing && known.identities.of_nodes.empty()) {
    known.identities = identities_of(*body.graph);
    std::tie(known.executions, known.executions_of_nodes) = known.identities.run_of(known.order);
  }
  return known;
}

BodyResults TracedBodies::call(const Body& body, std::span<const Tensor> parameters, std::span<const Tensor> inputs) {
  const GraphData& g = *body.graph;
  const Known& known = this->known(body);
  std::vector<Outputs> values(g.size());
  for (size_t i = 0; i < parameters.size(); ++i) values[body.parameters[i].node].push_back(parameters[i]);
  for (size_t i = 0; i < body.captures.size(); ++i)
    values[body.captures[i].node].push_back(inputs[body.capture_inputs[i]]);
  std::optional<ObservedRun> observed;
  if (t_state.observing) observed.emplace(nullptr, known.executions);  // of a session that the run around it names
  for (uint32_t id : known.order) {
    if (!values[id].empty()) continue;
    const Node& node = g.node(id);
    SmallVector<const Tensor*, 4> pointers;
    for (Edge e : node.inputs) pointers.push_back(&values[e.node][e.output]);
    with_node(g, id, [&] {
      if (!observed) return execute(node, pointers, values[id]);
      observed->reach(id);
      const OpIdentity& identity = known.identities.of_nodes[id];
      std::optional<ObservedThread::Hidden> unseen;
      if (identity.op.empty()) unseen.emplace();
      const ObservedRun::At at(*observed, identity, known.executions_of_nodes[id], g.node_name(id));
      execute(node, pointers, values[id]);
    });
  }
  if (observed) observed->finish();
  BodyResults outputs;
  for (Edge e : body.outputs) outputs.push_back(values[e.node][e.output]);
  return outputs;
}

void TracedBodies::execute(const Node& node, Inputs inputs, Outputs& outputs) {
  const OpDef& op = *node.op;
  const AttrsView attrs = node.attrs_view();
  if (&op == &constant_op) {
    outputs.push_back(attrs.as<ConstantAttrs>().value.tensor);
  } else if (node.only_names && !inputs.empty()) {
    outputs.push_back(*inputs[0]);
  } else if (&op == &variable_op || &op == &no_op_op) {
    return;
  } else if (op.flags.writes_variable) {
    outputs.push_back(assign(op, attrs.as<VariableAttrs>().variable, *inputs[0], node.where));
  } else if (op.flags.session) {
    call_op(node, inputs, outputs);
    if (t_state.observing) t_state.observing->eager_op(op, inputs, outputs, node.where);
  } else if (&op == &with_effects_op) {
    outputs.push_back(*inputs[0]);
    if (t_state.observing) t_state.observing->eager_op(op, inputs, outputs, node.where);
  } else if (&op == &shape_check_op) {
    const WithoutTape hidden;  // its output is its input, for gradients as well
    Outputs checked;
    execute_now(op, inputs, attrs, 0, node.where, checked);
    outputs.push_back(*inputs[0]);
  } else {
    const bool on_gpu = std::ranges::any_of(inputs, [](const Tensor* t) { return !t->value()->device().is_cpu(); });
    const bool open = on_gpu && !op.flags.random;
    const OnDevice on(node.device >= 0 ? Device{node.device} : open ? Device{-1} : slots_.device);
    const uint64_t counter =
        op.flags.random ? RandomDraws::take(slots_.counter(random_key_of(attrs), node.generation)) : 0;
    execute_now(op, inputs, attrs, counter, node.where, outputs);
  }
}

// Does what no kernel does, and no op of eager code.
void TracedBodies::call_op(const Node& node, Inputs inputs, Outputs& outputs) {
  const OpDef& op = *node.op;
  const AttrsView attrs = node.attrs_view();
  const auto take = [&](Traced traced) {
    for (Tensor& t : traced.outputs) outputs.push_back(std::move(t));
    outputs.push_back(trace_handle(std::move(traced.trace)));
  };
  std::vector<Tensor> all;
  for (const Tensor* t : inputs) all.push_back(*t);
  if (op.flags.reads_variable) {
    outputs.push_back(read(attrs.as<VariableAttrs>().variable));
  } else if (&op == &print_op) {
    write_print(attrs.as<PrintAttrs>().message, all[0]);
    outputs.push_back(all[0]);
  } else if (&op == &assert_op) {
    check_assertion(attrs.as<AssertAttrs>().message, inputs);
  } else if (&op == &backprop_op) {
    take(run_backprop_node(attrs.as<BackpropAttrs>(), all, slots_, true));
  } else if (op.flags.control_flow) {
    const std::source_location outer = std::exchange(where_, node.where);
    Traced traced = run(attrs, all);
    where_ = outer;
    take(std::move(traced));
  } else {
    fail(Code::Internal, fmt::format("'{}' cannot be run in a body", op.name));
  }
}

Tensor TracedBodies::read(const Ref<VariableState>& v) {
  Tensor value;
  if (const auto it = fed_.find(v->id); it != fed_.end()) {
    value = it->second;
  } else {
    value = slots_.slot(v).current();
  }
  return t_state.tape && is_floating(v->dtype) ? recorded_read(v, value) : value;
}

Tensor TracedBodies::assign(const OpDef& op, const Ref<VariableState>& v, const Tensor& given,
                            std::source_location where) {
  Slot& slot = slots_.slot(v);
  return assign_now(
      op, v, slot.device, given, where, [&]() -> const Tensor& { return slot.current(); },
      [&](const Tensor& next) { slot.pending = next; });
}

Traced run_backprop_node(const BackpropAttrs& attrs, std::span<const Tensor> inputs, Slots& slots, bool keep) {
  const auto* trace = static_cast<const Trace*>(inputs[0].value()->object());
  if (!trace) fail(Code::Internal, "a gradient is asked of control flow that left no trace");
  const auto n = static_cast<size_t>(attrs.num_inputs);
  Backprop request;
  request.inputs.assign(inputs.begin() + 1, inputs.begin() + 1 + static_cast<std::ptrdiff_t>(n));
  request.dys.resize(static_cast<size_t>(attrs.num_outputs));
  request.arrived.assign(request.dys.size(), true);
  for (size_t i = 0; i < attrs.dys.size(); ++i) request.dys[static_cast<size_t>(attrs.dys[i])] = inputs[1 + n + i];
  for (size_t k = 0; k < attrs.conditional.size(); ++k) {
    const auto dy = static_cast<size_t>(attrs.dys[static_cast<size_t>(attrs.conditional[k])]);
    request.arrived[dy] = static_cast<bool>(inputs[1 + n + attrs.dys.size() + k]);
  }
  for (int64_t i : attrs.wanted) request.wanted.push_back(static_cast<size_t>(i));
  for (int64_t i : attrs.wanted_variables) request.variables.push_back(attrs.variables[static_cast<size_t>(i)]);
  Traced traced = run_backprop(*trace, request, keep);
  const size_t wanted = traced.outputs.size();
  for (size_t i = 0; i < wanted; ++i) {
    traced.outputs.push_back(tensor(traced.outputs[i].defined()));
    if (traced.outputs[i].defined()) continue;
    Shape shape = attrs.shapes[i];
    if (i < request.wanted.size()) {
      shape = request.inputs[request.wanted[i]].shape();
    } else if (!shape.is_known()) {
      const Slot& slot = slots.slot(request.variables[i - request.wanted.size()]);
      shape = slot.has_current() ? slot.current().shape() : Shape{};
    }
    traced.outputs[i] = tensor(0, shape, {.dtype = attrs.dtypes[i]});
  }
  return traced;
}

Tensor trace_handle(Ref<Trace> trace) { return Tensor::adopt(Value::handle(std::move(trace)).detach()); }

}  // namespace twofold
