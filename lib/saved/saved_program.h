// Programs in files: saved here, loaded where the code that built them is not.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <twofold/graph/graph.h>
#include <twofold/lib/runtime/math_mode.h>
#include <twofold/session/function.h>
#include <twofold/session/step.h>

namespace twofold {

class SavedFunction;

namespace internal {
struct SavedParts;

/// What can be saved under a name: a function, a step, or a function that was loaded.
class ToSave {
 public:
  template <class F>
  ToSave(std::string name, const Function<F>& f) : name_(std::move(name)), runner_(&f.runner()) {}
  template <class F>
  ToSave(std::string name, const Step<F>& f)
      : name_(std::move(name)), runner_(&f.runner()), body_([&f](size_t n) { return f.body_of(n); }) {}
  ToSave(std::string name, const SavedFunction& f);

 private:
  friend struct SavedParts;
  std::string name_;
  const FunctionRunner* runner_;
  std::function<FunctionRunner::Body(size_t)> body_;  // of a step, which has no trace in eager mode
};
}  // namespace internal

/// An argument or a result of a saved function.
struct SavedValue {
  std::string name;       ///< as `FunctionOptions` gave it
  DType dtype = float32;  ///< that it must be of
  Shape shape;            ///< as far as it is known
};

/// How a saved function may be called. `predict(x: float32 (?, 784)) -> (y: float32 (?, 10))`
struct SavedSignature {
  std::string name;                   ///< the function's; one that was traced several times has as many signatures
  std::vector<SavedValue> arguments;  ///< in order
  std::vector<SavedValue> results;    ///< in order
  /// Of a trace by `tf::trace`: what it holds for, such as "the bool read at net.cc:12 was True".
  std::vector<std::string> guards;
};
/// Prints it as a function's head.
std::ostream& operator<<(std::ostream&, const SavedSignature&);

/// A saved function as a graph of its own, one call of it: for sessions with options of one's choice.
///
///     tf::SavedGraph call = program.function("predict").in_graph();
///     tf::Session session(call.graph, {.optimize = false});
///     session.run(call.results[0].second, {{call.arguments[0].second, x}});
struct SavedGraph {
  Graph graph;                                            ///< of placeholders and the call
  std::vector<std::pair<std::string, Tensor>> arguments;  ///< placeholders, by name
  std::vector<std::pair<std::string, Tensor>> results;    ///< symbols; values for constants; else undefined
  Operation call;                                         ///< to run for what the function does
};

/// How a graph is written.
enum class GraphFormat : uint8_t {
  text,  ///< a line for each node, in the order in which they run; bodies are indented
  dot,   ///< Graphviz's; bodies of control flow are clusters
};

/// A function of a saved program. It is called as tf::function's result is, with values in either mode or with symbols,
/// and differentiated through; nests that it took or returned when it was saved are their leaves, in order.
class SavedFunction {
 public:
  using Where = std::source_location;
  /// @{
  /// Its one result. Throws InvalidArgument if it has several, or none.
  template <class... A>
  Tensor operator()(const A&... arguments) {
    return one_of(all(arguments...));
  }
  // Where some are lists in braces: f({1.f, 2.f}), f(x, {{1.f}}).
  Tensor operator()(const Feed::Value& a) { return one_of(called_.call_values({a}, {})); }
  Tensor operator()(const Feed::Value& a, const Feed::Value& b) { return one_of(called_.call_values({a, b}, {})); }
  Tensor operator()(const Feed::Value& a, const Feed::Value& b, const Feed::Value& c) {
    return one_of(called_.call_values({a, b, c}, {}));
  }
  /// @}
  /// All its results, in order; undefined for one that only does something.
  template <class... A>
  std::vector<Tensor> all(const A&... arguments) {
    return called_.call_nests({}, arguments...);
  }
  /// All its results by name, of arguments by name: what the command line does. Throws NotFound for a name that is
  /// missing, InvalidArgument for one that is unknown, each with a list.
  std::map<std::string, Tensor> call_named(const std::map<std::string, Tensor>& arguments,
                                           Where where = Where::current());
  /// How it may be called.
  const std::vector<SavedSignature>& signatures() const { return *signatures_; }
  /// @{
  /// The graph of one of its signatures, by its number: to be run, or to be read. Variables are the program's, which
  /// the function reads and writes where they are. Throws OutOfRange for a number that there is not.
  SavedGraph in_graph(size_t signature = 0, Where where = Where::current()) const;
  std::string graph_text(GraphFormat format = GraphFormat::text, size_t signature = 0,
                         Where where = Where::current()) const;
  /// @}

  /// For the library's own sources, which have FunctionParts. Programs cannot use it.
  const internal::FunctionRunner& runner() const { return called_.runner(); }

 private:
  friend struct internal::SavedParts;
  struct NoBody {
    std::vector<Tensor> operator()(auto&&...) const { return {}; }
  };
  SavedFunction(internal::FunctionRunner runner, std::shared_ptr<const std::vector<SavedSignature>> signatures)
      : called_(std::move(runner), NoBody()), signatures_(std::move(signatures)) {}
  Tensor one_of(std::vector<Tensor> results) const;

  internal::CalledBody<NoBody> called_;
  std::shared_ptr<const std::vector<SavedSignature>> signatures_;
};

/// What a file says of itself beside its program.
struct SavedInfo {
  uint32_t format = 0;                    ///< version of the format
  std::string producer;                   ///< who wrote it, "twofold 0.2.0"
  bool deterministic = true;              ///< as it was set when the file was written
  MathMode math_mode = MathMode::strict;  ///< the same
  std::string isa;                        ///< instruction set of the CPU kernels then; empty where the file has none
  std::string gpu;                        ///< the GPU; empty where the file has none
};

/// A program that was loaded. Copies are handles to one program.
class SavedProgram {
 public:
  using Where = std::source_location;
  /// How its functions may be called, in the order in which they were saved.
  std::vector<SavedSignature> signatures() const;
  /// By name. Throws NotFound, with a list.
  SavedFunction function(const std::string& name, Where where = Where::current()) const;
  /// Its variables by name: eager ones, in either mode, which its functions read and write where they are.
  const std::map<std::string, Variable>& variables() const;
  /// Who wrote its file, and how arithmetic was set there.
  const SavedInfo& info() const;

  struct Data;

 private:
  friend struct internal::SavedParts;
  explicit SavedProgram(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

/// Options of `save`.
struct SaveOptions {
  bool source_lines = true;  ///< keeps the lines of ops, which errors name; files by their names as compiled
};

/// Writes a program to one file: functions under names, all that they have been traced for, with the variables that
/// they use, their values now, optimisers' state and what random ops have drawn:
///
///     tf::save("net.safetensors", {{"predict", predict}, {"train", step}});
///
/// The file is a safetensors file (docs/format.md): variables are tensors of it under their names, so that other
/// programs can read them. Saving a program that was loaded from such a file, unchanged, gives the same bytes. The file
/// takes the place of an older one at once and whole (io::save_safetensors says more).
///
/// Throws FailedPrecondition for a function that was not called yet and so has no graph, for a variable that is not
/// initialised, and for functions of different sessions that use one variable; InvalidArgument for names that are given
/// twice and for a function that uses a placeholder of the graph around; and as io::save_safetensors does.
/// (TensorFlow: saved_model.save; PyTorch: torch.jit.save, torch.export.save)
void save(const std::string& path, std::initializer_list<internal::ToSave> functions, SaveOptions options = {},
          std::source_location where = std::source_location::current());
/// The same of all the functions of a program that was loaded.
void save(const std::string& path, const SavedProgram& program, SaveOptions options = {},
          std::source_location where = std::source_location::current());

/// Options of `load`.
struct LoadOptions {
  std::string device =
      "/cpu:0";  ///< where variables are put, and where ops run that no guard within the program placed
};

/// Reads a program that `save` has written, in this process or another, by this version of the library or an older
/// one. It needs none of the code that built the program, in either mode.
///
/// Throws NotFound if there is no file; DataLoss for one that is damaged, with the place; InvalidArgument for one that
/// is no saved program; Unimplemented for a newer format, or an op that this library does not know.
[[nodiscard]] SavedProgram load(const std::string& path, LoadOptions options = {},
                                std::source_location where = std::source_location::current());

}  // namespace twofold
