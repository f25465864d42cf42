// The traces of functions that a file is to hold, gathered with all that they use. Not installed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <source_location>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <twofold/lib/saved/saved_program.h>
#include <twofold/lib/saved/writer.h>
#include <twofold/session/function_parts.h>

namespace twofold {

struct SavedProgram::Data {
  std::vector<std::pair<std::string, std::shared_ptr<internal::FunctionRunner::State>>> functions;  // in order
  std::map<std::string, std::shared_ptr<const std::vector<SavedSignature>>> signatures;
  std::map<std::string, Variable> variables;
  SavedInfo info;
  std::shared_ptr<RandomCounters> counters;
};

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

/// What a program's file holds, function by function.
class Collecting {
 public:
  using BodyOf = std::function<FunctionRunner::Body(size_t arguments)>;
  explicit Collecting(std::source_location where) : where_(where) {}

  /// @{
  /// Adds all traces of a function; an eager step's are made now. `body_of` may be null. Throws as `save` does.
  void add(const ToSave& f);
  void add(const std::string& name, FunctionRunner::State& state, const BodyOf& body_of);
  /// @}
  /// All that were added, with the values of their variables and what their random ops have drawn. Once.
  saved::ProgramRecord finish();

 private:
  using State = FunctionRunner::State;
  static void trace_called(State& state, const BodyOf& body_of);
  void add_trace(const std::string& name, State& state, const Built& b);
  void use(const Ref<VariableState>& v, State& state);
  void add_draws(State& state, uint64_t key, uint32_t generation);
  void read_values();

  const std::source_location where_;
  saved::ProgramRecord record_;
  std::vector<State*> states_;                             // by function of the record
  std::unordered_map<uint64_t, const Session*> sessions_;  // by variable; null: eager
  std::set<std::pair<uint64_t, uint32_t>> drawn_;
};

}  // namespace internal
}  // namespace twofold
