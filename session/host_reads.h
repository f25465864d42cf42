// What code that tf::trace runs reads on the host.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <twofold/graph/body_symbols.h>
#include <twofold/graph/guard.h>
#include <twofold/session/session.h>

namespace twofold::internal {

/// Edges of a body's graph and the values that they are to have in a run.
struct FedEdges {
  std::vector<Edge> edges;
  std::vector<Tensor> values;
  void add(Edge e, const Tensor& value) {
    edges.push_back(e);
    values.push_back(value);
  }
};
/// What `wanted` are, once the nodes of `g` before `end` have done what they do, with the variables that `session`
/// sees: by a run that changes nothing. `g` need not be whole yet. Throws as the nodes do.
std::vector<Tensor> try_out(const Session& session, GraphData& g, uint32_t end, std::span<const Edge> wanted,
                            const FedEdges& feeds);

/// Gives a body that is being traced the values that its symbols have for the examples, and adds a guard for each that
/// depends on arguments, variables or random numbers. Of one thread.
class HostReads final : public TracedReads {
 public:
  /// `g` has its parameters and no other node. `examples`: by parameter. `trace` tells the trace from others.
  HostReads(const Session& session, GraphData& g, const BodySymbols& symbols, std::vector<Tensor> examples,
            int64_t trace);

  Tensor read(Edge e, const HostRead& read) override;
  /// Parameter `i` with the shape that its example has, to which a guard binds the trace.
  Tensor of_known_shape(size_t i, const Tensor& parameter, std::source_location where);

 private:
  Tensor asked(Edge e, const HostRead& read);
  Tensor value_of(Edge e);
  bool depends(Edge e);
  void add_guard(Edge e, const char* what, const Tensor& value, std::source_location where);

  const Session& session_;
  GraphData& graph_;
  const BodySymbols& symbols_;
  FedEdges given_;  // parameters, then captures
  size_t captures_ = 0;
  const int64_t trace_;
  std::map<std::tuple<uint64_t, HostRead::Kind, int64_t>, Tensor> answers_;  // kept: spans of elements refer to them
  std::map<uint64_t, std::pair<Edge, Tensor>> known_;                        // by edge: what handles are held of
  std::map<uint32_t, bool> depends_;                                         // by node
  std::vector<uint32_t> last_guard_;                                         // which the next one comes after
  int64_t guards_ = 0;
};

}  // namespace twofold::internal
