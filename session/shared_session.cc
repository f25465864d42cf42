#include <twofold/session/shared_session.h>

#include <unordered_map>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/session/session_data.h>

namespace twofold::internal {

std::shared_ptr<SharedSession> SharedSession::of(const Graph& graph) {
  static std::mutex g_mutex;
  static auto* g_sessions = new std::unordered_map<uint64_t, std::weak_ptr<SharedSession>>;  // by graph id
  std::lock_guard lock(g_mutex);
  std::erase_if(*g_sessions, [](const auto& entry) { return entry.second.expired(); });
  auto& known = (*g_sessions)[graph.data()->id()];
  auto session = known.lock();
  if (!session) known = session = std::make_shared<SharedSession>(graph);
  return session;
}

const Session& SharedSession::ready() {
  SessionParts::data(session_).refuse_in_observer("run");
  std::lock_guard lock(mutex_);
  const Graph graph = session_.graph();
  const auto size = graph.data()->size();
  if (size == seen_) return session_;
  const auto variables = graph.data()->variables();
  std::vector<Fetch> initializers;
  for (size_t i = initialized_; i < variables.size(); ++i)
    initializers.emplace_back(Operation(Ref<GraphData>(graph.data()), variables[i].initializer));
  if (!initializers.empty()) session_.run(initializers);
  initialized_ = variables.size();
  seen_ = size;
  return session_;
}

}  // namespace twofold::internal
