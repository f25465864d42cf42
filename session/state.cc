#include <twofold/session/state.h>

#include <fmt/format.h>

#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/session/session_data.h>

namespace twofold {

std::map<std::string, Tensor> read_state(const Session& session, const std::map<std::string, Variable>& state,
                                         std::source_location where) {
  const SourceScope source_scope(where);
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
  const SourceScope source_scope(where);
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

bool is_variable_initialized(const Session& session, const Variable& variable, std::source_location where) {
  const SourceScope source_scope(where);
  return executing_eagerly() || internal::SessionParts::data(session).is_initialized(variable);
}

std::vector<std::string> report_uninitialized_variables(const Session& session, const std::vector<Variable>& variables,
                                                        std::source_location where) {
  const SourceScope source_scope(where);
  std::vector<std::string> names;
  if (executing_eagerly()) return names;
  for (const Variable& v : variables)
    if (!internal::SessionParts::data(session).is_initialized(v)) names.push_back(v.state()->name);
  return names;
}
std::vector<std::string> report_uninitialized_variables(const Session& session, std::source_location where) {
  return report_uninitialized_variables(session, session.graph().variables(), where);
}

static Tensor table_of(const std::map<uint64_t, uint64_t>& counts) {
  std::vector<int64_t> rows;
  for (const auto& [key, count] : counts) {
    rows.push_back(static_cast<int64_t>(key));
    rows.push_back(static_cast<int64_t>(count));
  }
  return tensor(rows, {static_cast<int64_t>(counts.size()), 2});
}

static std::map<uint64_t, uint64_t> counts_in(const Tensor& table, const char* name) {
  std::map<uint64_t, uint64_t> counts;
  const auto rows = table.data<int64_t>();
  for (size_t i = 0; i < rows.size(); i += 2) {
    if (rows[i + 1] < 0)
      fail(Code::InvalidArgument, fmt::format("The random state's '{}' holds the count {}", name, rows[i + 1]));
    if (!counts.emplace(static_cast<uint64_t>(rows[i]), static_cast<uint64_t>(rows[i + 1])).second)
      fail(Code::InvalidArgument, fmt::format("The random state's '{}' holds {} twice", name, rows[i]));
  }
  return counts;
}

static const Tensor& part_of(const std::map<std::string, Tensor>& state, const char* name, bool is_table) {
  const auto found = state.find(name);
  if (found == state.end()) fail(Code::NotFound, fmt::format("The random state has no '{}'", name));
  const Tensor& t = found->second;
  const bool is_value = t.defined() && t.is_concrete();
  if (!is_value || t.dtype() != int64 || t.rank() != (is_table ? 2 : 0) || (is_table && t.dim(1) != 2))
    fail(Code::InvalidArgument,
         fmt::format("The random state's '{}' must be an int64 value of shape {}, not {}", name,
                     is_table ? "(n, 2)" : "()",
                     is_value      ? fmt::format("{} of shape {}", name_of(t.dtype()), t.shape().str())
                     : t.defined() ? to_string(t)
                                   : "None"));
  return t;
}

std::map<std::string, Tensor> read_random_state(const Session& session, std::source_location where) {
  const SourceScope source_scope(where);
  const RandomState now =
      executing_eagerly() ? eager_random_state() : internal::SessionParts::data(session).random_state();
  return {{"seed", tensor(static_cast<int64_t>(now.ordinals.seed), {.dtype = int64})},
          {"ordinals", table_of({now.ordinals.next.begin(), now.ordinals.next.end()})},
          {"executions", table_of(now.executions)}};
}

void load_random_state(const Session& session, const std::map<std::string, Tensor>& state, std::source_location where) {
  const SourceScope source_scope(where);
  const auto seed = part_of(state, "seed", false).item<int64_t>();
  const auto ordinals = counts_in(part_of(state, "ordinals", true), "ordinals");
  auto executions = counts_in(part_of(state, "executions", true), "executions");
  if (t_state.body)
    fail(Code::FailedPrecondition, "A random state was loaded in the body of a step, loop or branch",
         "tf::load_random_state(session, state) before it");
  if (observer_draws())
    fail(Code::FailedPrecondition, "A random state was loaded by an observer, whose draws are no part of the program",
         "tf::load_random_state(session, state) outside of observe()");
  for (const auto& [name, value] : state)
    if (name != "seed" && name != "ordinals" && name != "executions")
      fail(Code::InvalidArgument, fmt::format("A random state has no part '{}'", name));
  const bool eager = executing_eagerly();
  const auto here = static_cast<int64_t>(
      (eager ? eager_random_state() : internal::SessionParts::data(session).random_state()).ordinals.seed);
  if (seed != here)
    fail(Code::FailedPrecondition, fmt::format("The random state is of seed {}, but the seed here is {}", seed, here),
         fmt::format("tf::set_random_seed({})", seed));
  if (eager)
    set_eager_random_state(
        {.ordinals = {.seed = static_cast<uint64_t>(seed), .next = {ordinals.begin(), ordinals.end()}},
         .executions = std::move(executions)});
  else
    internal::SessionParts::data(session).set_executions(executions);
}

}  // namespace twofold
