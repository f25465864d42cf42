// Modules: layers and nets made of them.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold::nn {

/// A function of one tensor with parameters and children, each under a name. A net of one's own:
///
///     struct Net : nn::Module {
///       nn::Linear& hidden = add("hidden", nn::Linear(4, 8));
///       nn::Linear& out = add("out", nn::Linear(8, 1));
///       Tensor forward(const Tensor& x) const override { return out(tf::relu(hidden(x))); }
///     };
///
/// Copies alias: they share children and parameters.
class Module {
 public:
  virtual ~Module() = default;

  virtual Tensor forward(const Tensor& x) const = 0;
  /// forward(x); what it makes is attributed to the caller's line.
  Tensor operator()(Operand x) const;

  /// Its own parameters, then those of its children, each in the order in which they were added.
  std::vector<Variable> parameters() const;
  /// The same with their paths: "hidden.weight".
  std::vector<std::pair<std::string, Variable>> named_parameters() const;
  const std::vector<std::pair<std::string, std::shared_ptr<Module>>>& named_children() const { return children_; }

  /// The type's name in print, "Linear".
  virtual std::string type_name() const;
  /// What stands between the parentheses in print, "in_features=4, out_features=8, bias=True".
  virtual std::string extra_repr() const { return {}; }

 protected:
  /// Throws InvalidArgument if the name is taken, empty or has a dot in it.
  template <class M>
  M& add(std::string name, M child) {
    auto shared = std::make_shared<M>(std::move(child));
    add_child(std::move(name), shared);
    return *shared;
  }
  Variable add_parameter(std::string name, Variable parameter);

 private:
  void add_child(std::string name, std::shared_ptr<Module> child);
  void check_free(const std::string& name) const;
  void collect(const std::string& prefix, std::vector<std::pair<std::string, Variable>>& out) const;

  std::vector<std::pair<std::string, Variable>> parameters_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
};

/// As PyTorch prints a module: its type, then its children indented.
std::ostream& operator<<(std::ostream&, const Module&);
std::string to_string(const Module&);

}  // namespace twofold::nn
