// The command `twofold`: its subcommands and what they share.
#pragma once

#include <stdexcept>
#include <string>

namespace CLI {
class App;
}

namespace command {

/// How it ends, as tools/twofold.1 says.
enum Exit : int { ok = 0, failed = 1, bad_usage = 2 };

/// What is wrong with the command line, beyond what the parser sees: a name that the model does not have.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Each adds a subcommand, which runs when it was given.
/// @{
void add_run(CLI::App& app);
void add_inspect(CLI::App& app);
void add_bench(CLI::App& app);
void add_convert(CLI::App& app);
void add_machine(CLI::App& app);  ///< `devices` and `version`
/// @}

}  // namespace command
