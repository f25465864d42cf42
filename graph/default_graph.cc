#include <twofold/graph/default_graph.h>

#include <mutex>

#include <twofold/graph/graph.h>

namespace twofold {
namespace {

std::mutex g_default_mutex;
Ref<GraphData> g_default;  // guarded by g_default_mutex

// Precondition: g_default_mutex is held.
GraphData& process_graph() {
  if (!g_default) g_default = make_ref<GraphData>();
  return *g_default;
}

}  // namespace

Ref<RefCounted> keep_default_graph() {
  if (t_state.graph) return {};
  std::lock_guard lock(g_default_mutex);
  t_state.graph = &process_graph();
  return Ref<RefCounted>(t_state.graph);
}
void release_default_graph(const Ref<RefCounted>& kept) {
  if (kept) t_state.graph = nullptr;
}

GraphData& current_graph() {
  if (t_state.graph) return *t_state.graph;
  std::lock_guard lock(g_default_mutex);
  return process_graph();
}

CurrentGraph::CurrentGraph(GraphData& g) : outer_graph_(t_state.graph), outer_scope_(t_state.scope) {
  t_state.graph = &g;
  t_state.scope = 0;
}
CurrentGraph::~CurrentGraph() {
  t_state.graph = outer_graph_;
  t_state.scope = outer_scope_;
}

bool default_graph_has_nodes() {
  std::lock_guard lock(g_default_mutex);
  return g_default && g_default->size() != 0;
}

Graph get_default_graph() { return Graph::of(Ref<GraphData>(&current_graph())); }

void reset_default_graph(std::source_location where) {
  if (t_state.graph)
    fail_at(where, "", Code::FailedPrecondition,
            "Do not use tf.reset_default_graph() to clear nested graphs. If you need a cleared graph, exit the nesting "
            "and create a new graph. (An as_default, name_scope or control_dependencies is alive on this thread)",
            "tf::Graph graph; auto scope = graph.as_default();");
  auto fresh = make_ref<GraphData>();
  std::lock_guard lock(g_default_mutex);
  std::swap(g_default, fresh);
}

}  // namespace twofold
