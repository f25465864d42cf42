// Control dependencies in force on this thread.
#pragma once

#include <span>
#include <vector>

#include <twofold/graph/graph_data.h>

namespace twofold {

namespace internal {
/// Binds what is made during its lifetime to run after `nodes` of `g`; with `clear`, to nothing.
class [[nodiscard]] ControlScope {
 public:
  ControlScope(GraphData& g, std::vector<uint32_t> nodes, bool clear);
  ~ControlScope();
  ControlScope(const ControlScope&) = delete;
  ControlScope& operator=(const ControlScope&) = delete;
  /// Nodes of `g` that a node added now must follow.
  static std::span<const uint32_t> current(const GraphData& g);

 private:
  // A chain, not a vector: a program has few bytes for the threads of a library that it loads.
  static thread_local constinit ControlScope* t_innermost;
  const GraphData* graph_;
  std::vector<uint32_t> nodes_;  // the union in force
  ControlScope* outer_;
};
}  // namespace internal
using internal::ControlScope;

}  // namespace twofold
