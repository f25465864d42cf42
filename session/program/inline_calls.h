// Functions that a run calls, put where they are called.
#pragma once

#include <optional>
#include <span>

#include <twofold/session/program/passes.h>
#include <twofold/session/program/program.h>

namespace twofold {

/// A graph in which the nodes of functions stand where the graph that it was made from calls them, and the same request
/// of it.
struct InlinedCalls {
  Ref<GraphData> graph;
  Request request;
  std::vector<uint32_t> nodes;  ///< those that the request needs
  int64_t count = 0;            ///< of calls
};

/// Of `nodes`, which `request` needs of `g`, those that call a function give way to what it does. Its nodes keep their
/// lines, attributes and identities; a call stays if it is fed, or if its gradient wants what it has done. Nothing if
/// no call goes. Nodes that are not needed are not in the new graph.
std::optional<InlinedCalls> inline_calls(const GraphData& g, const Request& request, std::span<const uint32_t> nodes);

inline constexpr Pass kInlinePass = {
    .name = "inline", .doc = "puts the nodes of a function where it is called", .run = nullptr};

}  // namespace twofold
