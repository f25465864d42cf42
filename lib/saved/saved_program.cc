#include <twofold/lib/saved/saved_program.h>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <set>
#include <unordered_map>
#include <utility>

#include <twofold/graph/body_gradient.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/lib/saved/writer.h>
#include <twofold/session/function_parts.h>
#include <twofold/session/session_data.h>

namespace twofold {

using saved::FunctionRecord;
using saved::ProgramRecord;

struct SavedProgram::Data {
  std::vector<std::pair<std::string, std::shared_ptr<internal::FunctionRunner::State>>> functions;  // in order
  std::map<std::string, std::shared_ptr<const std::vector<SavedSignature>>> signatures;
  std::map<std::string, Variable> variables;
  std::shared_ptr<RandomCounters> counters;
};

std::ostream& operator<<(std::ostream& out, const SavedSignature& s) {
  const auto list = [&](const std::vector<SavedValue>& values) {
    for (size_t i = 0; i < values.size(); ++i)
      out << (i ? ", " : "") << values[i].name << ": " << values[i].dtype << ' ' << values[i].shape.str();
  };
  list((out << s.name << '(', s.arguments));
  list((out << ") -> (", s.results));
  return out << ')';
}

namespace internal {

struct SavedParts {
  static const std::string& name(const ToSave& f) { return f.name_; }
  static FunctionRunner::State& state(const ToSave& f) { return FunctionParts::state(*f.runner_); }
  static FunctionRunner::Body body(const ToSave& f, size_t arguments) { return f.body_ ? f.body_(arguments) : nullptr; }
  static std::shared_ptr<SavedProgram::Data> new_data() { return std::make_shared<SavedProgram::Data>(); }
  static const SavedProgram::Data& data(const SavedProgram& p) { return *p.data_; }
  static SavedProgram program(std::shared_ptr<const SavedProgram::Data> data) { return SavedProgram(std::move(data)); }
  static SavedFunction function(std::shared_ptr<FunctionRunner::State> state,
                                std::shared_ptr<const std::vector<SavedSignature>> signatures) {
    return {FunctionParts::runner(std::move(state)), std::move(signatures)};
  }
};

ToSave::ToSave(std::string name, const SavedFunction& f) : name_(std::move(name)), runner_(&f.runner()) {}

namespace {

using State = FunctionRunner::State;

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

class Saving {
 public:
  Saving(const std::string& path, std::source_location where) : path_(path), where_(where) {}

  void add(const std::string& name, State& state, const std::function<FunctionRunner::Body(size_t)>& body_of) {
    if (name.empty())
      fail_at(where_, "", Code::InvalidArgument, "A saved function needs a name", R"({{"predict", f}})");
    if (std::ranges::find(record_.functions, name, &FunctionRecord::name) != record_.functions.end())
      fail_at(where_, "", Code::InvalidArgument, fmt::format("Two functions are to be saved as '{}'", name));
    trace_called(state, body_of);
    std::vector<std::shared_ptr<const Built>> traces;
    {
      std::lock_guard lock(state.mutex);
      for (const auto& [signature, b] : state.built)
        if (SwitchReads::hold(b->traced.settings)) traces.push_back(b);
    }
    std::ranges::sort(traces, {}, [](const auto& b) { return b->number; });
    if (traces.empty())
      fail_at(where_, "", Code::FailedPrecondition,
              fmt::format("The {} '{}' was not called yet, so that there is no graph of it", state.word(), name),
              "call it once with arguments of each kind that the file is to serve");
    for (const auto& b : traces) add_trace(name, state, *b);
  }

  void write(const SaveOptions& options) {
    std::set<const GraphData*> seen;
    std::map<std::pair<uint64_t, uint32_t>, uint64_t> draws;
    for (size_t i = 0; i < record_.functions.size(); ++i)
      for_each_node(record_.functions[i].body, seen, [&](const Node& n) {
        if (n.op->flags.random) add_draws(*states_[i], random_key_of(n.attrs_view()), n.generation);
      });
    read_values();
    const auto [tensors, metadata] = saved::write_program(record_, options);
    io::save_safetensors(path_, tensors, metadata, where_);
  }

 private:
  // An eager step has no graph until now.
  static void trace_called(State& state, const std::function<FunctionRunner::Body(size_t)>& body_of) {
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

  void add_trace(const std::string& name, State& state, const Built& b) {
    const TracedFunction& traced = b.traced;
    FunctionRecord f{.name = name, .body = state.closed_body(b), .where = state.where};
    const size_t n = f.body.parameters.size();
    for (size_t i = 0; i < n; ++i)
      f.arguments.push_back(i < traced.argument_names.size() ? traced.argument_names[i] : name_of_place("x", i, n));
    for (size_t i = 0; i < traced.values.size(); ++i) {
      const auto place = std::ranges::find(traced.places, i);
      f.results.push_back({.name = i < traced.result_names.size() ? traced.result_names[i]
                                                                  : name_of_place("y", i, traced.values.size()),
                           .output = place == traced.places.end() ? -1 : place - traced.places.begin(),
                           .constant = traced.values[i]});
    }
    for (const auto* list : {&f.body.reads, &f.body.writes})
      for (const auto& v : *list) use(v, state);
    record_.functions.push_back(std::move(f));
    states_.push_back(&state);
  }

  void use(const Ref<VariableState>& v, State& state) {
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

  void add_draws(State& state, uint64_t key, uint32_t generation) {
    if (!drawn_.insert({key, generation}).second) return;
    const uint64_t count = SessionParts::data(state.session()).count(key, generation);
    record_.draws.push_back({key, generation, count});
  }

  // All of one session at once, as one run reads them.
  void read_values() {
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

  const std::string& path_;
  const std::source_location where_;
  ProgramRecord record_;
  std::vector<State*> states_;                             // by function of the record
  std::unordered_map<uint64_t, const Session*> sessions_;  // by variable; null: eager
  std::set<std::pair<uint64_t, uint32_t>> drawn_;
};

// The functions of a program that was read.
class Loading {
 public:
  Loading(ProgramRecord record, std::source_location where) : record_(std::move(record)), where_(where) {}

  std::shared_ptr<const SavedProgram::Data> run() {
    data_->counters = record_.counters;
    for (const auto& d : record_.draws)
      if (d.count) (*data_->counters)[d.key] = d.count;
    for (auto& [state, value] : record_.variables) {
      state->set_eager_value(renamed(value));
      data_->variables.emplace(state->name, Variable::of(state));
    }
    std::map<std::string, std::vector<SavedSignature>> signatures;
    for (FunctionRecord& f : record_.functions) {
      signatures[f.name].push_back(signature_of(f));
      add(f);
    }
    for (auto& [name, list] : signatures)
      data_->signatures.emplace(name, std::make_shared<const std::vector<SavedSignature>>(std::move(list)));
    return data_;
  }

 private:
  static SavedSignature signature_of(const FunctionRecord& f) {
    SavedSignature s{.name = f.name};
    for (size_t i = 0; i < f.arguments.size(); ++i) {
      const TensorSpec& spec = f.body.graph->spec(f.body.parameters[i]);
      s.arguments.push_back({f.arguments[i], spec.dtype, spec.shape});
    }
    for (const auto& r : f.results) {
      SavedValue& value = s.results.emplace_back(SavedValue{r.name});
      if (r.output >= 0) {
        const TensorSpec& spec = f.body.output_spec(static_cast<size_t>(r.output));
        value.dtype = spec.dtype, value.shape = spec.shape;
      } else if (r.constant.defined()) {
        value.dtype = r.constant.dtype(), value.shape = r.constant.shape();
      }
    }
    return s;
  }

  State& state_of(const std::string& name) {
    for (auto& [known, state] : data_->functions)
      if (known == name) return *state;
    auto state = std::shared_ptr<State>(new State{.kind = FunctionRunner::Kind::function,
                                                  .given = nullptr,
                                                  .options = {.name = name},
                                                  .where = where_,
                                                  .key = {},
                                                  .home = Graph(),
                                                  .of_eager = true,
                                                  .loaded = true});
    state->home->data()->take_eager_variables();
    state->self = state;
    state->keeps = data_->counters;
    data_->functions.emplace_back(name, state);
    return *state;
  }

  void add(FunctionRecord& f) {
    State& state = state_of(f.name);
    auto built = std::make_shared<Built>();
    TracedFunction& traced = built->traced;
    traced.nest = std::make_shared<const std::any>(std::vector<Tensor>(f.results.size()));
    traced.values.resize(f.results.size());
    for (size_t i = 0; i < f.results.size(); ++i) {
      traced.result_names.push_back(f.results[i].name);
      if (f.results[i].output >= 0)
        traced.places.push_back(i);
      else
        traced.values[i] = f.results[i].constant;
    }
    for (Edge e : f.body.parameters) {
      const TensorSpec& spec = f.body.graph->spec(e);
      traced.signature.arguments.emplace_back(spec.dtype, spec.shape.has_rank() ? spec.shape.rank() : -1);
      traced.info.signature += fmt::format("{}{} {}", traced.info.signature.empty() ? "" : ", ",
                                           twofold::name_of(spec.dtype), spec.shape.str());
    }
    if (traced.info.signature.empty()) traced.info.signature = "no arguments";
    traced.info.reason = "it was saved";
    traced.info.nodes = f.body.graph->size();
    traced.argument_names = f.arguments;
    traced.body = std::move(f.body);
    built->number = state.next_number++;
    state.where = f.where;
    state.built.emplace(traced.signature, std::move(built));
  }

  ProgramRecord record_;
  const std::source_location where_;
  std::shared_ptr<SavedProgram::Data> data_ = SavedParts::new_data();
};

template <class Map>
std::string names_in(const Map& map) {
  std::string names;
  for (const auto& [name, value] : map) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace
}  // namespace internal

void save(const std::string& path, std::initializer_list<internal::ToSave> functions, SaveOptions options,
          std::source_location where) {
  const SourceScope source_scope(where);
  if (functions.size() == 0)
    fail_at(where, "", Code::InvalidArgument, "There is nothing to save", R"(tf::save(path, {{"predict", predict}}))");
  internal::Saving saving(path, where);
  for (const internal::ToSave& f : functions)
    saving.add(internal::SavedParts::name(f), internal::SavedParts::state(f),
               [&](size_t n) { return internal::SavedParts::body(f, n); });
  saving.write(options);
}

void save(const std::string& path, const SavedProgram& program, SaveOptions options, std::source_location where) {
  const SourceScope source_scope(where);
  internal::Saving saving(path, where);
  for (const auto& [name, state] : internal::SavedParts::data(program).functions) saving.add(name, *state, nullptr);
  saving.write(options);
}

SavedProgram load(const std::string& path, std::source_location where) {
  const SourceScope source_scope(where);
  const io::Safetensors file = io::load_safetensors(path, where);
  return internal::SavedParts::program(internal::Loading(saved::read_program(file, path), where).run());
}

std::vector<SavedSignature> SavedProgram::signatures() const {
  std::vector<SavedSignature> all;
  for (const auto& [name, state] : data_->functions) {
    const auto& some = *data_->signatures.at(name);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

SavedFunction SavedProgram::function(const std::string& name, Where where) const {
  for (const auto& [known, state] : data_->functions)
    if (known == name) return internal::SavedParts::function(state, data_->signatures.at(name));
  fail_at(where, "", Code::NotFound,
          fmt::format("The program has no function '{}'; it has {}", name, internal::names_in(data_->signatures)));
}

const std::map<std::string, Variable>& SavedProgram::variables() const { return data_->variables; }

Tensor SavedFunction::one_of(std::vector<Tensor> results) const {
  if (results.size() != 1)
    fail(Code::InvalidArgument, fmt::format("'{}' has {} results, not one", (*signatures_)[0].name, results.size()),
         "f.all(x)");
  return std::move(results[0]);
}

std::map<std::string, Tensor> SavedFunction::call_named(const std::map<std::string, Tensor>& arguments, Where where) {
  const auto& state = internal::FunctionParts::state(called_.runner());
  for (const auto& [signature, built] : state.built) {
    const auto& names = built->traced.argument_names;
    if (names.size() != arguments.size()) continue;
    std::vector<Feed::Value> values;
    for (const std::string& name : names)
      if (const auto given = arguments.find(name); given != arguments.end()) values.emplace_back(given->second, where);
    if (values.size() != names.size()) continue;
    std::vector<Fetch> none;
    const auto result = called_.runner().call({values, {}, where},
                                              [](std::span<const Tensor>, std::vector<Fetch>&) { return std::any(); });
    std::map<std::string, Tensor> named;
    for (size_t i = 0; i < result.values.size(); ++i) named.emplace(built->traced.result_names[i], result.values[i]);
    return named;
  }
  std::string wanted;
  for (const auto& [signature, built] : state.built)
    wanted += (wanted.empty() ? "" : " or ") + fmt::format("({})", fmt::join(built->traced.argument_names, ", "));
  fail_at(where, "", Code::InvalidArgument,
          fmt::format("'{}' takes {}, and was given ({})", state.options.name, wanted, internal::names_in(arguments)));
}

}  // namespace twofold
