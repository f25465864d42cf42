#include <twofold/eager/trace.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include <twofold/eager/tape.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

class TapeTrace final : public Trace {
 public:
  std::unique_ptr<Tape> tape;      // stopped
  std::vector<TensorKey> inputs;   // as the tape knows it: what the body was called with, then what it captured; for a
                                   // gradient: the inputs of the body, then the gradients that it was called with
  std::vector<TensorKey> outputs;  // 0: undefined
  bool goes_on = false;            // as TraceOptions'
};

struct TraceAttrs {
  Ref<Trace> trace;
  TWOFOLD_FIELDS(trace)
};

}  // namespace

uint64_t hash_field(const Ref<Trace>& t) { return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(t.get())); }
std::string print_field(const Ref<Trace>& t) { return t ? "trace" : "none"; }
void perturb_field(Ref<Trace>& t) { t = t ? Ref<Trace>() : Ref<Trace>(make_ref<TapeTrace>()); }

namespace {

void trace_gradient(Backward& b);
// A tape's record of a body. Inputs: those of the trace, then the variables that it read.
constinit const OpDef kTraceOp{.key = OpKey::without_kernels("Body"),
                               .doc = "One execution of a body of control flow.",
                               .min_inputs = 0,
                               .max_inputs = -1,
                               .outputs = -1,
                               .differentiable = Differentiability::rule,
                               .gradient = trace_gradient,
                               .flags = {.session = true},
                               .attrs = &internal::kAttrsType<TraceAttrs>};

// A tensor of its own, so that gradients of the body's side and of the outer side are told apart.
Tensor fresh(const Tensor& t) { return carries_gradient(t.dtype()) ? renamed(t) : retained(t); }

// Ends a trace whose inputs, but for captures beyond the first `captured`, are known from outside as `inputs`: live
// tapes get their record, and the caller the outputs under fresh names.
Traced finish(Ref<TapeTrace> trace, std::vector<Tensor> inputs, size_t captured, std::span<const Tensor> results,
              std::source_location where) {
  for (const Tensor& t : results)
    if (t.defined()) trace->tape->returned(t);
  trace->tape->stop();
  for (const Tensor& t : std::span(trace->tape->captures()).subspan(captured)) {
    inputs.push_back(t);
    trace->inputs.push_back(t.id());
  }
  Traced traced;
  Outputs recorded;
  for (const Tensor& t : results) {
    trace->outputs.push_back(t.defined() ? t.id() : 0);
    traced.outputs.push_back(t.defined() ? fresh(t) : Tensor());
    recorded.push_back(t.defined() ? traced.outputs.back() : Tensor::adopt(Value::make(uint8, Shape{0}).detach()));
  }
  if (t_state.tape) {
    std::vector<const Tensor*> all;
    for (const Tensor& t : inputs) all.push_back(&t);
    for (Tape* tape = t_state.tape; tape; tape = tape->next()) {
      tape->record(kTraceOp, all, TraceAttrs{trace}, where, recorded, trace->tape->variables());
      // Whatever was read inside: a graph's node stands for all that it might have read.
      for (const Tensor& t : traced.outputs)
        if (t.defined() && carries_gradient(t.dtype())) tape->watch(t);
    }
  }
  traced.trace = std::move(trace);
  return traced;
}

// Sums of gradients, and the tensors that are summed.
struct Sums {
  std::vector<GradientSum> sums;
  Traced values;  // empty unless somebody records
};

// Gradients of what the keys name.
Sums differentiate_trace(const TapeTrace& trace, std::span<const Tensor> inputs, std::span<const Tensor> dys,
                         std::span<const TensorKey> wanted, bool keep, const Backprop& how) {
  const ObservedThread::Hidden one_node;  // as which graphs have it
  const auto gradients = [&](std::span<const Tensor> given) {
    std::vector<Seed> seeds;
    for (size_t i = 0; i < given.size(); ++i)
      if (given[i].defined() && trace.outputs[i] && (how.arrived.empty() || how.arrived[i]))
        seeds.push_back({trace.outputs[i], {given[i], {}}});
    std::vector<GradientSum> sums = differentiate_unsummed(*trace.tape, seeds, wanted);
    for (size_t k = 0; k < sums.size(); ++k) {
      if (how.summing[k] == Summing::total && !sums[k].empty()) sums[k].total();
      if (how.summing[k] == Summing::condensed) sums[k].condense();
    }
    return sums;
  };
  if (!keep && !t_state.tape) return {gradients(dys), {}};
  // Forward records, then the backward ones: of both together the gradient is again a gradient of a trace.
  auto both = make_ref<TapeTrace>();
  both->goes_on = trace.goes_on;
  std::vector<Tensor> outside(inputs.begin(), inputs.end()), inside(dys.size());
  both->inputs = trace.inputs;
  both->tape = std::make_unique<Tape>(Tape::Apart{.everything = keep, .after = trace.tape.get()});
  for (size_t i = 0; i < dys.size(); ++i) {
    if (!dys[i].defined()) continue;
    outside.push_back(dys[i]);
    inside[i] = fresh(dys[i]);
    both->inputs.push_back(inside[i].id());
    both->tape->watch_inside(inside[i], dys[i]);
  }
  Sums made{gradients(inside), {}};
  std::vector<Tensor*> parts;
  for (size_t k = 0; k < made.sums.size(); ++k) {
    const std::vector<Tensor*> values = made.sums[k].values();
    if (how.slots)
      for (int place : how.slots(k, made.sums[k]))
        parts.push_back(place < 0 ? nullptr : values[static_cast<size_t>(place)]);
    else
      parts.insert(parts.end(), values.begin(), values.end());
  }
  std::vector<Tensor> results;
  for (const Tensor* t : parts) results.push_back(t ? *t : Tensor());
  made.values = finish(std::move(both), std::move(outside), trace.tape->captures().size(), results, t_state.source);
  for (size_t i = 0; i < parts.size(); ++i)
    if (parts[i]) *parts[i] = made.values.outputs[i];
  return made;
}

void trace_gradient(Backward& b) {
  const auto& trace = static_cast<const TapeTrace&>(*b.attrs<TraceAttrs>().trace);
  std::vector<Tensor> inputs, dys;
  std::vector<TensorKey> keys = trace.inputs, wanted;
  for (const auto& v : trace.tape->variables()) keys.push_back(variable_key(*v));
  std::vector<int> places;
  for (int i = 0; i < b.num_inputs(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (at < trace.inputs.size()) inputs.push_back(b.input(i));
    if (!b.needs(i)) continue;
    wanted.push_back(keys[at]);
    places.push_back(i);
  }
  for (size_t i = 0; i < trace.outputs.size(); ++i) dys.push_back(b.dy(static_cast<int>(i)));
  const Summing summing = !b.nested() ? Summing::total : trace.goes_on ? Summing::parts : Summing::condensed;
  Backprop how;
  how.summing.assign(wanted.size(), summing);
  std::vector<GradientSum> dxs = differentiate_trace(trace, inputs, dys, wanted, false, how).sums;
  for (size_t i = 0; i < places.size(); ++i) {
    if (dxs[i].empty()) continue;
    if (b.nested())
      b.dx_sum(places[i], std::make_shared<GradientSum>(std::move(dxs[i])));
    else
      b.dx_conditional(places[i], dxs[i].total().value);
  }
}

}  // namespace

Traced run_traced(std::span<const Tensor> inputs, const internal::TensorFunction& body, const TraceOptions& options) {
  auto trace = make_ref<TapeTrace>();
  trace->goes_on = options.goes_on;
  std::vector<Tensor> inside;
  trace->tape = std::make_unique<Tape>(Tape::Apart{.everything = options.everything});
  for (const Tensor& t : inputs) {
    inside.push_back(fresh(t));
    trace->inputs.push_back(inside.back().id());
    trace->tape->watch_inside(inside.back(), t);
  }
  const std::vector<Tensor> results = body(inside);
  return finish(std::move(trace), {inputs.begin(), inputs.end()}, 0, results, options.where);
}

TracedGradients run_backprop(const Trace& trace, const Backprop& request, bool keep) {
  const auto& of = static_cast<const TapeTrace&>(trace);
  std::vector<TensorKey> wanted;
  for (size_t i : request.wanted) wanted.push_back(of.inputs[i]);
  for (const auto& v : request.variables) wanted.push_back(variable_key(*v));
  Sums made = differentiate_trace(of, request.inputs, request.dys, wanted, keep, request);
  return {std::move(made.sums), std::move(made.values.trace)};
}

}  // namespace twofold
