#include <twofold/lib/saved/saved_program.h>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <span>
#include <utility>

#include <twofold/lib/core/error.h>
#include <twofold/lib/io/file.h>
#include <twofold/lib/io/safetensors.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/lib/saved/collect.h>

namespace twofold {

using saved::FunctionRecord;
using saved::ProgramRecord;

std::ostream& operator<<(std::ostream& out, const SavedSignature& s) {
  const auto list = [&](const std::vector<SavedValue>& values) {
    for (size_t i = 0; i < values.size(); ++i)
      out << (i ? ", " : "") << values[i].name << ": " << values[i].dtype << ' ' << values[i].shape.str();
  };
  list((out << s.name << '(', s.arguments));
  list((out << ") -> (", s.results));
  out << ')';
  for (const std::string& guard : s.guards) out << (&guard == &s.guards[0] ? " where " : ", ") << guard;
  return out;
}

namespace internal {

ToSave::ToSave(std::string name, const SavedFunction& f) : name_(std::move(name)), runner_(&f.runner()) {}

namespace {

using State = FunctionRunner::State;

// The functions of a program that was read.
class Loading {
 public:
  Loading(ProgramRecord record, const LoadOptions& options, std::source_location where)
      : record_(std::move(record)), options_(options), where_(where) {}

  std::shared_ptr<const SavedProgram::Data> run() {
    data_->counters = record_.counters;
    data_->info = record_.info;
    for (const auto& d : record_.draws)
      if (d.count) (*data_->counters)[d.key] = d.count;
    const Device device = parse_device(options_.device, false);
    for (auto& [state, value] : record_.variables) {
      state->set_eager_value(renamed(moved_to(value, device)));
      data_->variables.emplace(state->name, Variable::of(state));
    }
    std::map<std::string, std::vector<SavedSignature>> signatures;
    for (FunctionRecord& f : record_.functions) {
      std::vector<Guard> guards = guards_of(f.body);
      signatures[f.name].push_back(signature_of(f, guards));
      add(f, std::move(guards));
    }
    for (auto& [name, list] : signatures)
      data_->signatures.emplace(name, std::make_shared<const std::vector<SavedSignature>>(std::move(list)));
    return data_;
  }

 private:
  static SavedSignature signature_of(const FunctionRecord& f, std::span<const Guard> guards) {
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
    for (const Guard& guard : guards) s.guards.push_back(describe(guard.attrs, guard.where));
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
                                                  .loaded = true,
                                                  .device = options_.device});
    state->home->data()->take_eager_variables();
    state->self = state;
    state->keeps = data_->counters;
    data_->functions.emplace_back(name, state);
    return *state;
  }

  void add(FunctionRecord& f, std::vector<Guard> guards) {
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
    traced.guards = std::move(guards);
    state.guarded |= !traced.guards.empty();
    built->number = state.next_number++;
    state.where = f.where;
    state.built.emplace(traced.signature, std::move(built));
  }

  ProgramRecord record_;
  const LoadOptions& options_;
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

namespace saved {

ProgramRecord record_of(std::initializer_list<internal::ToSave> functions, std::source_location where) {
  internal::Collecting all(where);
  for (const internal::ToSave& f : functions) all.add(f);
  return all.finish();
}

ProgramRecord record_of(const SavedProgram& program, std::source_location where) {
  internal::Collecting all(where);
  for (const auto& [name, state] : internal::SavedParts::data(program).functions) all.add(name, *state, nullptr);
  return all.finish();
}

SavedProgram program_of(ProgramRecord record, const LoadOptions& options, std::source_location where) {
  return internal::SavedParts::program(internal::Loading(std::move(record), options, where).run());
}

}  // namespace saved

namespace {
void write_file(const std::string& path, const ProgramRecord& record, const SaveOptions& options,
                std::source_location where) {
  const auto [tensors, metadata] = saved::write_program(record, options);
  io::save_safetensors(path, tensors, metadata, where);
  // Of processes that were killed while they saved.
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  io::remove_abandoned_files(folder.empty() ? "." : folder.string());
}
}  // namespace

void save(const std::string& path, std::initializer_list<internal::ToSave> functions, SaveOptions options,
          std::source_location where) {
  const SourceScope source_scope(where);
  if (functions.size() == 0)
    fail_at(where, "", Code::InvalidArgument, "There is nothing to save", R"(tf::save(path, {{"predict", predict}}))");
  write_file(path, saved::record_of(functions, where), options, where);
}

void save(const std::string& path, const SavedProgram& program, SaveOptions options, std::source_location where) {
  const SourceScope source_scope(where);
  write_file(path, saved::record_of(program, where), options, where);
}

SavedProgram load(const std::string& path, LoadOptions options, std::source_location where) {
  const SourceScope source_scope(where);
  const io::Safetensors file = io::load_safetensors(path, where);
  return saved::program_of(saved::read_program(file, path), options, where);
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

const SavedInfo& SavedProgram::info() const { return data_->info; }

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
