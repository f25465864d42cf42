#include <twofold/session/step.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include <twofold/eager/tape.h>
#include <twofold/graph/body.h>
#include <twofold/graph/body_symbols.h>
#include <twofold/graph/control.h>
#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/core/log.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/switch.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/session_data.h>
#include <twofold/session/shared_session.h>

namespace twofold {

/// A body that is under way on this thread, in either mode.
class StepScope {
 public:
  /// Throws FailedPrecondition if `step`, made at `where`, is under way already.
  StepScope(const void* step, bool eager, const Session* session, std::source_location where)
      : eager_(eager), session_(session), step_(step), outer_(t_state.step) {
    for (const StepScope* s = outer_; s; s = s->outer_)
      if (s->step_ == step)
        fail_at(where, "", Code::FailedPrecondition,
                "A step was called in its own body, which would never end: steps may call other steps, not themselves",
                "tf::while_loop for what repeats, or a function that both call");
    t_state.step = this;
  }
  ~StepScope() { t_state.step = outer_; }
  StepScope(const StepScope&) = delete;
  StepScope& operator=(const StepScope&) = delete;

  bool is_eager() const { return eager_; }
  /// The one given for it; null: its graph's.
  const Session* session() const { return session_; }

 private:
  const bool eager_;
  const Session* const session_;
  const void* const step_;
  const StepScope* const outer_;
};

namespace internal {
namespace {

// The body built for arguments of certain dtypes and ranks, with settings as they stood.
struct Built {
  SwitchReads::List settings;
  std::shared_ptr<const std::any> nest;
  std::vector<Tensor> values;           // results that are values already; undefined where `run` gives them
  std::vector<size_t> fetched;          // result i of `run` is values[fetched[i]]; effects follow
  std::optional<PreparedRun> run;       // none if there is nothing to run
  std::vector<BodySymbols::Used> used;  // values that the program held beside the body
};

// Which build serves a call: the device that a guard chooses, then dtypes and ranks of the arguments.
using Signature = std::pair<int8_t, std::vector<std::pair<DType, int>>>;

TensorSpec spec_of(const Feed::Value& v) {
  if (v.is_tensor()) return {v.tensor().dtype(), v.tensor().shape()};
  return {v.literal().default_dtype(), v.literal().shape()};
}

void check_arguments(std::initializer_list<Feed::Value> arguments, const std::vector<Shape>& shapes, bool symbols,
                     std::source_location where) {
  if (arguments.size() < shapes.size())
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("A step of {} shapes was called with {} arguments", shapes.size(), arguments.size()),
            "tf::step(f, {.shapes = {...}}) with no more shapes than f has parameters");
  for (const Feed::Value& v : arguments) {
    const auto i = static_cast<size_t>(&v - arguments.begin());
    if (v.is_tensor() && !v.tensor().defined())
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A step takes values; argument {} is None: an undefined Tensor", i), "if (t.defined()) ...");
    if (v.tensor().is_symbolic() && !symbols)
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A step takes values; argument {} is the symbol {}", i, to_string(v.tensor())),
              "step(session.run(x))");
    if (i < shapes.size() && !spec_of(v).shape.compatible_with(shapes[i]))
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("Argument {} of a step is of shape {}, but {} was declared", i, spec_of(v).shape.str(),
                          shapes[i].str()),
              "tf::step(f, {.shapes = {...}}) with what all calls share, -1 where they differ");
  }
}

// Those of `nodes` that do something, by themselves or in a branch or loop of theirs, and what checks and is not read:
// eager, the body does it all. `fetched` is run anyway.
std::vector<Operation> effects(GraphData& g, std::span<const uint32_t> nodes, std::span<const Fetch> fetched) {
  std::vector<uint32_t> found;
  for (uint32_t id : nodes) {
    const Node& n = g.node(id);
    const auto bodies = bodies_of(*n.op, n.attrs_view());
    if (n.op->flags.effect || n.op->flags.random ||
        std::ranges::any_of(bodies, [](const Body* b) { return !b->effects.empty(); }))
      found.push_back(id);
  }
  std::vector<uint32_t> needed = found;
  for (const Fetch& f : fetched) {
    if (f.tensor().is_symbolic()) needed.push_back(f.tensor().node());
    if (f.operation().defined()) needed.push_back(f.operation().node());
  }
  const std::vector<uint32_t> unread = unread_checks(g, nodes, needed);
  found.insert(found.end(), unread.begin(), unread.end());
  std::ranges::sort(found);
  std::vector<Operation> all;
  for (uint32_t id : found) all.emplace_back(Ref<GraphData>(&g), id);
  return all;
}

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

// In a body that is built, what a result is: a variable is read at the end.
Tensor symbol_now(const Fetch& f) {
  if (f.kind() == Fetch::Kind::variable) return Variable::of(f.variable()).read();
  if (f.kind() == Fetch::Kind::name) return get_default_graph().tensor(f.name());
  return f.tensor();  // undefined for an Operation, as in a run's results
}

}  // namespace

struct StepRunner::State {
  const Session* given;
  StepOptions options;
  std::source_location where;
  BodyKey random;
  std::optional<Graph> graph;  // none for a step made in eager mode

  std::atomic<bool> warned = false;

  std::recursive_mutex building;  // held while the body is built, which may touch what only one thread may
  std::mutex mutex;               // guards all below; taken after `building`
  std::shared_ptr<SharedSession> shared;
  std::multimap<Signature, std::shared_ptr<const Built>> built;

  const Session& session() {
    if (given) return *given;
    {
      std::lock_guard lock(mutex);
      if (!shared) shared = SharedSession::of(*graph);
    }
    return shared->ready();
  }

  const Graph& deferred_graph() const {
    if (!graph)
      fail_at(where, "", Code::FailedPrecondition, "A step made in eager mode was called in deferred mode",
              "make it in the mode it is called in");
    return *graph;
  }

  /// Null if it was not built so yet. Precondition: mutex is held.
  std::shared_ptr<const Built> find(const Signature& signature) const {
    for (auto [it, end] = built.equal_range(signature); it != end; ++it)
      if (SwitchReads::hold(it->second->settings)) return it->second;
    return nullptr;
  }
  std::shared_ptr<const Built> build(const Signature& signature, const Body& body);
  std::shared_ptr<const Built> find_or_build(const Signature& signature, const Body& body);
  void drop_outdated();
  Result run_now(std::initializer_list<Feed::Value> arguments, const Body& body);
  Result run_inline(std::initializer_list<Feed::Value> arguments, const Body& body, const StepScope* outer);
  Result run_built(std::initializer_list<Feed::Value> arguments, const Body& body);
  void warn_of_held(std::span<const uint32_t> nodes);
  void warn_of_gone(const Built& built);
};

std::shared_ptr<const Built> StepRunner::State::build(const Signature& signature, const Body& body) {
  PhaseTimer timer(t_state.ledger, Phase::build);
  auto made = std::make_shared<Built>();
  std::vector<Fetch> returned;
  std::vector<Fetch> keys;
  const auto scope = graph->as_default();
  const ControlScope free(*graph->data(), {}, true);  // the step runs now, whatever nodes made here are bound to
  BodySymbols symbols(*graph->data());
  {
    const StepScope step(this, false, given, where);
    const NameScope name("step");
    std::vector<Tensor> arguments;
    for (const auto& [dtype, rank] : signature.second) {
      const size_t i = arguments.size();
      const bool declared = i < options.shapes.size() && options.shapes[i].has_rank();
      const Shape shape = declared ? options.shapes[i] : Shape::of_rank(rank);
      arguments.push_back(placeholder(dtype, shape, {.name = "argument"}, where));
      keys.emplace_back(arguments.back());
    }
    const BodyExecution execution(random);
    const SwitchReads reads;
    made->nest = std::make_shared<const std::any>(body(arguments, returned));
    made->settings = reads.list();
  }
  std::vector<Fetch> fetches;
  for (size_t i = 0; i < returned.size(); ++i) {
    const bool is_value = returned[i].kind() == Fetch::Kind::tensor && !returned[i].tensor().is_symbolic();
    made->values.push_back(is_value ? returned[i].tensor() : Tensor());
    if (is_value) continue;
    fetches.push_back(returned[i]);
    made->fetched.push_back(i);
  }
  for (Operation& effect : effects(*graph->data(), symbols.nodes(), fetches)) fetches.emplace_back(std::move(effect));
  timer.stop();
  if (!fetches.empty()) made->run.emplace(SessionParts::prepare(session(), fetches, keys, where));
  symbols.close();
  std::vector<uint32_t> known;  // handles that the nest, wanted for its form, and the callable hold
  for (const Fetch& f : returned)
    if (f.tensor().is_symbolic()) known.push_back(f.tensor().node());
  for (const Fetch& f : keys)
    if (made->run) known.push_back(f.tensor().node());
  returned.clear(), fetches.clear(), keys.clear();
  if (const auto held = symbols.held(known); !held.empty()) warn_of_held(held);
  made->used = symbols.shared_values();
  return made;
}

std::shared_ptr<const Built> StepRunner::State::find_or_build(const Signature& signature, const Body& body) {
  std::lock_guard one(building);
  {
    std::lock_guard lock(mutex);
    if (auto made = find(signature)) return made;  // by another thread
  }
  auto made = build(signature, body);
  drop_outdated();
  std::lock_guard lock(mutex);
  built.emplace(signature, made);
  return made;
}

// Builds that no call can use any more, with their plans.
void StepRunner::State::drop_outdated() {
  std::vector<std::shared_ptr<const Built>> outdated;  // end when the lock is given back
  {
    std::lock_guard lock(mutex);
    std::erase_if(built, [&](const auto& entry) {
      if (!SwitchReads::outdated(entry.second->settings)) return false;
      outdated.push_back(entry.second);
      return true;
    });
  }
  for (const auto& b : outdated)
    if (b->run) b->run->forget_plans();
}

void StepRunner::State::warn_of_held(std::span<const uint32_t> nodes) {
  if (warned.exchange(true)) return;
  const auto made = graph->data()->node(nodes[0]).where;
  warn(fmt::format(
      "The tensor made at {} in the body of a step{} is still held now that the body is built, as by a captured "
      "variable that was assigned there. It is a symbol: later calls of a deferred step do not change it, and nothing "
      "can use it. Return it from the body and pass it to the next call, or keep it in a tf::Variable.",
      line_of(made), nodes.size() > 1 ? fmt::format(", and {} more,", nodes.size() - 1) : ""));
}

void StepRunner::State::warn_of_gone(const Built& built) {
  for (const auto& used : built.used) {
    if (!used.is_gone() || warned.exchange(true)) continue;
    warn(fmt::format(
        "The value that the body of a step used at {}:{} is gone, or another one has been assigned where it was. A "
        "deferred step goes on with the value that it was built with. Pass it as an argument, or keep it in a "
        "tf::Variable.",
        used.where.file_name(), used.where.line()));
  }
}

StepRunner::StepRunner(const Session* session, StepOptions options, std::source_location where)
    : state_(
          new State{.given = session, .options = std::move(options), .where = where, .random = new_body_key("step")}) {
  if (!executing_eagerly()) state_->graph = session ? session->graph() : get_default_graph();
}
StepRunner::~StepRunner() = default;
StepRunner::StepRunner(StepRunner&&) noexcept = default;
StepRunner& StepRunner::operator=(StepRunner&&) noexcept = default;

void StepRunner::check_not_moved() const {
  if (!state_) fail(Code::FailedPrecondition, "The step was moved to another one", "call that one");
}

StepRunner::Result StepRunner::State::run_now(std::initializer_list<Feed::Value> arguments, const Body& body) {
  const StepScope* const outer = t_state.step && t_state.step->is_eager() ? t_state.step : nullptr;
  const StepScope step(this, true, given, where);
  std::vector<Tensor> tensors;
  for (const Feed::Value& v : arguments)
    tensors.push_back(v.is_tensor() ? v.tensor() : v.literal().to_tensor(v.literal().default_dtype()));
  if (t_state.device >= 0)  // as a deferred step's are taken to where they are read
    for (Tensor& t : tensors) t = moved_to(t, {t_state.device});
  Transaction transaction;
  Result result;
  std::vector<Fetch> returned;
  {
    // Within another step its tape goes on, so that gradients reach what was done before the call.
    std::optional<Tape> own;
    if (!outer || !t_state.tape) own.emplace(true);
    for (const Tensor& t : tensors)
      if (is_floating(t.dtype())) t_state.tape->watch(t);
    const BodyExecution execution(random);
    const SwitchReads reads;
    result.nest = std::make_shared<const std::any>(body(tensors, returned));
  }
  for (const Fetch& f : returned) check_has_value(f);  // before what was done is kept
  transaction.commit();
  for (const Fetch& f : returned) result.values.push_back(value_now(f));
  return result;
}

// In the body of a deferred step, or of a branch or loop that is built: as if this one's body stood there.
StepRunner::Result StepRunner::State::run_inline(std::initializer_list<Feed::Value> arguments, const Body& body,
                                                 const StepScope* outer) {
  if (outer && given != outer->session())
    fail_at(where, "", Code::FailedPrecondition,
            "A step was called in the body of a step of another session: it would read other values of variables than "
            "when it is called by itself",
            "tf::step(session, f) with one session for both");
  if (!current_graph().within(deferred_graph().data()))
    fail_at(where, "", Code::FailedPrecondition, "A step was called in the body of a step of another graph",
            "make both while one graph is current");
  const StepScope step(this, false, given, where);
  const NameScope name("step");
  std::vector<Tensor> tensors;
  for (const Feed::Value& v : arguments) {
    const Tensor t = v.is_tensor() ? v.tensor() : v.literal().to_tensor(v.literal().default_dtype());
    tensors.push_back(t.is_symbolic() ? t : graph_constant(t, "argument", where));
  }
  std::vector<Fetch> returned;
  Result result;
  {
    const BodyExecution execution(random);
    result.nest = std::make_shared<const std::any>(body(tensors, returned));
  }
  for (const Fetch& f : returned) result.values.push_back(symbol_now(f));
  return result;
}

StepRunner::Result StepRunner::State::run_built(std::initializer_list<Feed::Value> arguments, const Body& body) {
  deferred_graph();
  Signature signature{t_state.device, {}};
  for (const Feed::Value& v : arguments) {
    const TensorSpec spec = spec_of(v);
    signature.second.emplace_back(spec.dtype, spec.shape.rank());
  }
  std::shared_ptr<const Built> now;
  {
    std::lock_guard lock(mutex);
    now = find(signature);
  }
  if (!now) {
    now = find_or_build(signature, body);
  } else if (!now->used.empty()) {
    warn_of_gone(*now);
  }
  Result result{now->nest, now->values};
  if (now->run) {
    if (!given) session();
    std::vector<Tensor> values(now->run->num_fetches());
    now->run->call(arguments, values);
    for (size_t i = 0; i < now->fetched.size(); ++i) result.values[now->fetched[i]] = std::move(values[i]);
  }
  return result;
}

StepRunner::Result StepRunner::call(std::initializer_list<Feed::Value> arguments, const Body& body) {
  check_not_moved();
  State& s = *state_;
  const bool eager = executing_eagerly();
  const StepScope* const outer = !eager && t_state.step && !t_state.step->is_eager() ? t_state.step : nullptr;
  const bool within = outer || (!eager && current_graph().outer());
  check_arguments(arguments, s.options.shapes, within, s.where);
  if (eager) return s.run_now(arguments, body);
  return within ? s.run_inline(arguments, body, outer) : s.run_built(arguments, body);
}

Tensor StepRunner::evaluate(const Fetch& fetch, std::source_location where) {
  const SourceScope source_scope(where);
  check_not_moved();
  if (executing_eagerly()) return value_now(fetch);
  if (fetch.kind() == Fetch::Kind::tensor && !fetch.tensor().is_symbolic()) return fetch.tensor();
  state_->deferred_graph();
  return state_->session().run(std::vector<Fetch>{fetch}, {}, where)[0];
}

}  // namespace internal
}  // namespace twofold
