#include <twofold/lib/nn/module.h>

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <ostream>
#include <typeinfo>

#include <twofold/lib/core/error.h>

namespace twofold::nn {

Tensor Module::operator()(Operand x) const {
  const SourceFrame frame(x.where());
  return forward(x.resolve());
}

std::vector<std::pair<std::string, Variable>> Module::named_parameters() const {
  std::vector<std::pair<std::string, Variable>> all;
  collect("", all);
  return all;
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, parameter] : named_parameters()) all.push_back(std::move(parameter));
  return all;
}

void Module::collect(const std::string& prefix, std::vector<std::pair<std::string, Variable>>& out) const {
  for (const auto& [name, parameter] : parameters_) out.emplace_back(prefix + name, parameter);
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", out);
}

Variable Module::add_parameter(std::string name, Variable parameter) {
  check_free(name);
  parameters_.emplace_back(std::move(name), parameter);
  return parameter;
}

void Module::add_child(std::string name, std::shared_ptr<Module> child) {
  check_free(name);
  children_.emplace_back(std::move(name), std::move(child));
}

void Module::check_free(const std::string& name) const {
  const auto taken = [&](const auto& list) {
    for (const auto& entry : list)
      if (entry.first == name) return true;
    return false;
  };
  if (name.empty() || name.find('.') != std::string::npos)
    fail(Code::InvalidArgument,
         fmt::format("'{}' cannot name a part of a module: it must be without dots and not empty", name));
  if (taken(parameters_) || taken(children_))
    fail(Code::InvalidArgument, fmt::format("The module {} has a part named '{}' already", type_name(), name));
}

std::string Module::type_name() const {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(typeid(*this).name(), nullptr, nullptr, &status), std::free);
  const std::string full = text ? text.get() : typeid(*this).name();
  const auto colon = full.rfind("::");
  return colon == std::string::npos ? full : full.substr(colon + 2);
}

std::string to_string(const Module& m) {
  const auto& children = m.named_children();
  if (children.empty()) return fmt::format("{}({})", m.type_name(), m.extra_repr());
  std::string text = m.type_name() + "(" + m.extra_repr() + "\n";
  for (const auto& [name, child] : children) {
    std::string inner = to_string(*child);
    for (size_t i = inner.find('\n'); i != std::string::npos; i = inner.find('\n', i + 1)) inner.insert(i + 1, "  ");
    text += fmt::format("  ({}): {}\n", name, inner);
  }
  return text + ")";
}
std::ostream& operator<<(std::ostream& out, const Module& m) { return out << to_string(m); }

}  // namespace twofold::nn
