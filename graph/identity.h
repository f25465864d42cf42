// What the nodes of a graph are observed as.
#pragma once

#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/op/observer.h>

namespace twofold {

/// By node; which execution of its body it is, only the run can tell.
std::vector<OpIdentity> identities_of(const GraphData& g);

}  // namespace twofold
