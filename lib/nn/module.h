// Modules: layers and nets made of them.
#pragma once

#include <concepts>
#include <iosfwd>
#include <map>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold::nn {

/// A function of one tensor with parameters, buffers and children, each under a name. Parameters are what optimisers
/// change; buffers are state that the module changes itself, such as running statistics. A net of one's own:
///
///     struct Net : nn::Module {
///       nn::Linear& hidden = add("hidden", nn::Linear(4, 8));
///       nn::Linear& out = add("out", nn::Linear(8, 1));
///       Tensor forward(const Tensor& x) const override { return out(tf::relu(hidden(x))); }
///     };
///
/// Copies alias: they share all of it.
class Module {
 public:
  Module();
  virtual ~Module() = default;

  /// What the module computes: to be overridden. Programs call the module itself, `net(x)`.
  virtual Tensor forward(const Tensor& x) const = 0;
  /// forward(x); what it makes is attributed to the caller's line.
  Tensor operator()(Operand x) const;
  template <class... T>
  requires(sizeof...(T) != 1) Tensor operator()(const T&...) const {
    static_assert(kNever<T...>,
                  "a Module is a function of one tensor: give a net of several a member function of its own");
    return {};
  }

  using NamedVariables = std::vector<std::pair<std::string, Variable>>;
  using NamedChildren = std::vector<std::pair<std::string, std::shared_ptr<Module>>>;

  /// Its own parameters, then those of its children, each in the order in which they were added; once where modules
  /// share one.
  std::vector<Variable> parameters() const;
  /// The same with their paths: "hidden.weight".
  NamedVariables named_parameters() const;
  /// Likewise of buffers: "norm.running_mean".
  NamedVariables named_buffers() const;
  /// Parameters and buffers by path: what a checkpoint holds. PyTorch's state_dict, but for counts of batches.
  std::map<std::string, Variable> state() const;
  /// The modules that were added to it, each under its name.
  const NamedChildren& named_children() const;

  /// @{
  /// Sets the module and its children to train, which they do at first, or to evaluate: Dropout and BatchNorm2d differ.
  /// A `tf::step` obeys in both modes; a graph built without one stays as it was built. Throws FailedPrecondition in
  /// the body of a step.
  void train(bool on = true);
  void eval() { train(false); }
  /// @}

  /// Takes parameters and buffers to a device, "/gpu:0", before an optimiser is made for them. Eager; in deferred mode
  /// throws FailedPrecondition: there `tf::device` and SessionOptions::device place variables.
  void to(std::string_view device, std::source_location where = std::source_location::current());
  /// Whether it trains. A body of a step that asks is built anew when the answer changes.
  bool is_training() const;

  /// The type's name in print, "Linear".
  virtual std::string type_name() const;
  /// What stands between the parentheses in print, "in_features=4, out_features=8, bias=True".
  virtual std::string extra_repr() const { return {}; }

 protected:
  /// Throws InvalidArgument if the name is taken, empty or has a dot in it.
  template <class M>
  auto& add(std::string name, M child) {
    if constexpr (std::derived_from<M, Module>) {
      auto shared = std::make_shared<M>(std::move(child));
      add_child(std::move(name), shared);
      return *shared;
    } else {
      static_assert(
          kNever<M>,
          "add takes a module, add(\"hidden\", nn::Linear(4, 8)); for a Variable write add_parameter or add_buffer");
      return *this;
    }
  }
  /// @{
  /// Add a variable under a name, for optimisers to change or not. Throw as `add` does. The variable itself.
  Variable add_parameter(std::string name, Variable parameter);
  Variable add_buffer(std::string name, Variable buffer);
  /// @}

 private:
  struct State;
  void add_child(std::string name, std::shared_ptr<Module> child);
  void check_free(const std::string& name) const;
  NamedVariables collect(NamedVariables State::*which) const;

  std::shared_ptr<State> state_;
};

/// As PyTorch prints a module: its type, then its children indented.
std::ostream& operator<<(std::ostream&, const Module&);
/// What `<<` prints.
std::string to_string(const Module&);

}  // namespace twofold::nn
