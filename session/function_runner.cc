#include <twofold/session/function_runner.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include <twofold/eager/tape.h>
#include <twofold/graph/control.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/function_parts.h>
#include <twofold/session/session_data.h>

namespace twofold {

namespace internal {
namespace {

// Throws FailedPrecondition if eager code has no value for it.
void check_has_value(const Fetch& f) {
  if (f.tensor().is_symbolic())
    fail(Code::FailedPrecondition, fmt::format("The symbol {} has no value in eager mode", to_string(f.tensor())),
         "session.run(x)");
  if (f.kind() == Fetch::Kind::name)
    fail(Code::FailedPrecondition, fmt::format("'{}' is a name in a graph; eager values have none", f.name()),
         "step.evaluate(v)");
  if (f.kind() == Fetch::Kind::variable && !f.variable()->is_eager()) Variable::of(f.variable()).read();  // throws
}

Tensor value_now(const Fetch& f) {
  check_has_value(f);
  return f.kind() == Fetch::Kind::variable ? Variable::of(f.variable()).read() : f.tensor();
}

// In a body that is built around this one, what a result is: a variable is read at the end.
Tensor symbol_now(const Fetch& f) {
  if (f.kind() == Fetch::Kind::variable) return Variable::of(f.variable()).read();
  if (f.kind() == Fetch::Kind::name) return get_default_graph().tensor(f.name());
  return f.tensor();  // undefined for an Operation, as in a run's results
}

bool any_symbol(const Arguments& arguments) {
  return std::ranges::any_of(arguments.values, [](const auto& v) { return v.tensor().is_symbolic(); });
}

}  // namespace

const char* FunctionRunner::State::word() const { return kind == Kind::step ? "step" : "function"; }

const Session& FunctionRunner::State::session() {
  if (given) return *given;
  std::shared_ptr<SharedSession> ready;
  {
    std::lock_guard lock(mutex);
    if (of_eager) {
      if (!own) own = std::make_unique<Session>(*home, SessionOptions{.device = device});
      return *own;
    }
    if (!shared) shared = SharedSession::of(*home);
    ready = shared;
  }
  return ready->ready();
}

const Graph& FunctionRunner::State::deferred_home() const {
  if (kind == Kind::step && of_eager)
    fail_at(where, "", Code::FailedPrecondition,
            fmt::format("A {} made in eager mode was called in deferred mode", word()),
            "make it in the mode it is called in");
  return *home;
}

void FunctionRunner::State::check_arguments(const Arguments& arguments, bool symbols) const {
  const auto values = arguments.values;
  if (values.size() < options.shapes.size())
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("A {} of {} shapes was called with {} arguments", word(), options.shapes.size(), values.size()),
            fmt::format("tf::{}(f, {{.shapes = {{...}}}}) with no more shapes than f has parameters", word()));
  for (size_t i = 0; i < values.size(); ++i) {
    const Feed::Value& v = values[i];
    if (v.is_tensor() && !v.tensor().defined())
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A {} takes values; argument {} is None: an undefined Tensor", word(), i),
              "if (t.defined()) ...");
    if (v.tensor().is_symbolic() && !symbols)
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A {} takes values; argument {} is the symbol {}", word(), i, twofold::to_string(v.tensor())),
              fmt::format("{}(session.run(x))", word()));
    if (i < options.shapes.size() && !spec_of(v).shape.compatible_with(options.shapes[i]))
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("Argument {} of a {} is of shape {}, but {} was declared", i, word(), spec_of(v).shape.str(),
                          options.shapes[i].str()),
              fmt::format("tf::{}(f, {{.shapes = {{...}}}}) with what all calls share, -1 where they differ", word()));
  }
}

Outputs FunctionRunner::State::call_node(const TracedFunction& traced, std::vector<Tensor> inputs) const {
  inputs.insert(inputs.end(), traced.captured.begin(), traced.captured.end());
  std::vector<const Tensor*> pointers;
  for (const Tensor& t : inputs) pointers.push_back(&t);
  const ControlScope after(current_graph(), traced.follows, false);
  const std::string called = node_name();  // which NextName refers to
  const NextName name(called);
  return apply_all(call_op, pointers, CallAttrs{traced.body}, where);
}

const PreparedRun& FunctionRunner::State::prepared(const Built& b, const Session& in) const {
  std::lock_guard lock(b.preparing);
  if (!b.run) {
    const CallInHome& call = call_in_home(b);
    std::vector<Fetch> fetches(call.outputs.begin(), call.outputs.end());
    fetches.emplace_back(call.trace.op());
    const std::vector<Fetch> keys(call.arguments.begin(), call.arguments.end());
    b.run.emplace(SessionParts::prepare(in, fetches, keys, where));
  }
  return *b.run;
}

std::shared_ptr<RecordedRun> FunctionRunner::State::recorded(const Built& b, const Session& in) const {
  std::lock_guard lock(b.preparing);
  if (!b.recorded) {
    const CallInHome& call = call_in_home(b);
    b.recorded = std::make_shared<RecordedRun>(in, call.arguments, call.outputs, call.trace,
                                               differentiable_variables(call_op, CallAttrs{b.traced.body}), where);
  }
  return b.recorded;
}

const CallInHome& FunctionRunner::State::call_in_home(const Built& b) const {
  if (b.in_home) return *b.in_home;
  const TracedFunction& traced = b.traced;
  const PhaseTimer timer(t_state.ledger, Phase::build);
  const DeferredMode deferred;
  GraphData& g = *home->data();
  const CurrentGraph in_home(g);
  const ControlScope free(g, {}, true);  // it runs now, whatever nodes made here are bound to
  const OnDevice on({traced.signature.device});
  CallInHome call;
  for (Edge parameter : traced.body.parameters) {
    const TensorSpec& spec = traced.body.graph->spec(parameter);
    call.arguments.push_back(placeholder(spec.dtype, spec.shape, {.name = node_name() + "/argument"}, where));
  }
  const Outputs outputs = call_node(traced, call.arguments);
  call.outputs.assign(outputs.begin(), outputs.end() - 1);
  call.trace = outputs[outputs.size() - 1];
  return b.in_home.emplace(std::move(call));
}

FunctionRunner::Result FunctionRunner::State::run_now(const Arguments& arguments, const Body& body) {
  const StepScope* const outer = t_state.step && t_state.step->is_eager() ? t_state.step : nullptr;
  const StepScope step(*this, true);
  std::vector<Tensor> tensors = tensors_of(arguments);
  if (t_state.device >= 0)  // as a deferred step's are taken to where they are read
    for (Tensor& t : tensors) t = moved_to(t, {t_state.device});
  Transaction transaction;
  Result result;
  std::vector<Fetch> returned;
  {
    // Within another step its tape goes on, so that gradients reach what was done before the call.
    std::optional<Tape> own_tape;
    if (!outer || !t_state.tape) own_tape.emplace(true);
    for (const Tensor& t : tensors)
      if (is_floating(t.dtype())) t_state.tape->watch(t);
    const BodyExecution execution(key);
    const SwitchReads reads;
    result.nest = std::make_shared<const std::any>(body(tensors, returned));
  }
  for (const Fetch& f : returned) check_has_value(f);  // before what was done is kept
  transaction.commit();
  note_call(arguments);
  for (const Fetch& f : returned) result.values.push_back(value_now(f));
  return result;
}

// What an eager step is called with, for it to be traced when it is saved.
void FunctionRunner::State::note_call(const Arguments& arguments) {
  std::lock_guard lock(mutex);
  if (!called.empty() && called.back().arguments.size() == arguments.values.size() && arguments.structure.empty()) {
    bool same = called.back().structure.empty();
    for (size_t i = 0; i < arguments.values.size(); ++i) {
      const TensorSpec spec = spec_of(arguments.values[i]);
      same = same && called.back().arguments[i] == std::pair(spec.dtype, spec.shape.rank());
    }
    if (same) return;  // as nearly always
  }
  Signature signature = signature_of(arguments);
  signature.device = -1;
  if (std::ranges::find(called, signature) == called.end()) called.push_back(std::move(signature));
}

void FunctionRunner::State::check_session(const StepScope* outer) const {
  if (outer && !of_eager && given != outer->session())
    fail_at(where, "", Code::FailedPrecondition,
            fmt::format("A {0} was called in the body of a {0} of another session: it would read other values of "
                        "variables than when it is called by itself",
                        word()),
            fmt::format("tf::{}(session, f) with one session for both", word()));
}

// In the body of a deferred step, or of a branch or loop that is built: as if this one's body stood there.
FunctionRunner::Result FunctionRunner::State::run_inline(const Arguments& arguments, const Body& body,
                                                         const StepScope* outer) {
  check_session(outer);
  const GraphData& around = *deferred_home().data();
  if (!of_eager && !current_graph().within(&around))
    fail_at(where, "", Code::FailedPrecondition,
            fmt::format("A {0} was called in the body of a {0} of another graph", word()),
            "make both while one graph is current");
  const StepScope step(*this, false);
  const NameScope name(node_name());
  std::vector<Tensor> tensors = tensors_of(arguments);
  for (Tensor& t : tensors)
    if (!t.is_symbolic()) t = graph_constant(t, "argument", where);
  std::vector<Fetch> returned;
  Result result;
  {
    const BodyExecution execution(key);
    result.nest = std::make_shared<const std::any>(body(tensors, returned));
  }
  for (const Fetch& f : returned) result.values.push_back(symbol_now(f));
  return result;
}

// A call with symbols: a node of their graph.
FunctionRunner::Result FunctionRunner::State::add_call(const Arguments& arguments, const Body& body,
                                                       const StepScope* outer) {
  check_session(outer);
  const auto now = find_or_trace(arguments, body);
  const TracedFunction& traced = now->traced;
  std::vector<Tensor> inputs = tensors_of(arguments);
  GraphData& g = surrounding_graph(inputs);
  check_belongs(g, traced);
  const DeferredMode deferred;
  const EnterGraph enter(g);
  for (Tensor& t : inputs)
    if (t.is_concrete()) t = graph_constant(t, node_name() + "/argument", where);
  const Outputs outputs = call_node(traced, std::move(inputs));
  Result result{traced.nest, traced.values};
  for (size_t i = 0; i < traced.places.size(); ++i) result.values[traced.places[i]] = outputs[i];
  return result;
}

// Throws unless what the trace captured can be had where `g` is run.
void FunctionRunner::State::check_belongs(const GraphData& g, const TracedFunction& traced) const {
  if (of_eager || g.within(home->data())) return;
  const Ref<VariableState>* variable = !traced.body.reads.empty()    ? &traced.body.reads[0]
                                       : !traced.body.writes.empty() ? &traced.body.writes[0]
                                                                     : nullptr;
  if (!variable && traced.captured.empty()) return;
  fail_at(where, "", Code::FailedPrecondition,
          variable ? fmt::format("A function that uses the variable '{}' was called in another graph than the "
                                 "variable's",
                                 (*variable)->name)
                   : fmt::format("A function that uses {} was called in another graph than that one's",
                                 twofold::to_string(traced.captured[0])),
          "make the function while that graph is current");
}

FunctionRunner::Result FunctionRunner::State::run_built(const Arguments& arguments, const Body& body) {
  deferred_home();
  return guarded ? run_guarded(arguments, body) : run_trace(*find_or_trace(arguments, body), arguments);
}

// Throws where a live tape watches what is a constant of the trace.
void FunctionRunner::State::check_unwatched(const TracedFunction& traced) const {
  for (const Tape* tape = t_state.tape; tape; tape = tape->next())
    for (const auto& used : traced.used)
      if (tape->watches(used.value))
        fail_at(used.where, "", Code::FailedPrecondition,
                fmt::format("A live tape watches a tensor that the body of a {}, made at {}, uses and that is no "
                            "argument of it: the tensor is a constant of the graph, to which no gradient goes",
                            word(), line_of(where)),
                "pass it as an argument, f(x, w), or keep it in a tf::Variable");
}

FunctionRunner::Result FunctionRunner::State::run_trace(const Built& b, const Arguments& arguments) {
  const TracedFunction& traced = b.traced;
  Result result{traced.nest, traced.values};
  const bool records = t_state.tape && kind == Kind::function;
  const Session& ready = session();  // with the variables that were made since
  std::vector<Tensor> values;
  if (records) {
    check_unwatched(traced);
    values = recorded(b, ready)->call(tensors_of(arguments), self.lock());
  } else {
    const PreparedRun& run = prepared(b, ready);
    values.resize(run.num_fetches());
    run.call(arguments.values, values);
  }
  for (size_t i = 0; i < traced.places.size(); ++i) result.values[traced.places[i]] = std::move(values[i]);
  return result;
}

FunctionRunner::FunctionRunner(Kind kind, const Session* session, FunctionOptions options, std::source_location where)
    : kind_(kind == Kind::trace ? Kind::function : kind),
      state_(new State{.kind = kind_,
                       .given = session,
                       .options = std::move(options),
                       .where = where,
                       .key = new_body_key(kind == Kind::step ? "step" : "function")}) {
  State& s = *state_;
  s.self = state_;
  s.guarded = kind == Kind::trace;
  if (!s.options.name.empty()) GraphData::check_name(s.options.name);
  if (!executing_eagerly()) {
    s.home = session ? session->graph() : get_default_graph();
  } else {
    s.home.emplace();
    s.home->data()->take_eager_variables();
    s.of_eager = true;
    s.given = nullptr;
  }
}
FunctionRunner::FunctionRunner(Kind kind, std::shared_ptr<State> state) : kind_(kind), state_(std::move(state)) {}
FunctionRunner::~FunctionRunner() = default;
FunctionRunner::FunctionRunner(FunctionRunner&&) noexcept = default;
FunctionRunner& FunctionRunner::operator=(FunctionRunner&&) noexcept = default;

void FunctionRunner::check_not_moved() const {
  if (!state_)
    fail(Code::FailedPrecondition,
         fmt::format("The {} was moved to another one", kind_ == Kind::step ? "step" : "function"), "call that one");
}

FunctionRunner::Result FunctionRunner::call(const Arguments& arguments, const Body& body) {
  check_not_moved();
  State& s = *state_;
  const bool eager = executing_eagerly();
  const StepScope* const outer = !eager && t_state.step && !t_state.step->is_eager() ? t_state.step : nullptr;
  const bool within = outer || (!eager && current_graph().outer());
  const bool is_step = s.kind == Kind::step;
  s.check_arguments(arguments, within || (!is_step && !eager));
  if (is_step && eager) return s.run_now(arguments, body);
  // What the body of a guarded function reads guards the trace that is being made.
  const bool reads = within && s.guarded && !s.loaded && BodySymbols::answers(current_graph());
  if (reads || (is_step && within)) return s.run_inline(arguments, body, outer);
  if (within || any_symbol(arguments)) return s.add_call(arguments, body, outer);
  return s.run_built(arguments, body);
}

Tensor FunctionRunner::evaluate(const Fetch& fetch, std::source_location where) {
  const SourceScope source_scope(where);
  check_not_moved();
  if (executing_eagerly()) return value_now(fetch);
  if (fetch.kind() == Fetch::Kind::tensor && !fetch.tensor().is_symbolic()) return fetch.tensor();
  state_->deferred_home();
  return state_->session().run(std::vector<Fetch>{fetch}, {}, where)[0];
}

}  // namespace internal
}  // namespace twofold
