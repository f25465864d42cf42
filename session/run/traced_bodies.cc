#include <twofold/session/run/traced_bodies.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <twofold/eager/tape.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// One execution of a body: which one, of those that `bodies_traced` counts, and what is kept of it.
class BodyCall final : public RefCounted {
 public:
  BodyCall(size_t number, std::shared_ptr<const BodyKept> kept) : number(number), kept(std::move(kept)) {}
  const size_t number;
  const std::shared_ptr<const BodyKept> kept;  // null: nothing
  std::vector<Tensor> values;                  // by kept->edges; shells of those of which only shapes are read

  const Tensor& value(Edge e) const {
    const auto at =
        std::ranges::lower_bound(kept->edges, e.key(), {}, [](const ForwardRead& r) { return r.edge.key(); });
    return values[static_cast<size_t>(at - kept->edges.begin())];
  }
};

struct BodyCallAttrs {
  Ref<BodyCall> call;
  TWOFOLD_FIELDS(call)
};
static uint64_t hash_field(const Ref<BodyCall>& c) {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(c.get()));
}
static std::string print_field(const Ref<BodyCall>& c) {
  return c ? fmt::format("call of body {}", c->number) : "none";
}
static void perturb_field(Ref<BodyCall>& c) { c = c ? Ref<BodyCall>() : make_ref<BodyCall>(size_t{0}, nullptr); }

// The Backprop node that this thread is doing.
class PlannedGradients::Running {
 public:
  Running(PlannedGradients& node, Ledger* ledger)
      : node_(node), ledger_(ledger), outer_(std::exchange(t_innermost, this)) {}
  ~Running() { t_innermost = outer_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  static void differentiate(Backward& b) { t_innermost->node_.differentiate(b, t_innermost->ledger_); }

 private:
  static thread_local constinit Running* t_innermost;
  PlannedGradients& node_;
  Ledger* ledger_;
  Running* outer_;
};
thread_local constinit PlannedGradients::Running* PlannedGradients::Running::t_innermost = nullptr;

void body_call_gradient(Backward& b) { PlannedGradients::Running::differentiate(b); }

namespace {

// A trace's record of an execution of a body. Inputs: the body's parameters, its captures, then the variables that any
// body of the node reads. Outputs: the body's.
constinit const OpDef kBodyCallOp{.key = OpKey::without_kernels("BodyCall"),
                                  .doc = "One execution of a body of a graph.",
                                  .min_inputs = 0,
                                  .max_inputs = -1,
                                  .outputs = -1,
                                  .differentiable = Differentiability::rule,
                                  .gradient = body_call_gradient,
                                  .flags = {.session = true},
                                  .attrs = &internal::kAttrsType<BodyCallAttrs>};

Tensor nothing() { return Tensor::adopt(Value::make(uint8, Shape{0}).detach()); }
Tensor shell_of(const TensorSpec& spec, Device device) {
  return Tensor::adopt(Value::shell(spec.dtype, spec.shape, device, 0).detach());
}
Tensor kept_value(const ForwardRead& read, const Tensor& value) {
  return read.shape_only ? shell_of(value.value()->spec(), value.value()->device()) : value;
}
Tensor fresh(const Tensor& t) { return is_floating(t.dtype()) ? renamed(t) : retained(t); }

void record(Ref<BodyCall> call, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
            std::span<const Ref<VariableState>> variables, std::source_location where) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) pointers.push_back(&t);
  Outputs recorded;
  for (const Tensor& t : outputs) recorded.push_back(t);
  const BodyCallAttrs attrs{std::move(call)};
  for (Tape* t = t_state.tape; t; t = t->next()) t->record(kBodyCallOp, pointers, attrs, where, recorded, variables);
}

class RecordedBodies final : public Bodies {
 public:
  RecordedBodies(PlannedBodies& planned, std::span<const Ref<VariableState>> variables, std::source_location where,
                 Ledger* ledger)
      : planned_(planned), variables_(variables), where_(where), ledger_(ledger) {}

  BodyResults branch(const Body& taken, std::span<const Tensor> inputs) override { return call(taken, {}, inputs); }
  bool test(const Body& test, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
    return truth_of(planned_.call(test, state, inputs, ledger_)[0], "While");
  }
  BodyResults iteration(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) override {
    return call(body, state, inputs);
  }
  void number(const Body& body, size_t n) { numbers_[&body] = n; }

 private:
  BodyResults call(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs) {
    const BodyResults all = planned_.call(body, state, inputs, ledger_);
    auto call = make_ref<BodyCall>(numbers_.at(&body), planned_.kept(body));
    BodyResults outputs;
    for (size_t i = 0; i < body.outputs.size(); ++i) outputs.push_back(fresh(all[i]));
    if (call->kept)
      for (size_t i = 0; i < call->kept->edges.size(); ++i)
        call->values.push_back(kept_value(call->kept->edges[i], all[body.outputs.size() + i]));
    std::vector<Tensor> given(state.begin(), state.end());
    for (uint32_t i : body.capture_inputs) given.push_back(inputs[i]);
    record(std::move(call), given, outputs, variables_, where_);
    return outputs;
  }

  PlannedBodies& planned_;
  const std::span<const Ref<VariableState>> variables_;
  const std::source_location where_;
  Ledger* const ledger_;
  std::map<const Body*, size_t> numbers_;
};

}  // namespace

Tensor trace_handle(Ref<Trace> trace) { return Tensor::adopt(Value::handle(std::move(trace)).detach()); }
Tensor no_trace() { return nothing(); }

Traced run_traced_bodies(PlannedBodies& bodies, AttrsView attrs, std::span<const Tensor> inputs, size_t num_inputs,
                         std::source_location where, Ledger* ledger) {
  const bool loop = attrs.type() == &internal::kAttrsType<WhileAttrs>;
  const auto variables = differentiable_variables(loop ? while_op : if_op, attrs);
  RecordedBodies recorded(bodies, variables, where, ledger);
  if (loop) {
    recorded.number(attrs.as<WhileAttrs>().body, 0);
  } else {
    recorded.number(attrs.as<IfAttrs>().then_body, 0);
    recorded.number(attrs.as<IfAttrs>().else_body, 1);
  }
  const auto node = [&](std::span<const Tensor> given) {
    std::vector<Tensor> inside(given.begin(), given.end());
    inside.insert(inside.end(), inputs.begin() + static_cast<std::ptrdiff_t>(num_inputs), inputs.end());
    BodyResults results = run_bodies(attrs, inside, recorded);
    return std::vector<Tensor>(results.begin(), results.end());
  };
  return run_traced(inputs.first(num_inputs), node, {.where = where, .everything = true});
}

PlannedGradients::PlannedGradients(const HostOp& op, const SessionOptions& options, const RunSettings& settings,
                                   SessionContext& context)
    : op_(op),
      attrs_(op.attrs_view().as<BackpropAttrs>()),
      num_bodies_(attrs_.gradients.size()),
      options_(options),
      settings_(settings),
      context_(context),
      planned_(num_bodies_) {
  settings_.observed = false;  // the node is seen as one
  for (size_t i = 0; i < num_bodies_; ++i) {
    planned_[i].gradient = &attrs_.gradients[i];
    if (op.kept && i < op.kept->size()) planned_[i].kept = {op.kept, &(*op.kept)[i]};
  }
}

BodyExecutors& PlannedGradients::executors(Planned& planned, const std::vector<bool>& asked) {
  std::lock_guard lock(mutex_);
  auto& made = planned.executors[asked];
  if (made) return *made;
  const BodyGradient& gradient = *planned.gradient;
  Request r{.settings = settings_, .nested = true};
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!asked[i]) continue;
    for (const GradientPart& p : gradient.inputs[i].parts) {
      r.fetches.push_back(gradient.body.outputs[p.value]);
      if (p.indices >= 0) r.fetches.push_back(gradient.body.outputs[static_cast<size_t>(p.indices)]);
      if (p.arrived >= 0) r.fetches.push_back(gradient.body.outputs[static_cast<size_t>(p.arrived)]);
    }
  }
  if (planned.kept) {
    for (const ForwardRead& read : planned.kept->edges)
      if (read.edge.node >= gradient.forward) r.fetches.push_back(read.edge);
    r.kept = planned.kept->inner;
  }
  for (const ForwardRead& read : gradient.reads) r.feeds.push_back(read.edge);
  const auto& parameters = gradient.body.parameters;
  for (Edge e : parameters)
    if (e.node >= gradient.forward) r.feeds.push_back(e);
  made = std::make_unique<BodyExecutors>(*gradient.body.graph, std::move(r), options_, context_);
  return *made;
}

// The gradient of one execution of a body, by its backward body.
void PlannedGradients::differentiate(Backward& b, Ledger* ledger) {
  const BodyCall& call = *b.attrs<BodyCallAttrs>().call;
  Planned& planned = planned_.at(call.number);
  const BodyGradient& gradient = *planned.gradient;
  if (!gradient.body.graph) fail(Code::Internal, "a body is differentiated of which nobody has asked that");
  std::vector<bool> asked;
  for (const InputGradient& of : gradient.inputs) asked.push_back(b.needs(static_cast<int>(of.input)));
  if (std::ranges::find(asked, true) == asked.end()) return;
  const bool recorded = t_state.tape != nullptr;
  if (recorded) asked.assign(asked.size(), true);  // a gradient may come to any, of a shape that shows now

  std::vector<Tensor> feeds, dys, arrived;
  for (const ForwardRead& read : gradient.reads) feeds.push_back(call.value(read.edge));
  for (size_t i = 0; i < gradient.dys.size(); ++i) {
    const Tensor& dy = b.dy(static_cast<int>(i));
    if (gradient.dys[i] == Dy::none) continue;
    if (!dy.defined() && gradient.dys[i] == Dy::always)
      fail(Code::Internal, fmt::format("no gradient arrives at output {} of a body", i));
    if (dy.defined()) {
      dys.push_back(dy);
    } else {
      const Tensor& y = b.output(static_cast<int>(i));
      const OnDevice on(y.value()->device());
      dys.push_back(tensor(0, y.shape(), {.dtype = y.dtype()}));
    }
    if (gradient.dys[i] == Dy::conditional) arrived.push_back(tensor(dy.defined()));
  }
  feeds.insert(feeds.end(), dys.begin(), dys.end());
  feeds.insert(feeds.end(), arrived.begin(), arrived.end());
  BodyResults results;
  {
    const WithoutTape hidden;
    results = executors(planned, asked).call(feeds, ledger);
  }

  std::vector<Tensor> outputs(recorded ? gradient.body.outputs.size() : 0);
  size_t next = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!asked[i]) continue;
    const auto input = static_cast<int>(gradient.inputs[i].input);
    auto sum = std::make_shared<GradientSum>();
    for (const GradientPart& p : gradient.inputs[i].parts) {
      Contribution c{.kind = p.kind, .value = results[next++]};
      if (p.indices >= 0) c.indices = results[next++];
      if (recorded) outputs[p.value] = shell_of(c.value.value()->spec(), c.value.value()->device());
      if (p.arrived >= 0 && !static_cast<bool>(results[next++])) continue;
      if (p.kind == Contribution::Kind::slice && p.indices < 0)
        c.place = std::make_shared<const SlicePlace>(SlicePlace{p.begin, p.strides});
      if (recorded) c.value = outputs[p.value] = fresh(c.value);
      if (b.needs(input)) sum->add(std::move(c), b.input(input));
    }
    if (!sum->empty()) b.dx_sum(input, std::move(sum));
  }
  if (!recorded) return;
  auto made = make_ref<BodyCall>(num_bodies_ + call.number, planned.kept);
  if (planned.kept)
    for (const ForwardRead& read : planned.kept->edges)
      made->values.push_back(
          kept_value(read, read.edge.node < gradient.forward ? call.value(read.edge) : results[next++]));
  // Its inputs: the body's parameters, the gradients given, what arrived, the captures.
  std::vector<Tensor> inputs;
  const size_t parameters = gradient.body.parameters.size() - dys.size() - arrived.size();
  for (size_t i = 0; i < parameters; ++i) inputs.push_back(b.input(static_cast<int>(i)));
  inputs.insert(inputs.end(), dys.begin(), dys.end());
  inputs.insert(inputs.end(), arrived.begin(), arrived.end());
  for (size_t i = 0; i < gradient.body.captures.size(); ++i)
    inputs.push_back(b.input(static_cast<int>(parameters + i)));
  for (Tensor& t : outputs)
    if (!t.defined()) t = nothing();
  record(std::move(made), inputs, outputs, attrs_.variables, t_state.source);
}

void PlannedGradients::run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) {
  const auto* trace = static_cast<const Trace*>(inputs[0].value()->object());
  if (!trace) fail(Code::Internal, "a gradient is asked of control flow that left no trace");
  const ObservedThread::Hidden one_node;
  const auto n = static_cast<size_t>(attrs_.num_inputs);
  Backprop request{.nested = attrs_.nested};
  request.inputs.assign(inputs.begin() + 1, inputs.begin() + 1 + static_cast<std::ptrdiff_t>(n));
  request.dys.resize(static_cast<size_t>(attrs_.num_outputs));
  request.arrived.assign(request.dys.size(), true);
  for (size_t i = 0; i < attrs_.dys.size(); ++i) request.dys[static_cast<size_t>(attrs_.dys[i])] = inputs[1 + n + i];
  for (size_t k = 0; k < attrs_.conditional.size(); ++k) {
    const auto dy = static_cast<size_t>(attrs_.dys[static_cast<size_t>(attrs_.conditional[k])]);
    request.arrived[dy] = static_cast<bool>(inputs[1 + n + attrs_.dys.size() + k]);
  }
  for (int64_t i : attrs_.wanted) request.wanted.push_back(static_cast<size_t>(i));
  for (int64_t i : attrs_.wanted_variables) request.variables.push_back(attrs_.variables[static_cast<size_t>(i)]);
  TracedGradients made;
  {
    const Running running(*this, ledger);
    made = run_backprop(*trace, request, op_.kept != nullptr);
  }
  size_t next = 0;
  for (size_t w = 0; w < made.of.size(); ++w) {
    Shape shape = attrs_.shapes[next];
    if (w < request.wanted.size()) {
      shape = request.inputs[request.wanted[w]].shape();
    } else if (const VariableState& v = *request.variables[w - request.wanted.size()]; v.shape.is_known()) {
      shape = v.shape;
    } else {
      const Slot& slot = context_.slots.slot(request.variables[w - request.wanted.size()]);
      shape = slot.has_current() ? slot.current().shape() : Shape{};
    }
    hand_out(made.of[w], attrs_.consist[w], shape, outputs, next);
  }
  outputs.back() = op_.kept ? trace_handle(std::move(made.trace)) : no_trace();
}

// The outputs from `next` on for the gradient of a tensor of `shape`.
void PlannedGradients::hand_out(const TracedGradient& gradient, int64_t consist, const Shape& shape,
                                std::span<Tensor> outputs, size_t& next) const {
  const auto put = [&](int64_t bit, const Tensor& t, const Shape& like) {
    if (!(consist & bit)) {
      if (t.defined()) fail(Code::Internal, "a gradient consists of what it was not known to consist of");
      return false;
    }
    outputs[next] = t.defined() ? t : tensor(0, like, {.dtype = attrs_.dtypes[next]});
    outputs[next + 1] = tensor(t.defined());
    next += 2;
    return true;
  };
  put(gradient_outputs::kWhole, gradient.whole, shape);
  put(gradient_outputs::kSlices, gradient.slices, shape);
  if (!(consist & gradient_outputs::kRows) && !gradient.rows.defined()) return;
  Shape no_rows = shape;
  if (no_rows.rank() > 0) no_rows.set(0, 0);
  put(gradient_outputs::kRows, gradient.rows, no_rows);
  const DType dtype = attrs_.dtypes[next];
  outputs[next++] = gradient.rows.defined() ? cast(gradient.indices, dtype) : tensor(0, Shape{0}, {.dtype = dtype});
}

}  // namespace twofold
