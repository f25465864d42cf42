// The session of steps that were given none.
#pragma once

#include <memory>
#include <mutex>

#include <twofold/session/session.h>

namespace twofold::internal {

/// The session that steps of one graph share, while any of them holds it.
class SharedSession {
 public:
  explicit SharedSession(const Graph& graph) : session_(graph) {}
  static std::shared_ptr<SharedSession> of(const Graph& graph);

  /// The session, with every variable of the graph initialised.
  const Session& ready();

 private:
  Session session_;
  std::mutex mutex_;        // guards all below
  uint32_t seen_ = 0;       // the graph's size when variables were last looked for
  size_t initialized_ = 0;  // of the graph's variables, in order of creation
};

}  // namespace twofold::internal
