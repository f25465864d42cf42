// A model that a subcommand was given: one signature of a saved program, and running it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <twofold/twofold.h>

namespace CLI {
class App;
}

namespace command {

using Values = std::map<std::string, twofold::Tensor>;

/// "x, y": what an error lists.
std::string names_of(const std::vector<twofold::SavedValue>& values);
/// "gpu" as "/gpu:0". Throws UsageError for what is no device's name, NotFound for one that is not here.
std::string device_named(const std::string& name);

/// A signature of a program that was loaded.
class Model {
 public:
  /// Loads the file. `signature`: a function's name, or one and a number as in "predict:1" where it has several
  /// signatures; empty: the only one, else that called "predict". Throws UsageError, with a list.
  Model(const std::string& path, const std::string& signature);
  Model(const twofold::SavedProgram& program, const std::string& signature);

  const twofold::SavedProgram& program() const { return program_; }
  const twofold::SavedFunction& function() const { return function_; }
  /// Its number among the function's.
  size_t number() const { return number_; }
  const twofold::SavedSignature& signature() const { return function_.signatures()[number_]; }
  /// "predict(x: float32 (?, 784)) -> (y: float32 (?, 10))"
  std::string str() const;

 private:
  static std::pair<std::string, size_t> chosen(const twofold::SavedProgram& program, const std::string& signature);
  Model(const twofold::SavedProgram& program, const std::pair<std::string, size_t>& of);

  twofold::SavedProgram program_;
  twofold::SavedFunction function_;
  size_t number_;
};

/// Runs a model's signature, by a session of its own.
class Runner {
 public:
  /// Fetches the results named, all if none is. Throws UsageError for a name that there is not.
  Runner(const Model& model, const std::vector<std::string>& fetches, const twofold::SessionOptions& options);
  size_t num_results() const { return wanted_.size(); }
  /// Once, with what the function does besides. Precondition: `feeds` has all arguments.
  std::vector<std::pair<std::string, twofold::Tensor>> operator()(const Values& feeds) const;

 private:
  twofold::SavedGraph graph_;
  twofold::Session session_;
  std::vector<std::pair<std::string, twofold::Tensor>> wanted_;  // symbols, or values
  std::vector<twofold::Fetch> fetches_;                          // the symbols among them, then the call
};

}  // namespace command
