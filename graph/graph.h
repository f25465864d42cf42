// Building graphs.
#pragma once

#include <concepts>
#include <initializer_list>
#include <map>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/graph/fetch.h>
#include <twofold/lib/op/nest.h>
#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

namespace internal {
class CurrentGraph;
class ControlScope;
struct GraphParts;
}  // namespace internal

/// A graph of ops to be run by Sessions. Copies are handles to the same graph; its tensors and sessions keep it alive.
class Graph {
 public:
  using Where = std::source_location;

  Graph();
  // Moving one copies it, so that every Graph is one.
  Graph(const Graph&) = default;
  Graph& operator=(const Graph&) = default;

  /// Makes it the graph that sources on this thread add to, for the guard's lifetime.
  class [[nodiscard("a guard works while it lives: give it a name, auto scope = graph.as_default();")]] Scope {
   public:
    [[nodiscard("a guard works while it lives: give it a name, auto scope = graph.as_default();")]] explicit Scope(
        const Graph& g);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    static void* operator new(size_t) = delete;  // a guard ends where its block ends
    static void* operator new[](size_t) = delete;

   private:
    Ref<RefCounted> graph_;
    std::unique_ptr<internal::CurrentGraph> current_;
  };
  /// A guard that makes it the graph that sources on this thread add to.
  Scope as_default() const { return Scope(*this); }

  /// @{
  /// From now on adding a node throws FailedPrecondition: "Graph is finalized and cannot be modified."
  void finalize();
  bool finalized() const;
  /// @}
  /// All operations, in order of creation.
  std::vector<Operation> operations() const;
  /// How many operations there are.
  int64_t num_operations() const;
  /// @{
  /// By name: "MatMul", "MatMul:0". Throws NotFound.
  Operation operation(std::string_view name, Where where = Where::current()) const;
  Tensor tensor(std::string_view name, Where where = Where::current()) const;
  /// @}
  /// All variables, in order of creation.
  std::vector<Variable> variables() const;

  friend bool operator==(const Graph& a, const Graph& b) { return a.data_ == b.data_; }

  // For the library's own sources, which have GraphParts (graph/graph_data.h). Programs cannot call these.
  /// A handle to this graph.
  template <class Parts = internal::GraphParts>
  static Graph of(Ref<GraphData> data) {
    return Parts::graph(std::move(data));
  }
  /// The graph itself.
  template <class Parts = internal::GraphParts>
  GraphData* data() const {
    return Parts::data(*this);
  }

 private:
  friend struct internal::GraphParts;
  explicit Graph(Ref<GraphData> data);
  Ref<RefCounted> data_;  // the GraphData, whose type programs need not see
};

/// The graph that sources on this thread add to: the innermost as_default's, else the process's.
Graph get_default_graph();
/// Replaces the process's default graph by an empty one. Tensors and sessions of the old one stay good, and so do
/// guards of other threads, which go on in it. Throws FailedPrecondition while a graph is as_default on this thread, or
/// a name_scope or control_dependencies of the default graph is alive.
void reset_default_graph(std::source_location where = std::source_location::current());

/// Names begin with "name/" for the guard's lifetime. Opened again, the scope is "name_1"; a name that ends in '/'
/// re-enters.
class [[nodiscard("a guard works while it lives: give it a name, auto scope = tf::name_scope(\"name\");")]] NameScope {
 public:
  [[nodiscard(
      "a guard works while it lives: give it a name, auto scope = tf::name_scope(\"name\");")]] explicit NameScope(std::string_view
                                                                                                                       name,
                                                                                                                   std::source_location
                                                                                                                       where = std::source_location::
                                                                                                                           current());
  ~NameScope();
  NameScope(const NameScope&) = delete;
  NameScope& operator=(const NameScope&) = delete;
  static void* operator new(size_t) = delete;  // a guard ends where its block ends
  static void* operator new[](size_t) = delete;

 private:
  Ref<RefCounted> graph_;  // see keep_default_graph
  uint32_t outer_;
  uint64_t outer_path_;
};
/// A NameScope, as a function.
[[nodiscard("a guard works while it lives: give it a name, auto scope = tf::name_scope(\"name\");")]] inline NameScope
name_scope(std::string_view name, std::source_location where = std::source_location::current()) {
  return NameScope(name, where);
}

namespace internal {

/// Gives a name to ops that are made during its lifetime. In eager mode it does nothing.
class Naming {
 public:
  Naming(std::string_view name, std::source_location where);
  /// The tensor whose op has the name now: the same, or an identity of one that was made before.
  void name(Tensor& t);
  void name(Operation& o);

 private:
  /// Whether it was made since; then it has the name.
  bool take(const GraphData* graph, uint32_t node, bool only_names = false);
  std::string name_;
  std::source_location where_;
  Ref<RefCounted> graph_;  // null in eager mode
  uint32_t begin_ = 0;
  std::vector<uint32_t> named_;
};

/// What can be named in what a function returns.
struct NamedLeaves {
  template <class T>
  static constexpr bool is_leaf = std::same_as<T, Tensor> || std::same_as<T, Operation>;
};

}  // namespace internal

/// What `f` returns, its op called `name`: after `auto y = tf::named("scores", [&] { return tf::matmul(x, w) + b; });`
/// y is "scores:0". A name that is taken becomes "scores_1", and the current name_scope stands before it; a nest of
/// results has one name after the other. Ops that f makes on the way keep the names of their kind. A result that was
/// made before f, or has a name by `named` already, gets an identity of this name. Names change no numbers. In eager
/// mode values have no names: there, and for a result that is a value, it is `f()`. InvalidArgument: no valid name.
template <class F>
auto named(std::string_view name, F&& f, std::source_location where = std::source_location::current()) {
  if constexpr (std::is_invocable_v<F>) {
    if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
      static_assert(kNever<F>, "named names what its function returns: add a return to it");
    } else {
      internal::Naming naming(name, where);
      auto made = std::forward<F>(f)();
      if constexpr (internal::NestWith<decltype(made), internal::NamedLeaves>) {
        internal::for_each_leaf<internal::NamedLeaves>(made, [&](auto& each) { naming.name(each); });
      } else {
        static_assert(
            kNever<F>,
            "named names tensors and operations, in any nesting of tuples, pairs, arrays, vectors and maps: for a "
            "Variable write tf::Variable v(0.f, {.name = \"v\"})");
      }
      return made;
    }
  } else {
    static_assert(kNever<F>,
                  "named takes a function without parameters: tf::named(\"scores\", [&] { return tf::matmul(x, w); })");
    return Tensor();
  }
}

/// Ops made during the guard's lifetime run after `before`, in each run that needs them. Guards nest as a union; an
/// empty list clears. In eager mode order is the program's, and the guard does nothing.
class [[nodiscard(
    "a guard works while it lives: give it a name, auto after = "
    "tf::control_dependencies({...});")]] ControlDependencies {
 public:
  [[nodiscard(
      "a guard works while it lives: give it a name, auto after = "
      "tf::control_dependencies({...});")]] explicit ControlDependencies(const std::vector<Fetch>& before,
                                                                         std::source_location where =
                                                                             std::source_location::current());
  ~ControlDependencies();
  ControlDependencies(const ControlDependencies&) = delete;
  ControlDependencies& operator=(const ControlDependencies&) = delete;
  static void* operator new(size_t) = delete;  // a guard ends where its block ends
  static void* operator new[](size_t) = delete;

 private:
  Ref<RefCounted> graph_;  // see keep_default_graph
  std::unique_ptr<internal::ControlScope> scope_;
};
/// A ControlDependencies, as a function.
[[nodiscard(
    "a guard works while it lives: give it a name, auto after = "
    "tf::control_dependencies({...});")]] inline ControlDependencies
control_dependencies(const std::vector<Fetch>& before, std::source_location where = std::source_location::current()) {
  return ControlDependencies(before, where);
}

/// Ops made during the guard's lifetime run on this device, "/cpu:0" or "/gpu:0".
class [[nodiscard("a guard works while it lives: give it a name, auto on = tf::device(\"/cpu:0\");")]] DeviceScope {
 public:
  [[nodiscard("a guard works while it lives: give it a name, auto on = tf::device(\"/cpu:0\");")]] explicit DeviceScope(
      std::string_view name, std::source_location where = std::source_location::current());
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  static void* operator new(size_t) = delete;  // a guard ends where its block ends
  static void* operator new[](size_t) = delete;

 private:
  int8_t outer_;
};
/// A DeviceScope, as a function. Throws as `parse_device` does.
[[nodiscard("a guard works while it lives: give it a name, auto on = tf::device(\"/cpu:0\");")]] inline DeviceScope
device(std::string_view name, std::source_location where = std::source_location::current()) {
  return DeviceScope(name, where);
}

/// Options of `placeholder`.
struct PlaceholderOptions {
  std::string name;  ///< "Placeholder" if empty
};
/// An input that each run must feed. In eager mode throws TensorFlow 1's error. (TensorFlow: Placeholder)
Tensor placeholder(DType dtype, const Shape& shape = unknown_shape, PlaceholderOptions options = {},
                   std::source_location where = std::source_location::current());

/// Runs everything given when run. Eager, it is all done already: undefined.
Operation group(const std::vector<Fetch>& all, std::source_location where = std::source_location::current());
/// Does nothing when run. Eager: undefined.
Operation no_op(std::source_location where = std::source_location::current());
/// `y`, once `effects` are done: fetching the result runs them.
Tensor with_effects(Operand y, const std::vector<Fetch>& effects);
/// `x`, written to standard output with `message` before it whenever it is computed. (TensorFlow: Print)
Tensor print(Operand x, std::string message = "");

/// Fails with InvalidArgument "assertion failed: [message] [data] ..." where the bool scalar `condition` is false: at
/// once if all operands are values, and the result is undefined then; else in every run that runs the result, which is
/// to be put under control_dependencies or with_effects, or fetched. In a step, or in a branch or loop that runs, it is
/// run as all effects are. No optimisation drops or merges it. Data are printed as `<<` prints them. InvalidArgument: a
/// condition that is no bool scalar. (TensorFlow: Assert)
Operation assert_that(Operand condition, std::string message = "", std::initializer_list<Operand> data = {});

/// Sets every variable of the current graph to its initial value. Eager variables have theirs from the start:
/// undefined.
Operation global_variables_initializer(std::source_location where = std::source_location::current());
/// @{
/// Sets these variables, and no others, to their initial values, as for what is made when others have been initialised
/// or trained: `session.run(variables_initializer(opt.state()))`. One whose initial value is made from another's needs
/// that initial value, not the other's initialisation. Eager: undefined. Throws InvalidArgument for a variable of
/// another graph.
Operation variables_initializer(const std::vector<Variable>& variables,
                                std::source_location where = std::source_location::current());
Operation variables_initializer(const std::map<std::string, Variable>& state,
                                std::source_location where = std::source_location::current());
inline Operation variables_initializer(std::initializer_list<Variable> variables,
                                       std::source_location where = std::source_location::current()) {
  return variables_initializer(std::vector(variables), where);
}
/// @}
/// @{
/// The variables of the current graph, in order of creation: all, or those made trainable.
std::vector<Variable> global_variables();
std::vector<Variable> trainable_variables();
/// @}

}  // namespace twofold
