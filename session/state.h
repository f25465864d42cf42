// Reading and setting all that a program has come to, by name: checkpoints.
#pragma once

#include <map>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/session/session.h>

namespace twofold {

/// The values now of a module's or an optimiser's `state()`, or of any named variables. Eager, the session has nothing
/// to do. Throws as Session::run does.
std::map<std::string, Tensor> read_state(const Session& session, const std::map<std::string, Variable>& state,
                                         std::source_location where = std::source_location::current());

/// Options of `load_state`.
struct LoadStateOptions {
  bool ignore_missing = false;     ///< variables without a value stay as they are
  bool ignore_unexpected = false;  ///< values without a variable are passed over
};

/// Sets each variable to the value of its name, all or none. Adds nothing to a graph; in a session it initialises, too.
/// Throws, listing the names: NotFound for a variable without a value, InvalidArgument for a value without a variable
/// or of another dtype or shape than its variable's.
void load_state(const Session& session, const std::map<std::string, Variable>& state,
                const std::map<std::string, Tensor>& values, LoadStateOptions options = {},
                std::source_location where = std::source_location::current());

/// Whether the variable has a value in this session. Eager, every variable has one. (TensorFlow:
/// is_variable_initialized)
bool is_variable_initialized(const Session& session, const Variable& variable,
                             std::source_location where = std::source_location::current());
/// @{
/// The names of those variables, or of all of the session's graph, that have no value in the session, in their order:
/// what `variables_initializer` is for. Eager there are none. (TensorFlow: report_uninitialized_variables)
std::vector<std::string> report_uninitialized_variables(const Session& session,
                                                        std::source_location where = std::source_location::current());
std::vector<std::string> report_uninitialized_variables(const Session& session, const std::vector<Variable>& variables,
                                                        std::source_location where = std::source_location::current());
/// @}

/// What decides the numbers that random ops draw from now on (lib/op/random_key.h), to be kept with variables so that a
/// program goes on to the bit where another stopped:
///
///     seed        int64, ()      of the graph; eager, the process's
///     ordinals    int64, (m, 2)  of each scope that has made random ops: its hash, how many
///     executions  int64, (n, 2)  of each random op that has run: its key, how often
///
/// in ascending order of hashes and keys (as uint64). Deferred, executions are those in this session. Eager, the
/// session has nothing to do and everything is the process's. A program that does the same in both modes has the same
/// state. Throws FailedPrecondition in deferred mode if the session is closed or its graph empty.
std::map<std::string, Tensor> read_random_state(const Session& session,
                                                std::source_location where = std::source_location::current());

/// Goes on from `state`, which either mode may have read. To be called when the net and its steps are made, by the same
/// text as where it was read, for ops that are made already keep their keys; ordinals are set in eager mode only, as
/// those of a graph follow from what it holds. A random op that `state` does not know starts anew. No run of the
/// session may be under way. All or nothing is set. Throws NotFound for a part that is missing, InvalidArgument for
/// another name, dtype or shape, for a number that is negative and for a key given twice, FailedPrecondition if the
/// seed differs, and as read_random_state does.
void load_random_state(const Session& session, const std::map<std::string, Tensor>& state,
                       std::source_location where = std::source_location::current());

}  // namespace twofold
