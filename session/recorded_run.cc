#include <twofold/session/recorded_run.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/eager/tape.h>
#include <twofold/graph/control.h>
#include <twofold/graph/gradients.h>
#include <twofold/graph/graph.h>
#include <twofold/graph/graph_data.h>
#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/session_data.h>

namespace twofold::internal {

struct RecordedRun::Done final : public RefCounted {
  std::shared_ptr<RecordedRun> run;
  std::shared_ptr<const void> owner;
  std::vector<Tensor> inputs;
  Tensor trace;
};

namespace {

struct RecordedAttrs {
  Ref<RecordedRun::Done> done;
  TWOFOLD_FIELDS(done)
};

}  // namespace

static uint64_t hash_field(const Ref<RecordedRun::Done>& d) {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(d.get()));
}
static std::string print_field(const Ref<RecordedRun::Done>& d) { return d ? "run" : "none"; }
static void perturb_field(Ref<RecordedRun::Done>& d) {
  d = d ? Ref<RecordedRun::Done>() : make_ref<RecordedRun::Done>();
}

// Inputs: those of the run, then the variables. Outputs: the run's.
static constinit const OpDef kRecordedRunOp{.key = OpKey::without_kernels("FunctionCall"),
                                            .doc = "A call of a function, by a run of a graph.",
                                            .min_inputs = 0,
                                            .max_inputs = -1,
                                            .outputs = -1,
                                            .differentiable = Differentiability::rule,
                                            .gradient = RecordedRun::differentiate,
                                            .flags = {.session = true},
                                            .attrs = &kAttrsType<RecordedAttrs>};

RecordedRun::RecordedRun(const Session& in, std::vector<Tensor> inputs, std::vector<Tensor> outputs, Tensor trace,
                         std::vector<Ref<VariableState>> variables, std::source_location where)
    : session_(in),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      trace_(std::move(trace)),
      variables_(std::move(variables)),
      where_(where) {}

std::vector<Tensor> RecordedRun::call(std::span<const Tensor> inputs, std::shared_ptr<const void> owner) {
  size_t tapes = 0;
  for (const Tape* t = t_state.tape; t; t = t->next()) ++tapes;
  build_all(tapes);
  return call(inputs, {}, std::move(owner));
}

std::vector<Tensor> RecordedRun::call(std::span<const Tensor> inputs, Tensor trace, std::shared_ptr<const void> owner) {
  std::vector<Feed::Value> values;
  for (const Tensor& t : inputs) values.emplace_back(t, std::source_location{});
  if (of_gradients_) values.emplace_back(trace, std::source_location{});
  const PreparedRun& run = prepared();
  std::vector<Tensor> results(run.num_fetches());
  run.call(values, results);
  if (!of_gradients_) trace = results[outputs_.size()];
  results.resize(outputs_.size());
  Outputs recorded;
  for (Tensor& t : results) {
    if (is_floating(t.dtype())) t = renamed(t);  // as the output of a node is, be it an input as well
    recorded.push_back(t);
  }
  if (!t_state.tape) return results;
  auto done = make_ref<Done>();
  done->run = shared_from_this();
  done->owner = std::move(owner);
  done->inputs.assign(inputs.begin(), inputs.end());
  done->trace = std::move(trace);
  const RecordedAttrs attrs{std::move(done)};
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) pointers.push_back(&t);
  for (Tape* tape = t_state.tape; tape; tape = tape->next()) {
    tape->record(kRecordedRunOp, pointers, attrs, where_, recorded, variables_);
    // Whatever was read inside: a graph's node stands for all that it might have read.
    for (const Tensor& t : results)
      if (is_floating(t.dtype())) tape->watch(t);
  }
  return results;
}

// What of a call is kept in its trace is known when it is planned: what the gradients that the graph has read of it. So
// those of as many orders as there are tapes are made before.
void RecordedRun::build_all(size_t orders) {
  if (orders == 0) return;
  const Gradients* first;
  {
    std::lock_guard lock(mutex_);
    if (orders_ >= orders) return;
    if (run_) run_->forget_plans();
    run_.reset();
    orders_ = orders;
  }
  Asked all;
  for (const Tensor& t : inputs_) all.first.push_back(is_floating(t.dtype()));
  all.first.resize(inputs_.size() + variables_.size(), true);
  for (const Tensor& t : outputs_) all.second.push_back(is_floating(t.dtype()));
  first = &gradients(all);
  if (first->run) first->run->build_all(orders - 1);
}

const PreparedRun& RecordedRun::prepared() {
  std::lock_guard lock(mutex_);
  if (!run_) {
    std::vector<Fetch> fetches(outputs_.begin(), outputs_.end()), keys(inputs_.begin(), inputs_.end());
    if (of_gradients_) {
      keys.emplace_back(trace_);
    } else {
      fetches.emplace_back(trace_);
      fetches.emplace_back(trace_.op());
    }
    run_.emplace(SessionParts::prepare(session_, fetches, keys, where_));
  }
  return *run_;
}

const RecordedRun::Gradients& RecordedRun::gradients(const Asked& asked) {
  std::lock_guard lock(mutex_);
  const auto known = gradients_.find(asked);
  return known != gradients_.end() ? known->second : gradients_.emplace(asked, build(asked)).first->second;
}

RecordedRun::Gradients RecordedRun::build(const Asked& asked) const {
  const DeferredMode deferred;
  const Graph graph = session_.graph();
  GraphData& g = *graph.data();
  const CurrentGraph in_home(g);
  const ControlScope free(g, {}, true);
  const SourceScope source_scope(where_);
  std::vector<Tensor> inputs = inputs_, ys, dys;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (!asked.second[i]) continue;
    ys.push_back(outputs_[i]);
    dys.push_back(placeholder(outputs_[i].dtype(), outputs_[i].shape(), {.name = "gradient"}, where_));
    inputs.push_back(dys.back());
  }
  std::vector<Differentiable> xs;
  std::vector<int> places;
  for (size_t i = 0; i < asked.first.size(); ++i) {
    if (!asked.first[i]) continue;
    places.push_back(static_cast<int>(i));
    if (i < inputs_.size())
      xs.emplace_back(inputs_[i]);
    else
      xs.emplace_back(Variable::of(variables_[i - inputs_.size()], Ref<RefCounted>(&g)));
  }
  const std::vector<Tensor> dxs = graph_gradients(ys, xs, dys, {});
  Gradients made;
  std::vector<Tensor> results, arrived;
  for (size_t i = 0; i < dxs.size(); ++i) {
    if (!dxs[i].defined()) continue;
    made.places.push_back(places[i]);
    results.push_back(dxs[i]);
    const Tensor tells = gradient_of(dxs[i]).arrived;
    made.arrived.push_back(tells.defined() ? static_cast<int>(arrived.size()) : -1);
    if (tells.defined()) arrived.push_back(tells);
  }
  if (results.empty()) return made;
  for (int& a : made.arrived)
    if (a >= 0) a += static_cast<int>(results.size());
  results.insert(results.end(), arrived.begin(), arrived.end());
  made.run = std::make_shared<RecordedRun>(session_, std::move(inputs), std::move(results), trace_, variables_, where_);
  made.run->of_gradients_ = true;
  return made;
}

void RecordedRun::differentiate(Backward& b) {
  const Done& done = *b.attrs<RecordedAttrs>().done;
  Asked asked;
  for (int i = 0; i < b.num_inputs(); ++i) asked.first.push_back(b.needs(i));
  std::vector<Tensor> inputs = done.inputs;
  for (int i = 0; i < b.num_outputs(); ++i) {
    const bool given = b.dy(i).defined() && is_floating(b.output(i).dtype());
    asked.second.push_back(given);
    if (given) inputs.push_back(b.dy(i));
  }
  const Gradients& gradients = done.run->gradients(asked);
  if (!gradients.run) return;
  std::vector<Tensor> dxs = gradients.run->call(inputs, done.trace, done.owner);
  for (size_t i = 0; i < gradients.places.size(); ++i) {
    if (gradients.arrived[i] < 0)
      b.dx(gradients.places[i], std::move(dxs[i]));
    else if (static_cast<bool>(dxs[static_cast<size_t>(gradients.arrived[i])]))
      b.dx_conditional(gradients.places[i], std::move(dxs[i]));
  }
}

}  // namespace twofold::internal
