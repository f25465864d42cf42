// Reading and setting many variables at once, by name: checkpoints.
#pragma once

#include <map>
#include <source_location>
#include <string>

#include <twofold/session/session.h>

namespace twofold {

/// The values now of a module's or an optimiser's `state()`, or of any named variables. Eager, the session has nothing
/// to do. Throws as Session::run does.
std::map<std::string, Tensor> read_state(const Session& session, const std::map<std::string, Variable>& state,
                                         std::source_location where = std::source_location::current());

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

}  // namespace twofold
