// twofold inspect: what lies in a saved program.
#include <fmt/format.h>

#include <twofold/twofold.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "command.h"
#include "model.h"

namespace command {

namespace tf = twofold;
using json = nlohmann::ordered_json;

namespace {

struct Options {
  std::string model, signature, graph;
  bool as_json = false;
};

const char* name_of(tf::MathMode mode) {
  return mode == tf::MathMode::strict ? "strict" : mode == tf::MathMode::tf32 ? "tf32" : "pedantic";
}

// Extents of a shape, null for those that are not known; null for an unknown rank.
json extents_of(const tf::Shape& shape) {
  if (!shape.has_rank()) return nullptr;
  json list = json::array();
  for (int64_t d : shape.raw()) list.push_back(d < 0 ? json(nullptr) : json(d));
  return list;
}

json values_of(const std::vector<tf::SavedValue>& values) {
  json list = json::array();
  for (const tf::SavedValue& v : values)
    list.push_back({{"name", v.name}, {"dtype", tf::name_of(v.dtype)}, {"shape", extents_of(v.shape)}});
  return list;
}

struct VariableFacts {
  std::string name;
  tf::Tensor value;
  tf::Shape declared;
  bool trainable = false;
  int64_t bytes() const { return value.num_elements() * static_cast<int64_t>(tf::size_of(value.dtype())); }
};

std::vector<VariableFacts> variables_of(const tf::SavedProgram& program) {
  const tf::EagerMode eager;
  std::vector<VariableFacts> all;
  for (const auto& [name, v] : program.variables()) all.push_back({name, v.read(), v.shape(), v.trainable()});
  return all;
}

std::string engines_of(const tf::SavedInfo& info) {
  std::string s = fmt::format("{}, math mode {}", info.deterministic ? "deterministic" : "not deterministic",
                              name_of(info.math_mode));
  if (!info.isa.empty()) s += ", CPU kernels " + info.isa;
  if (!info.gpu.empty()) s += ", GPU " + info.gpu;
  return s;
}

void print_text(const Options& o, const tf::SavedProgram& program) {
  const tf::SavedInfo& info = program.info();
  fmt::print("{}: {} bytes, format {}, written by {}\n", o.model, std::filesystem::file_size(o.model), info.format,
             info.producer);
  fmt::print("arithmetic: {}\n\nsignatures:\n", engines_of(info));
  for (const tf::SavedSignature& s : program.signatures()) {
    std::ostringstream line;
    line << s;
    fmt::print("  {}\n", line.str());
  }
  const auto variables = variables_of(program);
  if (variables.empty()) return;
  size_t width = 0;
  int64_t bytes = 0, trainable = 0, elements = 0;
  for (const VariableFacts& v : variables) {
    width = std::max(width, v.name.size());
    bytes += v.bytes();
    elements += v.value.num_elements();
    if (v.trainable) trainable += v.value.num_elements();
  }
  fmt::print("\nvariables:\n");
  for (const VariableFacts& v : variables)
    fmt::print("  {:<{}}  {:<8} {:<20} {:>12} bytes  {}\n", v.name, width, tf::name_of(v.value.dtype()),
               v.value.shape().str(), v.bytes(), v.trainable ? "trainable" : "state");
  fmt::print("  {} variables, {} numbers, {} of them trainable, {} bytes\n", variables.size(), elements, trainable,
             bytes);
}

void print_json(const Options& o, const tf::SavedProgram& program) {
  const tf::SavedInfo& info = program.info();
  json all = {{"file", o.model},
              {"bytes", std::filesystem::file_size(o.model)},
              {"format", info.format},
              {"producer", info.producer},
              {"engines",
               {{"deterministic", info.deterministic},
                {"math_mode", name_of(info.math_mode)},
                {"isa", info.isa},
                {"gpu", info.gpu}}},
              {"signatures", json::array()},
              {"variables", json::array()}};
  for (const tf::SavedSignature& s : program.signatures())
    all["signatures"].push_back(
        {{"name", s.name}, {"arguments", values_of(s.arguments)}, {"results", values_of(s.results)}});
  for (const VariableFacts& v : variables_of(program))
    all["variables"].push_back({{"name", v.name},
                                {"dtype", tf::name_of(v.value.dtype())},
                                {"shape", extents_of(v.value.shape())},
                                {"declared_shape", extents_of(v.declared)},
                                {"bytes", v.bytes()},
                                {"trainable", v.trainable}});
  fmt::print("{}\n", all.dump(2, ' ', false, json::error_handler_t::replace));
}

void inspect(const Options& o) {
  if (!o.graph.empty()) {
    const Model model(o.model, o.signature);
    const auto format = o.graph == "dot" ? tf::GraphFormat::dot : tf::GraphFormat::text;
    fmt::print("{}", model.function().graph_text(format, model.number()));
    return;
  }
  if (!o.signature.empty()) throw UsageError("--signature says of which function --graph is to be shown");
  const tf::SavedProgram program = tf::load(o.model);
  o.as_json ? print_json(o, program) : print_text(o, program);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto* const sub = app.add_subcommand("inspect", "Shows signatures, variables and graphs of a saved program.");
  const auto o = std::make_shared<Options>();
  sub->add_option("MODEL", o->model, "file that tf::save has written")->required();
  auto* const graph = sub->add_option("--graph", o->graph, "shows the graph of a signature: text, or dot for Graphviz")
                          ->check(CLI::IsMember({"text", "dot"}));
  sub->add_option("-s,--signature", o->signature, "of --graph: NAME or NAME:NUMBER; the only one, or predict");
  sub->add_flag("--json", o->as_json, "signatures and variables as JSON")->excludes(graph);
  sub->footer("Example: twofold inspect net.safetensors --graph dot --signature predict | dot -Tsvg -o net.svg");
  sub->callback([o] { inspect(*o); });
}

}  // namespace command
