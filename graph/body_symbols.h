// The symbols of a step's body: who holds them when the body is built.
#pragma once

#include <source_location>
#include <span>
#include <unordered_map>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// What gives symbols of a body their values while it is traced.
class TracedReads {
 public:
  /// As SymbolOwner::symbol_read says.
  virtual Tensor read(Edge e, const HostRead& read) = 0;

 protected:
  ~TracedReads() = default;
};

/// While a step's body is built on this thread, handles of the nodes that it makes are counted node by node. Once it is
/// closed they must not be used: a symbol of one build says nothing in the next, nor outside.
class BodySymbols {
 public:
  explicit BodySymbols(GraphData& g);
  /// Closes.
  ~BodySymbols();
  BodySymbols(const BodySymbols&) = delete;
  BodySymbols& operator=(const BodySymbols&) = delete;

  /// Node `id` was added to `g` on this thread.
  void add(const GraphData& g, uint32_t id);
  /// The nodes of its graph that this thread has added meanwhile, in order: other threads add theirs.
  std::span<const uint32_t> nodes() const { return nodes_; }
  /// What a handle of `node` of `g` is to hold.
  SymbolOwner* owner(GraphData* g, uint32_t node);
  /// A value that the body uses, as the constant that its node holds.
  Tensor constant(const Tensor& value, std::source_location where);

  /// Whether a body that is being traced on this thread, of graph `g`, has values for its symbols.
  static bool answers(const GraphData& g);
  /// Reads of its symbols on this thread are `reads`'s to answer from now on; it must live as long.
  void answer_by(TracedReads& reads);

  /// The body is built: its symbols must not be used any more.
  void close();
  /// Nodes, in order, of which there are more handles than entries in `known`.
  std::vector<uint32_t> held(std::span<const uint32_t> known) const;

  struct Used {
    Tensor value;
    std::source_location where;
    int32_t own;  ///< references to it here and from the constant
    /// Nobody else holds the value any more: what the body used is gone, or another value stands in its place.
    bool is_gone() const { return value.value()->count() <= own; }
  };
  /// Values that somebody holds beside the body's nodes.
  std::vector<Used> shared_values() const;

 private:
  class Owner;
  bool is_of_this_thread() const;
  const Ref<GraphData> graph_;
  const uint32_t begin_;
  BodySymbols* const outer_;
  TracedReads* reads_ = nullptr;
  const bool outer_traces_values_;
  bool closed_ = false;
  std::vector<uint32_t> nodes_;
  std::vector<Ref<Owner>> owners_;  // by node, from begin_ on; null where no handle was made
  std::unordered_map<const Value*, std::pair<Used, Tensor>> constants_;
};

}  // namespace twofold
