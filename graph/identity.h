// What the nodes of a graph are observed as.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/op/observed_thread.h>

namespace twofold {

struct GraphIdentities {
  /// One of `executions`, as those of a family: built within one outermost execution, so that a run does all or none.
  struct Execution : BuiltExecution {
    uint64_t family = 0;
  };

  std::vector<OpIdentity> of_nodes;           ///< but for the execution; without an op: not to be seen
  std::vector<uint32_t> executions_of_nodes;  ///< by node, in `executions`; ObservedRun::kNone: outside of all
  std::vector<Execution> executions;          ///< by their first nodes
  bool of_body = false;                       ///< the graph is a body's

  /// What a run of `nodes` executes, for ObservedRun, and by node which of these; in a body's graph, all.
  std::pair<std::vector<BuiltExecution>, std::vector<uint32_t>> run_of(std::span<const uint32_t> nodes) const;
};

GraphIdentities identities_of(const GraphData& g);

}  // namespace twofold
