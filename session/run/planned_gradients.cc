#include <twofold/session/run/planned_gradients.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/run/body_call.h>
#include <twofold/session/run/traced_bodies.h>

namespace twofold {

// The Backprop node that this thread is doing.
class PlannedGradients::Running {
 public:
  Running(PlannedGradients& node, Ledger* ledger)
      : node_(node), ledger_(ledger), outer_(std::exchange(t_innermost, this)) {}
  ~Running() { t_innermost = outer_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  static void differentiate(Backward& b) { t_innermost->node_.differentiate(b, t_innermost->ledger_); }
  static Running& innermost() { return *t_innermost; }

  // Of what it has differentiated last: the number of the body and, by input, which parts of its gradient have arrived.
  size_t body = 0;
  std::map<uint32_t, std::vector<bool>> arrived;

 private:
  static thread_local constinit Running* t_innermost;
  PlannedGradients& node_;
  Ledger* ledger_;
  Running* outer_;
};
thread_local constinit PlannedGradients::Running* PlannedGradients::Running::t_innermost = nullptr;

void body_call_gradient(Backward& b) { PlannedGradients::Running::differentiate(b); }

PlannedGradients::PlannedGradients(const HostOp& op, const SessionOptions& options, const RunSettings& settings,
                                   SessionContext& context)
    : op_(op),
      attrs_(op.attrs_view().as<BackpropAttrs>()),
      options_(options),
      settings_(settings),
      context_(context),
      planned_(attrs_.gradients.size()) {
  settings_.observed = false;  // the node is seen as one
  for (size_t i = 0; i < planned_.size(); ++i) {
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

namespace {

// A gradient that is none: zeros, or an empty list.
Tensor nothing_of(DType dtype, const Shape& shape) {
  return dtype == DType::list ? internal::empty_list() : tensor(0, shape, {.dtype = dtype});
}

// What a backward body is called with beside the values that it reads of the forward body.
struct Given {
  std::vector<Tensor> dys, arrived;
};

Given given_to(const BodyGradient& gradient, const Backward& b) {
  Given given;
  for (size_t i = 0; i < gradient.dys.size(); ++i) {
    if (gradient.dys[i] == Dy::none) continue;
    const Tensor& dy = b.dy(static_cast<int>(i));
    if (dy.defined()) {
      given.dys.push_back(dy);
    } else {
      if (gradient.dys[i] == Dy::always)
        fail(Code::Internal, fmt::format("no gradient arrives at output {} of a body", i));
      const Tensor& y = b.output(static_cast<int>(i));
      const OnDevice on(y.value()->device());
      given.dys.push_back(nothing_of(y.dtype(), y.shape()));
    }
    if (gradient.dys[i] == Dy::conditional) given.arrived.push_back(tensor(dy.defined()));
  }
  return given;
}

}  // namespace

// The gradient of one execution of a body, by one of its backward body.
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

  const Given given = given_to(gradient, b);
  std::vector<Tensor> feeds;
  const Device device = b.output(0).value()->device();
  for (const ForwardRead& read : gradient.reads)
    feeds.push_back(gradient.knows(read) ? shell_of(gradient.body.graph->spec(read.edge), device)
                                         : call.value(read.edge));
  feeds.insert(feeds.end(), given.dys.begin(), given.dys.end());
  feeds.insert(feeds.end(), given.arrived.begin(), given.arrived.end());
  const BodyResults results = executors(planned, asked).call(feeds, ledger);

  Running& running = Running::innermost();
  running.body = call.number;
  std::vector<Tensor> outputs(recorded ? gradient.body.outputs.size() : 0);
  size_t next = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!asked[i]) continue;
    const auto input = static_cast<int>(gradient.inputs[i].input);
    auto sum = std::make_shared<GradientSum>();
    std::vector<bool>& arrived = running.arrived[gradient.inputs[i].input];
    arrived.clear();
    for (const GradientPart& p : gradient.inputs[i].parts) {
      Contribution c{.kind = p.kind, .value = results[next++]};
      if (p.indices >= 0) c.indices = results[next++];
      if (recorded) outputs[p.value] = shell_of(c.value);
      arrived.push_back(p.arrived < 0 || static_cast<bool>(results[next++]));
      if (!arrived.back()) continue;
      if (p.kind == Contribution::Kind::slice && p.indices < 0)
        c.place = std::make_shared<const SlicePlace>(SlicePlace{p.begin, p.strides});
      if (recorded) c.value = outputs[p.value] = fresh(c.value);
      if (b.needs(input)) sum->add(std::move(c), b.input(input));
    }
    if (!sum->empty()) b.dx_sum(input, std::move(sum));
  }
  if (!recorded) return;
  auto made = make_ref<BodyCall>(attrs_.gradients.size() + call.number, planned.kept);
  if (planned.kept)
    for (const ForwardRead& read : planned.kept->edges)
      made->values.push_back(
          kept_value(read, read.edge.node < gradient.forward ? call.value(read.edge) : results[next++]));
  // Its parameters are the body's, then what it was given; its captures are the body's.
  std::vector<Tensor> inputs;
  const size_t parameters = gradient.body.parameters.size() - given.dys.size() - given.arrived.size();
  for (size_t i = 0; i < parameters; ++i) inputs.push_back(b.input(static_cast<int>(i)));
  inputs.insert(inputs.end(), given.dys.begin(), given.dys.end());
  inputs.insert(inputs.end(), given.arrived.begin(), given.arrived.end());
  for (size_t i = 0; i < gradient.body.captures.size(); ++i)
    inputs.push_back(b.input(static_cast<int>(parameters + i)));
  for (Tensor& t : outputs)
    if (!t.defined()) t = no_trace();  // a number of no gradient, or a bool
  record_call(std::move(made), inputs, outputs, attrs_.variables, t_state.source);
}

void PlannedGradients::run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Ledger* ledger) {
  const auto* trace = static_cast<const Trace*>(inputs[0].value()->object());
  if (!trace) fail(Code::Internal, "a gradient is asked of control flow that left no trace");
  const ObservedThread::Hidden one_node;
  const auto n = static_cast<size_t>(attrs_.num_inputs);
  Backprop request;
  for (const BackpropResult& result : attrs_.results)
    request.summing.push_back(!attrs_.nested          ? Summing::total
                              : result.bodies.empty() ? Summing::condensed
                                                      : Summing::parts);
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
  Running running(*this, ledger);
  request.slots = [&](size_t w, const GradientSum& sum) { return slots(w, sum, running); };
  TracedGradients made = run_backprop(*trace, request, op_.kept != nullptr);
  for (size_t w = 0; w < made.sums.size(); ++w) hand_out(w, made.sums[w], shape_of(request, w), running, outputs);
  outputs.back() = op_.kept ? trace_handle(std::move(made.trace)) : no_trace();
}

// Which of the parts of sum number `w` the parts of that result are; -1: it has not arrived.
std::vector<int> PlannedGradients::slots(size_t w, const GradientSum& sum, const Running& running) const {
  const auto& [slots, bodies] = attrs_.results[w];
  std::vector<int> places(slots.size(), -1);
  const std::vector<Contribution> parts = sum.parts();
  if (parts.empty()) return places;
  if (bodies.empty()) {
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto slot = std::ranges::find(slots, parts[i].kind, &GradientPart::kind);
      if (slot == slots.end()) fail(Code::Internal, "a gradient consists of what it was not known to consist of");
      places[static_cast<size_t>(slot - slots.begin())] = static_cast<int>(i);
    }
    return places;
  }
  // Those of one body's gradient that have arrived.
  size_t slot = 0;
  for (size_t k = 0; k < running.body; ++k)
    if (bodies[k] >= 0)
      if (const InputGradient* before = attrs_.gradients[k].of(static_cast<size_t>(bodies[k])))
        slot += before->parts.size();
  int next = 0;
  for (bool arrived : running.arrived.at(static_cast<uint32_t>(bodies[running.body]))) {
    if (arrived) places[slot] = next++;
    ++slot;
  }
  return places;
}

// That of wanted input or variable number `w`.
Shape PlannedGradients::shape_of(const Backprop& request, size_t w) const {
  if (w < request.wanted.size()) return request.inputs[request.wanted[w]].shape();
  const Ref<VariableState>& v = request.variables[w - request.wanted.size()];
  if (v->shape.is_known()) return v->shape;
  const Slot& slot = context_.slots.slot(v);
  return slot.has_current() ? slot.current().shape() : Shape{};
}

namespace {

// Of a part that has not arrived, of the gradient of a tensor of shape `like`: as much as is known of it, no elements
// else.
Shape absent_shape(const GradientPart& part, Shape known, const Shape& like) {
  const bool rows = part.kind == Contribution::Kind::rows;
  if (part.kind == Contribution::Kind::whole || (!rows && part.begin.empty() && part.indices < 0)) return like;
  if (!known.has_rank()) known = Shape(std::vector<int64_t>(static_cast<size_t>(like.rank()), -1));
  for (int i = 0; i < known.rank(); ++i) {
    const int axis = i - known.rank() + like.rank();  // of like, if a row has it
    if (known.extent(i) < 0) known.set(i, rows && axis > 0 ? like.extent(axis) : 0);
  }
  return known;
}

}  // namespace

// The outputs for the gradient of a tensor of `shape`.
void PlannedGradients::hand_out(size_t w, const GradientSum& sum, const Shape& shape, const Running& running,
                                std::span<Tensor> outputs) const {
  const std::vector<Contribution> parts = sum.parts();
  const std::vector<int> places = slots(w, sum, running);
  for (size_t i = 0; i < places.size(); ++i) {
    const GradientPart& slot = attrs_.results[w].parts[i];
    const Contribution* part = places[i] < 0 ? nullptr : &parts[static_cast<size_t>(places[i])];
    const auto absent = [&](uint32_t output, const Shape& of) { return nothing_of(attrs_.dtypes[output], of); };
    outputs[slot.value] = part ? part->value : absent(slot.value, absent_shape(slot, attrs_.shapes[slot.value], shape));
    outputs[static_cast<size_t>(slot.arrived)] = tensor(part != nullptr);
    if (slot.indices < 0) continue;
    const auto at = static_cast<uint32_t>(slot.indices);
    const bool place = slot.kind == Contribution::Kind::slice;
    Shape indices = attrs_.shapes[at];
    if (!indices.has_rank()) indices = {-1};
    for (int k = 0; k < indices.rank(); ++k)
      if (indices.extent(k) < 0) indices.set(k, place ? shape.rank() : 0);
    outputs[at] = part ? cast(part->indices, attrs_.dtypes[at]) : absent(at, indices);
  }
}

}  // namespace twofold
