// Errors that rise while a graph's node is planned or run know the node and its line.
#pragma once

#include <utility>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/core/error.h>

namespace twofold {

/// Rethrows `e` with the node's op, name and line where they are missing.
[[noreturn]] void rethrow_for_node(const Error& e, const GraphData& g, uint32_t node);

template <class F>
decltype(auto) with_node(const GraphData& g, uint32_t node, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const Error& e) {
    rethrow_for_node(e, g, node);
  }
}

}  // namespace twofold
