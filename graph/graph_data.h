// The graph itself: nodes, names, scopes, variables. Programs see it through Graph.
#pragma once

#include <atomic>
#include <bit>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/tensor_parts.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {

class Graph;
namespace internal {
struct GraphParts;
}

/// An output of a node of the same graph.
struct Edge {
  uint32_t node = 0;
  uint16_t output = 0;
  friend bool operator==(Edge, Edge) = default;
  uint64_t key() const { return uint64_t{node} << 16 | output; }
};

/// One op of a graph. Immutable once added, but for its name, which is read under the graph's mutex; ids are
/// topological and are the order of execution with optimisation off.
struct Node {
  const OpDef* op = nullptr;
  Ref<AttrsBox> attrs;                  ///< null if the op has none
  std::span<const Edge> inputs;         ///< in the graph's arena, as are all spans here
  std::span<const TensorSpec> outputs;  ///< visible, then hidden
  std::span<const uint32_t> controls;   ///< nodes that run whenever this one does, before it
  uint32_t scope = 0;
  uint32_t base = 0;        ///< interned last part of the name
  uint32_t ordinal = 0;     ///< "_2" behind it; 0: none
  int8_t device = -1;       ///< -1: left open
  bool only_names = false;  ///< an identity that only a name asked for: eager code has no such op
  uint32_t generation = 0;  ///< of a random op: which of the graph's random sequences it draws from
  std::source_location where{};

  AttrsView attrs_view() const { return attrs ? attrs->view() : AttrsView(); }
};

/// A node that was made elsewhere: what `add` would find out by itself is given.
struct NodeRecord {
  const OpDef* op = nullptr;
  Ref<AttrsBox> attrs;
  std::span<const Edge> inputs;
  std::span<const TensorSpec> outputs;
  std::span<const uint32_t> controls;
  uint32_t scope = 0;  ///< scope_id
  uint32_t base = 0;   ///< base_id
  uint32_t ordinal = 0;
  int8_t device = -1;
  bool only_names = false;
  uint32_t generation = 0;
  std::source_location where{};
};

/// Where nodes from `first` on, up to the next such, were made: what their identities (lib/op/observer.h) are counted
/// by.
struct MadeIn {
  uint32_t first = 0;
  uint64_t scope = 0;      ///< ThreadState::scope_path
  uint64_t body = 0;       ///< current_body()
  uint64_t execution = 0;  ///< current_execution(): a body may be built more than once
  uint64_t outermost = 0;  ///< outermost_execution()
};

/// What a graph knows of one of its variables.
struct GraphVariable {
  Ref<VariableState> state;
  Edge initial;
  uint32_t initializer = 0;
};

/// A value of an enclosing graph that a body uses, and the node that stands for it inside.
struct Capture {
  Tensor outer;
  Edge inner;
};

/// What symbols of a graph know of themselves, whoever holds them.
class GraphSymbols : public SymbolOwner {
 public:
  const TensorSpec& symbol_spec(uint32_t node, uint16_t output) const final;
  std::string symbol_name(uint32_t node, uint16_t output) const final;
  std::string symbol_device(uint32_t node) const final;
  uint64_t symbol_id(uint32_t node, uint16_t output) const final;
  std::source_location symbol_where(uint32_t node) const final;
  std::optional<PartialValues> symbol_known_values(uint32_t node, uint16_t output) const final;
  Tensor symbol_arrived(uint32_t node) const final;
  Tensor symbol_read(uint32_t, uint16_t, const HostRead&) const override { return {}; }

 protected:
  using SymbolOwner::SymbolOwner;
};

struct internal::GraphParts {
  static Graph graph(Ref<GraphData> data);
  static GraphData* data(const Graph& g);
};

/// Nodes in order of creation. Adding takes the mutex; a node once added is read without it, so that runs and building
/// go on side by side.
class GraphData final : public GraphSymbols {
 public:
  explicit GraphData(GraphData* outer = nullptr, std::string label = "graph");

  /// Adds a node. `name` is the wanted last part ("" for the op's own); made unique within the current scope. A name
  /// ending in '/' names the node exactly so. Throws FailedPrecondition if finalized.
  uint32_t add(const OpDef& op, std::span<const Edge> inputs, AttrsView attrs, std::span<const TensorSpec> outputs,
               std::string_view name, std::source_location where);
  /// Gives this graph, which is empty, the nodes of `other`, with their numbers and names.
  void begin_as(const GraphData& other);
  /// Adds a node as it is: to graphs that nobody else builds, of nodes whose names differ.
  uint32_t append(const NodeRecord& record);
  /// @{
  /// For the two parts of a name: "a/b/" and "add".
  uint32_t scope_id(std::string prefix);
  uint32_t base_id(std::string_view name);
  /// @}
  /// Nodes that are appended from now on were made there; `first` is set.
  void append_made_in(MadeIn made_in);
  /// Throws InvalidArgument unless a node can be called so.
  static void check_name(std::string_view name);
  /// Throws InvalidArgument if `name` is none of a scope: "s", "s/" or "".
  static void check_scope_name(std::string_view name);
  /// Gives a node another name, as `add` takes one.
  void rename(uint32_t id, std::string_view name, bool only_names = false);
  uint32_t size() const { return size_.load(std::memory_order_acquire); }
  const Node& node(uint32_t id) const {
    const auto chunk = chunk_of(id);
    return chunks_[chunk.index].load(std::memory_order_acquire)[chunk.offset];
  }
  const TensorSpec& spec(Edge e) const { return node(e.node).outputs[e.output]; }
  std::string node_name(uint32_t id) const;
  /// @{
  /// The parts of its name: "a/b/", "add" and, if it is not 0, "_2".
  std::string_view scope_name(const Node& n) const;
  std::string_view base_name(const Node& n) const;
  /// @}
  std::string edge_name(Edge e) const { return node_name(e.node) + ":" + std::to_string(e.output); }
  /// The node of that full name; -1 if there is none.
  int64_t find(std::string_view name) const;

  /// A scope inside `parent`, unique ("s_1"); "s/" re-enters, "" is the root.
  uint32_t open_scope(uint32_t parent, std::string_view name);

  void finalize() { finalized_ = true; }
  bool finalized() const { return finalized_; }

  // Variables, in order of creation.
  void add_variable(GraphVariable v);
  std::vector<GraphVariable> variables() const;
  /// The record of a variable of this graph or of one around it; throws InvalidArgument naming the variable if it is
  /// foreign.
  GraphVariable variable(const VariableState& v) const;
  /// A node that reads the variable at this point of the program.
  Edge read(const Ref<VariableState>& v, std::source_location where);

  /// @{
  /// Whether it, or a graph around it, is a function's that was made in eager mode: its nodes read and write eager
  /// variables where they are.
  void take_eager_variables() { takes_eager_variables_ = true; }
  bool takes_eager_variables() const;
  /// @}

  // A body: a branch, a loop's test or body, a function.
  GraphData* outer() const { return outer_.get(); }
  /// True if `g` is this graph or encloses it.
  bool within(const GraphData* g) const;
  /// The node inside that stands for `outer_tensor`, of an enclosing graph.
  Edge capture(const Tensor& outer_tensor);
  const std::vector<Capture>& captures() const { return captures_; }
  /// From within: whatever runs this body must run the node `outer_node` of the graph around it first.
  void follow(uint32_t outer_node) { followed_.push_back(outer_node); }
  const std::vector<uint32_t>& followed() const { return followed_; }
  /// No longer being built: its tensors must not be used outside. Lets go of the graph around it, whose node will hold
  /// this one.
  void close();
  bool closed() const { return body_closed_; }

  /// In order of `first`; the first is from node 0 on.
  std::vector<MadeIn> made_in() const {
    std::lock_guard lock(mutex_);
    return made_in_;
  }

  const std::string& label() const { return label_; }
  uint64_t id() const { return id_; }
  RandomOrdinals random;  ///< guarded by next_random_key's lock

  std::mutex& building() const { return mutex_; }

 private:
  ~GraphData() override;

  // Chunk k holds kFirst << k nodes, so that a node's place never moves and the directory is small.
  static constexpr uint32_t kFirst = 64;
  struct Place {
    uint32_t index, offset;
  };
  static Place chunk_of(uint32_t id) {
    const uint32_t k = static_cast<uint32_t>(std::bit_width(id / kFirst + 1)) - 1;
    return {k, id - kFirst * ((1u << k) - 1)};
  }

  struct Scope {
    uint32_t parent;
    std::string prefix;  // "a/b/", "" for the root
  };

  Node* place_for(uint32_t id);
  template <class T>
  std::span<const T> keep(std::span<const T> items);
  uint32_t intern(std::string_view name);
  uint32_t unique(uint32_t scope, uint32_t base);
  bool is_taken(uint32_t scope, uint32_t base, uint32_t ordinal) const;
  std::pair<uint32_t, uint32_t> scope_and_base(std::string_view name);  // in the current scope
  uint32_t scope_of(uint32_t parent, std::string prefix);               // found or made
  std::string name_locked(uint32_t id) const;

  mutable std::mutex mutex_;  // guards all below that is not atomic or fixed at construction
  std::atomic<Node*> chunks_[27] = {};
  std::atomic<uint32_t> size_{0};
  std::atomic<bool> finalized_{false}, body_closed_{false};
  bool takes_eager_variables_ = false;  // set before the graph is used

  std::vector<std::unique_ptr<std::byte[]>> arena_;
  size_t arena_left_ = 0;
  std::byte* arena_next_ = nullptr;

  std::vector<MadeIn> made_in_;
  std::deque<Scope> scopes_;
  std::unordered_map<std::string, uint32_t> scope_ids_;  // by prefix
  std::deque<std::string> bases_;
  std::unordered_map<std::string_view, uint32_t> base_ids_;  // views into bases_
  std::vector<uint32_t> op_bases_;                           // by op id; intern(op.node_name) + 1
  std::unordered_map<uint64_t, uint32_t> ordinals_;          // by scope and base: how many were made
  bool any_suffixed_ = false;                                // a base itself ends in _<number>
  mutable std::unordered_map<std::string, uint32_t> index_;  // names of the first indexed_ nodes
  mutable uint32_t indexed_ = 0;

  std::vector<GraphVariable> variables_;
  std::unordered_map<uint64_t, size_t> variable_index_;  // by VariableState::id

  Ref<GraphData> outer_;
  std::vector<Capture> captures_;
  std::unordered_map<uint64_t, size_t> capture_index_;  // by Tensor::id of the outer tensor
  std::vector<uint32_t> followed_;
  std::string label_;
  uint64_t id_;
};

/// The graph that sources add to on this thread.
GraphData& current_graph();
bool default_graph_has_nodes();

namespace internal {
/// Makes `g` the current graph of this thread, at its root scope and without control dependencies.
class [[nodiscard]] CurrentGraph {
 public:
  explicit CurrentGraph(GraphData& g);
  ~CurrentGraph();
  CurrentGraph(const CurrentGraph&) = delete;
  CurrentGraph& operator=(const CurrentGraph&) = delete;

 private:
  GraphData* outer_graph_;
  uint32_t outer_scope_;
};
}  // namespace internal
using internal::CurrentGraph;

/// The same, unless `g` is the current graph already, whose scope and control dependencies then stay in force.
class [[nodiscard]] EnterGraph {
 public:
  explicit EnterGraph(GraphData& g) {
    if (&g != &current_graph()) entered_.emplace(g);
  }

 private:
  std::optional<CurrentGraph> entered_;
};

/// Name given to the next node that is added on this thread.
class [[nodiscard]] NextName {
 public:
  explicit NextName(std::string_view name);
  ~NextName();
  NextName(const NextName&) = delete;
  NextName& operator=(const NextName&) = delete;
  std::string_view text() const { return text_; }

 private:
  const std::string_view text_;
};

}  // namespace twofold
