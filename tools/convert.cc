// twofold convert: a saved program as another file.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "model.h"

namespace command {

namespace tf = twofold;

namespace {

struct Options {
  std::string model, output;
  std::vector<std::string> signatures;
};

std::string only(const Options& o, const char* what) {
  if (o.signatures.size() > 1)
    throw UsageError(fmt::format("{} holds one function, and {} signatures were given", what, o.signatures.size()));
  return o.signatures.empty() ? "" : o.signatures[0];
}

void write_dot(const Options& o) {
  const Model model(o.model, only(o, "a .dot file"));
  std::ofstream file(o.output);
  file << model.function().graph_text(tf::GraphFormat::dot, model.number());
  file.close();
  if (!file) throw std::runtime_error(fmt::format("cannot write '{}': {}", o.output, std::strerror(errno)));
}

void write_frozen(const Options& o) {
  const tf::SavedProgram program = tf::load(o.model);
  for (const std::string& name : o.signatures) (void)Model(program, name + ":0");  // lists signatures otherwise
  tf::save(o.output, tf::freeze(program, o.signatures));
}

void write_onnx(const Options& o) {
  const Model model(o.model, only(o, "an .onnx file"));
  tf::save_onnx(o.output, model.function(), {.trace = static_cast<int64_t>(model.number())});
}

void convert(const Options& o) {
  if (o.output.ends_with(".dot")) return write_dot(o);
  if (o.output.ends_with(".safetensors")) return write_frozen(o);
  if (o.output.ends_with(".onnx")) return write_onnx(o);
  throw UsageError(fmt::format("'{}' is no .onnx, .dot or .safetensors file", o.output));
}

}  // namespace

void add_convert(CLI::App& app) {
  auto* const sub = app.add_subcommand("convert", "Writes a saved program as ONNX, as a picture's source, or frozen.");
  const auto o = std::make_shared<Options>();
  sub->add_option("MODEL", o->model, "file that tf::save has written")->required();
  sub->add_option("-o,--output", o->output,
                  "FILE.dot, the graph for Graphviz; FILE.safetensors, a program whose variables are constants and "
                  "which holds only what results need; FILE.onnx, for other runtimes")
      ->required();
  sub->add_option("-s,--signature", o->signatures,
                  "of a frozen program all functions that it is to have, NAME,NAME; of other files one, NAME or "
                  "NAME:NUMBER")
      ->delimiter(',')
      ->allow_extra_args(false);
  sub->footer("Example: twofold convert net.safetensors --signature predict -o frozen.safetensors");
  sub->callback([o] { convert(*o); });
}

}  // namespace command
