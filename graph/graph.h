// Building graphs.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <twofold/graph/fetch.h>
#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

class CurrentGraph;
class ControlScope;

/// A graph of ops to be run by Sessions. Copies are handles to the same graph; its tensors and sessions keep it alive.
class Graph {
 public:
  using Where = std::source_location;

  Graph();
  explicit Graph(const Ref<GraphData>& data);
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

   private:
    Ref<RefCounted> graph_;
    std::unique_ptr<CurrentGraph> current_;
  };
  Scope as_default() const { return Scope(*this); }

  /// From now on adding a node throws FailedPrecondition: "Graph is finalized and cannot be modified."
  void finalize();
  bool finalized() const;
  /// All operations, in order of creation.
  std::vector<Operation> operations() const;
  int64_t num_operations() const;
  /// By name: "MatMul", "MatMul:0". Throws NotFound.
  Operation operation(std::string_view name, Where where = Where::current()) const;
  Tensor tensor(std::string_view name, Where where = Where::current()) const;
  std::vector<Variable> variables() const;

  GraphData* data() const;
  friend bool operator==(const Graph& a, const Graph& b) { return a.data_ == b.data_; }

 private:
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

 private:
  Ref<RefCounted> graph_;  // see keep_default_graph
  uint32_t outer_;
  uint64_t outer_path_;
};
[[nodiscard("a guard works while it lives: give it a name, auto scope = tf::name_scope(\"name\");")]] inline NameScope
name_scope(std::string_view name, std::source_location where = std::source_location::current()) {
  return NameScope(name, where);
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

 private:
  Ref<RefCounted> graph_;  // see keep_default_graph
  std::unique_ptr<ControlScope> scope_;
};
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

 private:
  int8_t outer_;
};
[[nodiscard("a guard works while it lives: give it a name, auto on = tf::device(\"/cpu:0\");")]] inline DeviceScope
device(std::string_view name, std::source_location where = std::source_location::current()) {
  return DeviceScope(name, where);
}

struct PlaceholderOptions {
  std::string name;  ///< "Placeholder" if empty
};
/// An input that each run must feed. In eager mode throws TensorFlow 1's error. (TensorFlow: Placeholder)
Tensor placeholder(DType dtype, const Shape& shape = unknown_shape, PlaceholderOptions options = {},
                   std::source_location where = std::source_location::current());

/// Runs everything given when run. Eager, it is all done already: undefined.
Operation group(const std::vector<Fetch>& all, std::source_location where = std::source_location::current());
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
std::vector<Variable> global_variables();
std::vector<Variable> trainable_variables();

}  // namespace twofold
