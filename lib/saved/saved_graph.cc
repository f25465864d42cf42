// A saved function as a graph of its own.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include <twofold/graph/body.h>
#include <twofold/graph/control.h>
#include <twofold/graph/graph_data.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/saved/graph_writer.h>
#include <twofold/lib/saved/saved_program.h>
#include <twofold/session/function_parts.h>

namespace twofold {
namespace {

using internal::Built;
using internal::FunctionParts;

// The trace of a signature, by its number in the order of signatures().
std::shared_ptr<const Built> trace_of(const SavedFunction& f, size_t signature, std::source_location where) {
  const auto& state = FunctionParts::state(f.runner());
  std::vector<std::shared_ptr<const Built>> traces;
  {
    std::lock_guard lock(state.mutex);
    for (const auto& [key, built] : state.built) traces.push_back(built);
  }
  std::ranges::sort(traces, {}, [](const auto& b) { return b->number; });
  if (signature >= traces.size())
    fail_at(where, "", Code::OutOfRange,
            fmt::format("'{}' has {} signature{}, and number {} was asked for, counted from 0", state.options.name,
                        traces.size(), traces.size() == 1 ? "" : "s", signature));
  return traces[signature];
}

}  // namespace

SavedGraph SavedFunction::in_graph(size_t signature, Where where) const {
  const SourceScope source_scope(where);
  const auto& state = FunctionParts::state(runner());
  const auto built = trace_of(*this, signature, where);
  const internal::TracedFunction& traced = built->traced;
  const DeferredMode deferred;
  SavedGraph made;
  GraphData& g = *made.graph.data();
  g.take_eager_variables();
  const auto scope = made.graph.as_default();
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < traced.body.parameters.size(); ++i) {
    const TensorSpec& spec = traced.body.graph->spec(traced.body.parameters[i]);
    inputs.push_back(placeholder(spec.dtype, spec.shape, {.name = "argument"}, where));
    made.arguments.emplace_back(traced.argument_names[i], inputs.back());
  }
  const Outputs outputs = state.call_node(traced, inputs);
  for (size_t i = 0; i < traced.values.size(); ++i) made.results.emplace_back(traced.result_names[i], traced.values[i]);
  for (size_t i = 0; i < traced.places.size(); ++i) made.results[traced.places[i]].second = outputs[i];
  made.call = outputs[outputs.size() - 1].op();
  return made;
}

std::string SavedFunction::graph_text(GraphFormat format, size_t signature, Where where) const {
  const auto built = trace_of(*this, signature, where);
  const internal::TracedFunction& traced = built->traced;
  saved::FunctionNames names{.function = FunctionParts::state(runner()).options.name,
                             .arguments = traced.argument_names};
  for (size_t place : traced.places) names.results.push_back(traced.result_names[place]);
  return format == GraphFormat::dot ? saved::dot_of(traced.body, names) : saved::text_of(traced.body, names);
}

}  // namespace twofold
