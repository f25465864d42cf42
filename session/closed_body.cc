// A function's body as a graph that needs none around it.
#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/session/function_parts.h>
#include <twofold/session/program/inline_calls.h>

namespace twofold::internal {

twofold::Body FunctionRunner::State::closed_body(const Built& b) const {
  if (b.traced.captured.empty()) return b.traced.body;
  std::lock_guard lock(b.preparing);
  const CallInHome& call = call_in_home(b);
  GraphData& g = *home->data();
  Request request{.operations = {call.trace.node()}};
  for (const Tensor& t : call.outputs) request.fetches.push_back({t.node(), t.output()});
  for (const Tensor& t : call.arguments) request.feeds.push_back({t.node(), t.output()});
  auto inlined = inline_calls(g, request, prune(g, request));
  if (!inlined) fail(Code::Internal, "a function's call was not found in its graph");
  for (uint32_t id : inlined->nodes) {
    const Node& n = inlined->graph->node(id);
    if (n.op == &placeholder_op)
      fail_at(where, "", Code::InvalidArgument,
              fmt::format("A function that is saved uses the placeholder '{}' of the graph around, made at {}",
                          inlined->graph->node_name(id), line_of(n.where)),
              "pass it as an argument");
  }
  twofold::Body body{.graph = inlined->graph,
                     .parameters = inlined->request.feeds,
                     .outputs = inlined->request.fetches,
                     .effects = inlined->request.operations};
  body.graph->close();
  std::ranges::sort(body.effects);
  for (uint32_t id : inlined->nodes) add_variables_of(body.graph->node(id), body);
  return body;
}

}  // namespace twofold::internal
