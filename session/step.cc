#include <twofold/session/step.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>

#include <twofold/eager/tape.h>
#include <twofold/graph/body.h>
#include <twofold/graph/graph_data.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/switch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/report/ledger.h>

namespace twofold::internal {
namespace {

// The session that steps of one graph share.
class SharedSession {
 public:
  explicit SharedSession(const Graph& graph) : session_(graph) {}

  static std::shared_ptr<SharedSession> of(const Graph& graph) {
    static std::mutex g_mutex;
    static auto* g_sessions = new std::unordered_map<uint64_t, std::weak_ptr<SharedSession>>;  // by graph id
    std::lock_guard lock(g_mutex);
    std::erase_if(*g_sessions, [](const auto& entry) { return entry.second.expired(); });
    auto& known = (*g_sessions)[graph.data()->id()];
    auto session = known.lock();
    if (!session) known = session = std::make_shared<SharedSession>(graph);
    return session;
  }

  /// The session, with every variable of the graph initialised.
  const Session& ready() {
    std::lock_guard lock(mutex_);
    const Graph graph = session_.graph();
    const auto size = graph.data()->size();
    if (size == seen_) return session_;
    const auto variables = graph.data()->variables();
    std::vector<Fetch> initializers;
    for (size_t i = initialized_; i < variables.size(); ++i)
      initializers.emplace_back(Operation(Ref<GraphData>(graph.data()), variables[i].initializer));
    if (!initializers.empty()) session_.run(initializers);
    initialized_ = variables.size();
    seen_ = size;
    return session_;
  }

 private:
  Session session_;
  std::mutex mutex_;        // guards all below
  uint32_t seen_ = 0;       // the graph's size when variables were last looked for
  size_t initialized_ = 0;  // of the graph's variables, in order of creation
};

// The body built for arguments of certain dtypes and ranks, with switches as they stood.
struct Built {
  SwitchReads::List switches;
  std::shared_ptr<const std::any> nest;
  std::vector<Tensor> values;   // results that are values already; undefined where `run` gives them
  std::vector<size_t> fetched;  // result i of `run` is values[fetched[i]]; effects follow
  std::optional<Callable> run;  // none if there is nothing to run
};

using Signature = std::vector<std::pair<DType, int>>;

TensorSpec spec_of(const Feed::Value& v) {
  if (v.is_tensor()) return {v.tensor().dtype(), v.tensor().shape()};
  return {v.literal().default_dtype(), v.literal().shape()};
}

void check_arguments(std::initializer_list<Feed::Value> arguments, std::source_location where) {
  for (const Feed::Value& v : arguments) {
    const auto i = &v - arguments.begin();
    if (v.is_tensor() && !v.tensor().defined())
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A step takes values; argument {} is None: an undefined Tensor", i), "if (t.defined()) ...");
    if (v.tensor().is_symbolic())
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A step takes values; argument {} is the symbol {}", i, to_string(v.tensor())),
              "step(session.run(x))");
  }
}

// Nodes that do something, by themselves or in a branch or loop of theirs.
std::vector<Operation> effects(GraphData& g, uint32_t begin) {
  std::vector<Operation> found;
  for (uint32_t id = begin; id < g.size(); ++id) {
    const Node& n = g.node(id);
    const auto bodies = bodies_of(*n.op, n.attrs_view());
    if (n.op->flags.effect || std::ranges::any_of(bodies, [](const Body* b) { return !b->effects.empty(); }))
      found.emplace_back(Ref<GraphData>(&g), id);
  }
  return found;
}

Tensor value_now(const Fetch& f) {
  switch (f.kind()) {
    case Fetch::Kind::tensor:
      if (f.tensor().is_symbolic())
        fail(Code::FailedPrecondition, fmt::format("The symbol {} has no value in eager mode", to_string(f.tensor())),
             "session.run(x)");
      return f.tensor();
    case Fetch::Kind::variable: return Variable(f.variable()).read();
    case Fetch::Kind::operation: return {};
    case Fetch::Kind::name: break;
  }
  fail(Code::FailedPrecondition, fmt::format("'{}' is a name in a graph; eager values have none", f.name()),
       "step.evaluate(v)");
}

}  // namespace

struct StepRunner::State {
  const Session* given;
  std::source_location where;
  RandomBody random;
  std::optional<Graph> graph;  // none for a step made in eager mode

  std::mutex mutex;  // guards all below
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
      if (SwitchReads::hold(it->second->switches)) return it->second;
    return nullptr;
  }
  std::shared_ptr<const Built> build(const Signature& signature, const Body& body);
};

std::shared_ptr<const Built> StepRunner::State::build(const Signature& signature, const Body& body) {
  PhaseTimer timer(t_state.ledger, Phase::build);
  auto made = std::make_shared<Built>();
  std::vector<Fetch> returned;
  std::vector<Fetch> keys;
  const auto scope = graph->as_default();
  const uint32_t begin = graph->data()->size();
  {
    const NameScope name("step");
    std::vector<Tensor> arguments;
    for (const auto& [dtype, rank] : signature) {
      arguments.push_back(placeholder(dtype, Shape::of_rank(rank), {.name = "argument"}, where));
      keys.emplace_back(arguments.back());
    }
    const RandomFrame frame(random);
    const SwitchReads reads;
    made->nest = std::make_shared<const std::any>(body(arguments, returned));
    made->switches = reads.list();
  }
  std::vector<Fetch> fetches;
  for (size_t i = 0; i < returned.size(); ++i) {
    const bool is_value = returned[i].kind() == Fetch::Kind::tensor && !returned[i].tensor().is_symbolic();
    made->values.push_back(is_value ? returned[i].tensor() : Tensor());
    if (is_value) continue;
    fetches.push_back(returned[i]);
    made->fetched.push_back(i);
  }
  for (Operation& effect : effects(*graph->data(), begin)) fetches.emplace_back(std::move(effect));
  timer.stop();
  if (!fetches.empty()) made->run.emplace(session().make_callable(fetches, keys, where));
  return made;
}

StepRunner::StepRunner(const Session* session, std::source_location where)
    : state_(new State{.given = session, .where = where, .random = new_random_body("step")}) {
  if (!executing_eagerly()) state_->graph = session ? session->graph() : get_default_graph();
}
StepRunner::~StepRunner() = default;

StepRunner::Result StepRunner::call(std::initializer_list<Feed::Value> arguments, const Body& body) {
  check_arguments(arguments, state_->where);
  Result result;
  if (executing_eagerly()) {
    std::vector<Tensor> tensors;
    for (const Feed::Value& v : arguments)
      tensors.push_back(v.is_tensor() ? v.tensor() : v.literal().to_tensor(v.literal().default_dtype()));
    if (t_state.device >= 0)  // as a deferred step's are taken to where they are read
      for (Tensor& t : tensors) t = moved_to(t, {t_state.device});
    std::vector<Fetch> returned;
    {
      Tape tape(true);
      for (const Tensor& t : tensors)
        if (is_floating(t.dtype())) tape.watch(t);
      const RandomFrame frame(state_->random);
      const SwitchReads reads;
      result.nest = std::make_shared<const std::any>(body(tensors, returned));
    }
    for (const Fetch& f : returned) result.values.push_back(value_now(f));
    return result;
  }
  State& s = *state_;
  s.deferred_graph();
  Signature signature;
  for (const Feed::Value& v : arguments) {
    const TensorSpec spec = spec_of(v);
    signature.emplace_back(spec.dtype, spec.shape.rank());
  }
  std::shared_ptr<const Built> built;
  {
    std::unique_lock lock(s.mutex);
    built = s.find(signature);
  }
  if (!built) {
    auto made = s.build(signature, body);
    std::lock_guard lock(s.mutex);
    built = s.find(signature);
    if (!built) built = s.built.emplace(std::move(signature), std::move(made))->second;
  }
  result.nest = built->nest;
  result.values = built->values;
  if (built->run) {
    if (!s.given) s.session();
    std::vector<Tensor> values = built->run->call_all(arguments);
    for (size_t i = 0; i < built->fetched.size(); ++i) result.values[built->fetched[i]] = std::move(values[i]);
  }
  return result;
}

Tensor StepRunner::evaluate(const Fetch& fetch, std::source_location where) {
  const SourceFrame frame(where);
  if (executing_eagerly()) return value_now(fetch);
  if (fetch.kind() == Fetch::Kind::tensor && !fetch.tensor().is_symbolic()) return fetch.tensor();
  state_->deferred_graph();
  return state_->session().run(std::vector<Fetch>{fetch}, {}, where)[0];
}

}  // namespace twofold::internal
