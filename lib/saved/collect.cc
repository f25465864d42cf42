#include <twofold/lib/saved/collect.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/body_gradient.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/value.h>
#include <twofold/session/session_data.h>

namespace twofold::internal {

using saved::FunctionRecord;
using State = FunctionRunner::State;

namespace {

// Calls `f(graph, node)` for each node that a body has, and those within it.
template <class F>
void for_each_node(const Body& body, std::set<const GraphData*>& seen, const F& f) {
  if (!body.graph || !seen.insert(body.graph.get()).second) return;
  for (uint32_t id = 0; id < body.graph->size(); ++id) {
    const Node& n = body.graph->node(id);
    f(n);
    for (const Body* inner : bodies_of(*n.op, n.attrs_view())) for_each_node(*inner, seen, f);
  }
}

// "x", or "x0", "x1" of several.
std::string name_of_place(const char* letter, size_t i, size_t n) {
  return n == 1 ? letter : fmt::format("{}{}", letter, i);
}

}  // namespace

void Collecting::add(const ToSave& f) {
  add(SavedParts::name(f), SavedParts::state(f), [&](size_t n) { return SavedParts::body(f, n); });
}

void Collecting::add(const std::string& name, State& state, const BodyOf& body_of) {
  if (name.empty()) fail_at(where_, "", Code::InvalidArgument, "A saved function needs a name", R"({{"predict", f}})");
  if (std::ranges::find(record_.functions, name, &FunctionRecord::name) != record_.functions.end())
    fail_at(where_, "", Code::InvalidArgument, fmt::format("Two functions are to be saved as '{}'", name));
  trace_called(state, body_of);
  std::vector<std::shared_ptr<const Built>> traces;
  {
    std::lock_guard lock(state.mutex);
    for (auto it = state.built.begin(); it != state.built.end();) {
      const auto end = state.built.upper_bound(it->first);
      if (state.guarded) {  // those of one signature serve together
        for (; it != end; ++it)
          if (SwitchReads::hold(it->second->traced.settings)) traces.push_back(it->second);
        continue;
      }
      // Of several for one signature the one that serves now, or else the last that was made.
      auto best = it->second;
      for (; it != end; ++it) {
        const bool holds = SwitchReads::hold(it->second->traced.settings);
        const bool best_holds = SwitchReads::hold(best->traced.settings);
        if (holds != best_holds ? holds : it->second->number > best->number) best = it->second;
      }
      if (!SwitchReads::outdated(best->traced.settings)) traces.push_back(std::move(best));
    }
  }
  std::ranges::sort(traces, {}, [](const auto& b) { return b->number; });
  if (traces.empty())
    fail_at(where_, "", Code::FailedPrecondition,
            fmt::format("The {} '{}' was not called yet, so that there is no graph of it", state.word(), name),
            "call it once with arguments of each kind that the file is to serve");
  for (const auto& b : traces) add_trace(name, state, *b);
}

saved::ProgramRecord Collecting::finish() {
  std::set<const GraphData*> seen;
  for (size_t i = 0; i < record_.functions.size(); ++i)
    for_each_node(record_.functions[i].body, seen, [&](const Node& n) {
      if (n.op->flags.random) add_draws(*states_[i], random_key_of(n.attrs_view()), n.generation);
    });
  read_values();
  return std::move(record_);
}

// An eager step has no graph until now.
void Collecting::trace_called(State& state, const BodyOf& body_of) {
  std::vector<Signature> called;
  {
    std::lock_guard lock(state.mutex);
    called = state.called;
  }
  for (const Signature& s : called) {
    const auto body = s.structure.empty() && body_of ? body_of(s.arguments.size()) : nullptr;
    if (!body)
      fail_at(state.where, "", Code::Unimplemented,
              "An eager step that takes nests, or more than eight tensors, cannot be saved",
              "tf::function(f) instead of tf::step(f), or call the step in deferred mode");
    state.find_or_trace(s, {}, body);
  }
}

void Collecting::add_trace(const std::string& name, State& state, const Built& b) {
  const TracedFunction& traced = b.traced;
  FunctionRecord f{.name = name, .body = state.closed_body(b), .device = traced.signature.device, .where = state.where};
  const size_t n = f.body.parameters.size();
  for (size_t i = 0; i < n; ++i)
    f.arguments.push_back(i < traced.argument_names.size() ? traced.argument_names[i] : name_of_place("x", i, n));
  for (size_t i = 0; i < traced.values.size(); ++i) {
    const auto place = std::ranges::find(traced.places, i);
    f.results.push_back(
        {.name = i < traced.result_names.size() ? traced.result_names[i] : name_of_place("y", i, traced.values.size()),
         .output = place == traced.places.end() ? -1 : place - traced.places.begin(),
         .constant = traced.values[i]});
  }
  for (const auto* list : {&f.body.reads, &f.body.writes})
    for (const auto& v : *list) use(v, state);
  record_.functions.push_back(std::move(f));
  states_.push_back(&state);
}

void Collecting::use(const Ref<VariableState>& v, State& state) {
  const Session* const session = v->is_eager() ? nullptr : &state.session();
  const auto [known, is_new] = sessions_.try_emplace(v->id, session);
  if (is_new) record_.variables.emplace_back(v, Tensor());
  if (known->second != session)
    fail_at(where_, "", Code::FailedPrecondition,
            fmt::format("The variable '{}' has a value in each of two sessions, whose functions are to be saved "
                        "together",
                        v->name),
            "tf::function(session, f) with one session for all");
}

void Collecting::add_draws(State& state, uint64_t key, uint32_t generation) {
  if (!drawn_.insert({key, generation}).second) return;
  const uint64_t count = SessionParts::data(state.session()).count(key, generation);
  record_.draws.push_back({key, generation, count});
}

// All of one session at once, as one run reads them.
void Collecting::read_values() {
  std::map<const Session*, std::vector<size_t>> by_session;
  for (size_t i = 0; i < record_.variables.size(); ++i)
    by_session[sessions_.at(record_.variables[i].first->id)].push_back(i);
  for (const auto& [session, places] : by_session) {
    std::vector<Fetch> fetches;
    for (size_t i : places) fetches.emplace_back(Variable::of(record_.variables[i].first));
    const std::vector<Tensor> values = session ? session->run(fetches, {}, where_) : std::vector<Tensor>();
    for (size_t k = 0; k < places.size(); ++k) {
      auto& [v, value] = record_.variables[places[k]];
      value = session ? values[k] : v->eager_value();
    }
  }
}

}  // namespace twofold::internal
