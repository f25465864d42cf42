// Control dependencies in force on this thread.
#pragma once

#include <span>
#include <vector>

#include <twofold/graph/graph_data.h>

namespace twofold {

/// Nodes of `g` that a node added now must follow.
std::span<const uint32_t> current_controls(const GraphData& g);

namespace internal {
/// Binds what is made during its lifetime to run after `nodes` of `g`; with `clear`, to nothing.
class [[nodiscard]] ControlScope {
 public:
  ControlScope(GraphData& g, std::vector<uint32_t> nodes, bool clear);
  ~ControlScope();
  ControlScope(const ControlScope&) = delete;
  ControlScope& operator=(const ControlScope&) = delete;
  static std::span<const uint32_t> current(const GraphData& g);

 private:
  static thread_local constinit ControlScope*
      t_innermost;  // a pointer: a program has few bytes for a library's threads
  const GraphData* graph_;
  std::vector<uint32_t> nodes_;  // the union in force
  ControlScope* outer_;
};
}  // namespace internal
using internal::ControlScope;

}  // namespace twofold
