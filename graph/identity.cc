#include <twofold/graph/identity.h>

#include <map>
#include <set>
#include <tuple>

#include <twofold/graph/body.h>
#include <twofold/graph/graph_ops.h>

namespace twofold {

GraphIdentities identities_of(const GraphData& g) {
  const std::vector<MadeIn> made_in = g.made_in();
  std::map<std::tuple<uint64_t, uint64_t, const OpDef*>, uint64_t> next;  // ordinals, by execution, scope and op
  std::map<uint64_t, uint32_t> known;                                     // executions, by number
  GraphIdentities all{.of_body = g.closed()};
  size_t at = 0;
  for (uint32_t id = 0; id < g.size(); ++id) {
    while (at + 1 < made_in.size() && made_in[at + 1].first <= id) ++at;
    const MadeIn& in = made_in[at];
    const OpDef* op = g.node(id).op;
    // What a body inside captures from further out passes through here, but is no op of either; what a function does is
    // seen op by op.
    const bool passes = op == &capture_op || op == &call_op;
    if (in.execution != 0 && !passes) {
      const auto [execution, is_new] = known.try_emplace(in.execution, static_cast<uint32_t>(known.size()));
      if (is_new) all.executions.push_back({{in.body, id}, in.outermost});
      all.executions_of_nodes.push_back(execution->second);
    } else {
      all.executions_of_nodes.push_back(ObservedRun::kNone);
    }
    if (g.node(id).only_names || passes)
      all.of_nodes.emplace_back();
    else
      all.of_nodes.push_back(
          {.body = in.body, .scope = in.scope, .op = op->name, .ordinal = next[{in.execution, in.scope, op}]++});
  }
  return all;
}

std::pair<std::vector<BuiltExecution>, std::vector<uint32_t>> GraphIdentities::run_of(
    std::span<const uint32_t> nodes) const {
  std::set<uint64_t> families;
  for (uint32_t node : nodes)
    if (executions_of_nodes[node] != ObservedRun::kNone) families.insert(executions[executions_of_nodes[node]].family);
  std::vector<BuiltExecution> done;
  std::vector<uint32_t> places(executions.size(), ObservedRun::kNone);
  for (size_t i = 0; i < executions.size(); ++i) {
    if (!of_body && !families.contains(executions[i].family)) continue;
    places[i] = static_cast<uint32_t>(done.size());
    done.push_back(executions[i]);
  }
  std::vector<uint32_t> by_node;
  for (uint32_t execution : executions_of_nodes)
    by_node.push_back(execution == ObservedRun::kNone ? execution : places[execution]);
  return {std::move(done), std::move(by_node)};
}

}  // namespace twofold
