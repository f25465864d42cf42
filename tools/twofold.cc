// The command `twofold`: runs, shows, times and converts programs that tf::save has written.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "command.h"

namespace {

// As tf::Error says it, without the lines of this command's own sources and without C++ to type.
std::string said(const twofold::Error& e) {
  const twofold::ErrorFacts& facts = e.facts();
  std::string about;
  const auto add = [&](const std::string& s) { about += (about.empty() ? "" : ", ") + s; };
  if (!facts.op.empty()) add("op " + facts.op);
  if (!facts.node.empty()) add("node '" + facts.node + "'");
  if (!facts.layer.empty()) add("layer " + facts.layer);
  const std::string line = twofold::line_of(facts.where);
  const std::string file = facts.where.file_name();
  if (facts.where.line() && file.find("tools/") == std::string::npos) add(line);
  return fmt::format("{}: {}{}", twofold::name_of(e.code()), facts.message, about.empty() ? "" : " [" + about + "]");
}

std::string name_of(const CLI::App& app) {
  const auto given = app.get_subcommands();
  return given.empty() ? "twofold" : "twofold " + given[0]->get_name();
}

int say(const CLI::App& app, command::Exit code, const std::string& problem) {
  fmt::print(stderr, "{}: {}\n", name_of(app), problem);
  if (code == command::bad_usage) fmt::print(stderr, "`{} --help` says what it takes.\n", name_of(app));
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs, shows, times and converts programs that tf::save has written.", "twofold"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "twofold " + std::string(twofold::build_info().version));
  app.footer(
      "Example: twofold run net.safetensors --signature predict --feed x=x.npy -o y.npy\n"
      "Exit codes: 0 done; 1 it failed: a file is missing or damaged, a value does not fit, an op failed;\n"
      "2 the command line is wrong. `man twofold` says more.");
  command::add_run(app);
  command::add_inspect(app);
  command::add_bench(app);
  command::add_convert(app);
  command::add_machine(app);
  try {
    app.parse(argc, argv);
    if (std::fflush(stdout) != 0) return say(app, command::failed, "standard output cannot be written");
    return command::ok;
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return say(app, command::bad_usage, e.what());
  } catch (const command::UsageError& e) {
    return say(app, command::bad_usage, e.what());
  } catch (const twofold::Error& e) {
    return say(app, command::failed, said(e));
  } catch (const std::exception& e) {
    return say(app, command::failed, e.what());
  }
}
