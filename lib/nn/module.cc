#include <twofold/lib/nn/module.h>

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <typeinfo>
#include <unordered_set>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/switch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold::nn {

struct Module::State {
  std::string name;  // in the module that it was added to last; empty: in none
  NamedVariables parameters, buffers;
  NamedChildren children;
  Switch training{true};
};

Module::Module() : state_(std::make_shared<State>()) {}
const Module::NamedChildren& Module::named_children() const { return state_->children; }
bool Module::is_training() const { return state_->training.read(); }

Tensor Module::operator()(Operand x) const {
  const SourceScope source_scope(x.where());
  try {
    return forward(x.resolve());
  } catch (const Error& e) {  // says in which layer, by a path that grows as the error rises
    const std::string& name = state_->name;
    ErrorFacts facts = e.facts();
    if (facts.layer.empty()) {
      facts.layer = named_children().empty() ? fmt::format("{}({})", type_name(), extra_repr()) : type_name();
      if (!name.empty()) facts.layer = name + " " + facts.layer;
    } else if (!name.empty()) {
      facts.layer = name + "." + facts.layer;
    }
    throw Error(e.code(), std::move(facts));
  }
}

Module::NamedVariables Module::collect(NamedVariables State::*which) const {
  NamedVariables found;
  std::unordered_set<const VariableState*> seen;
  const auto visit = [&](const auto& self, const Module& m, const std::string& prefix) -> void {
    for (const auto& [name, variable] : (*m.state_).*which)
      if (seen.insert(variable.state().get()).second) found.emplace_back(prefix + name, variable);
    for (const auto& [name, child] : m.state_->children) self(self, *child, prefix + name + ".");
  };
  visit(visit, *this, "");
  return found;
}

Module::NamedVariables Module::named_parameters() const { return collect(&State::parameters); }
Module::NamedVariables Module::named_buffers() const { return collect(&State::buffers); }

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, parameter] : named_parameters()) all.push_back(std::move(parameter));
  return all;
}

std::map<std::string, Variable> Module::state() const {
  std::map<std::string, Variable> all;
  for (NamedVariables State::*which : {&State::parameters, &State::buffers})
    for (auto& [path, variable] : collect(which)) all.emplace(std::move(path), std::move(variable));
  return all;
}

void Module::train(bool on) {
  state_->training.set(on);
  for (const auto& [name, child] : state_->children) child->train(on);
}

Variable Module::add_parameter(std::string name, Variable parameter) {
  check_free(name);
  state_->parameters.emplace_back(std::move(name), parameter);
  return parameter;
}

void Module::to(std::string_view device, std::source_location where) {
  const SourceScope source_scope(where);
  const Device wanted = parse_device(device);
  for (const auto& [name, v] : state()) {
    const std::lock_guard lock(v.state()->updating());
    const Tensor value = v.state()->eager_value();
    if (!value.defined())
      fail(Code::FailedPrecondition,
           fmt::format("'{}' belongs to a graph, whose variables stay where they were placed", name),
           "make the net under tf::device(\"" + std::string(device) + "\")");
    v.state()->set_eager_value(moved_to(value, wanted));
  }
}

Variable Module::add_buffer(std::string name, Variable buffer) {
  check_free(name);
  state_->buffers.emplace_back(std::move(name), buffer);
  return buffer;
}

void Module::add_child(std::string name, std::shared_ptr<Module> child) {
  check_free(name);
  const auto holds = [&](const auto& self, const Module& m) -> bool {
    if (m.state_ == state_) return true;
    return std::ranges::any_of(m.state_->children, [&](const auto& entry) { return self(self, *entry.second); });
  };
  if (holds(holds, *child))
    fail(Code::InvalidArgument, fmt::format("The module {} cannot be a part of itself", type_name()));
  child->state_->name = name;
  state_->children.emplace_back(std::move(name), std::move(child));
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
  if (taken(state_->parameters) || taken(state_->buffers) || taken(state_->children))
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
