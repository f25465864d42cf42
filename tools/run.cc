// twofold run: one call of a saved function, or several.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "model.h"
#include "tensor_io.h"

namespace command {

namespace tf = twofold;

namespace {

struct Options {
  std::string model, signature, output, save, device = "/cpu:0";
  std::vector<std::string> feeds, fetches;
  int64_t repeat = 1;
  bool no_optimize = false;
};

void run(const Options& o) {
  const std::string device = device_named(o.device);  // before anything is read
  const Model model(o.model, o.signature);
  const Values feeds = read_feeds(model, o.feeds);
  check_complete(model, feeds);
  const Runner runner(model, o.fetches, {.optimize = !o.no_optimize, .device = device});
  if (!o.output.empty()) check_output(o.output, runner.num_results());
  NamedValues results;
  for (int64_t i = 0; i < o.repeat; ++i) results = runner(feeds);
  if (o.output.empty())
    print_values(results);
  else
    write_values(results, o.output);
  if (!o.save.empty()) tf::save(o.save, model.program());
}

}  // namespace

void add_run(CLI::App& app) {
  auto* const sub = app.add_subcommand("run", "Calls a function of a saved program.");
  const auto o = std::make_shared<Options>();
  sub->add_option("MODEL", o->model, "file that tf::save has written")->required();
  sub->add_option("-s,--signature", o->signature,
                  "function to call, NAME or NAME:NUMBER; the only one, or predict, if not given");
  sub->add_option("-f,--feed", o->feeds,
                  "NAME=VALUE for an argument: a number, a JSON list, FILE.npy, FILE.npz:ENTRY or "
                  "FILE.safetensors:ENTRY")
      ->allow_extra_args(false);
  sub->add_option("--fetch", o->fetches, "results wanted, NAME or NAME,NAME; all if not given")
      ->delimiter(',')
      ->allow_extra_args(false);
  sub->add_option("-o,--output", o->output,
                  "where results go: FILE.npy, of one, FILE.npz or FILE.safetensors; "
                  "printed if not given");
  sub->add_option("--device", o->device, "where it runs: /cpu:0, /gpu:0")->capture_default_str();
  sub->add_option("--repeat", o->repeat, "how often it is called; the last call's results are given")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}))
      ->capture_default_str();
  sub->add_option("--save", o->save, "file for the program as it is after the calls, with variables that they changed");
  sub->add_flag("--no-optimize", o->no_optimize, "runs every op by itself; the results are the same, to the bit");
  sub->footer(
      "Examples: twofold run net.safetensors --signature predict --feed x=x.npy --fetch y -o out.npz\n"
      "          twofold run net.safetensors -s train -f x=d.npz:x -f t=d.npz:t --repeat 10 --save on.safetensors");
  sub->callback([o] { run(*o); });
}

}  // namespace command
