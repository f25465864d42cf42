// The process's default graph: the current graph of a thread unless a guard says otherwise.
#pragma once

#include <twofold/graph/graph_data.h>

namespace twofold {

/// A guard that speaks of nodes or scopes of the default graph makes it the graph of this thread for as long as it
/// lives, so that it never speaks of another, whoever resets the default. Null where the thread has a graph already.
Ref<RefCounted> keep_default_graph();
/// To be called with what `keep_default_graph` returned when the guard ends.
void release_default_graph(const Ref<RefCounted>& kept);

}  // namespace twofold
