#include <twofold/session/state.h>

#include <fmt/format.h>

#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/mode.h>

namespace twofold {

std::map<std::string, Tensor> read_state(const Session& session, const std::map<std::string, Variable>& state,
                                         std::source_location where) {
  const SourceFrame frame(where);
  if (!executing_eagerly()) return state.empty() ? std::map<std::string, Tensor>() : session.run(state, {}, where);
  std::map<std::string, Tensor> values;
  for (const auto& [name, variable] : state) values.emplace(name, variable.read(where));
  return values;
}

static std::string list_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += fmt::format("{}'{}'", i ? ", " : "", names[i]);
  return names.size() > kShown ? text + fmt::format(" and {} more", names.size() - kShown) : text;
}

void load_state(const Session& session, const std::map<std::string, Variable>& state,
                const std::map<std::string, Tensor>& values, LoadStateOptions options, std::source_location where) {
  const SourceFrame frame(where);
  std::vector<std::string> missing, unexpected;
  std::vector<std::pair<Variable, Tensor>> pairs;
  for (const auto& [name, variable] : state) {
    const auto found = values.find(name);
    if (found == values.end()) {
      missing.push_back(name);
      continue;
    }
    const Tensor& value = found->second;
    check_input("load_state", 0, value, where);
    if (!value.is_concrete())
      fail(Code::InvalidArgument, fmt::format("The value of '{}' is the symbol {}", name, to_string(value)),
           "session.run(x)");
    if (value.dtype() != variable.dtype() || !value.shape().compatible_with(variable.shape()))
      fail(Code::InvalidArgument,
           fmt::format("The value of '{}' is of dtype {} and shape {}, but the variable is of {} and {}", name,
                       name_of(value.dtype()), value.shape().str(), name_of(variable.dtype()), variable.shape().str()));
    pairs.emplace_back(variable, value);
  }
  for (const auto& [name, value] : values)
    if (!state.contains(name)) unexpected.push_back(name);
  if (!missing.empty() && !options.ignore_missing)
    fail(Code::NotFound, "There is no value for the variables " + list_of(missing), "{.ignore_missing = true}");
  if (!unexpected.empty() && !options.ignore_unexpected)
    fail(Code::InvalidArgument, "There is no variable for the values " + list_of(unexpected),
         "{.ignore_unexpected = true}");
  if (executing_eagerly())
    for (const auto& [variable, value] : pairs) variable.assign(Operand(value, where));
  else
    session.set(pairs, where);
}

}  // namespace twofold
