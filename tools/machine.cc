// twofold devices, twofold version: what this machine and this build have.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <sstream>
#include <string>

#include "command.h"

namespace command {

namespace tf = twofold;

namespace {

void devices() {
  for (const std::string& name : tf::list_devices()) {
    fmt::print("{}", name);
    if (name == "/cpu:0") fmt::print("  {} threads, kernels for {}", tf::num_threads(), tf::build_info().cpu_kernels);
    fmt::print("\n");
  }
  fmt::print("GPUs: {}\n", tf::build_info().gpus);
}

void version() {
  std::ostringstream text;
  text << tf::build_info();
  fmt::print("{}", text.str());
}

}  // namespace

void add_machine(CLI::App& app) {
  auto* const list = app.add_subcommand("devices", "Lists the devices that programs can run on here.");
  list->footer("Example: twofold devices");
  list->callback(devices);
  auto* const about = app.add_subcommand("version", "Says what this build of twofold is made of and finds here.");
  about->footer("Example: twofold version");
  about->callback(version);
}

}  // namespace command
