// What Tensor and Operation are made of, for the library's own sources: no header that programs include has this.
#pragma once

#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include <twofold/lib/op/tensor.h>

namespace twofold {

struct TensorSpec;

/// How code on the host asks for the elements of a symbol, or for an extent that its graph does not know.
struct HostRead {
  enum class Kind : uint8_t {
    truth,     ///< `if (t)`
    elements,  ///< `item`, `data`
    extent,    ///< `dim`
    count,     ///< `num_elements`
  };
  Kind kind;
  int64_t axis = 0;            ///< of an extent, from 0
  std::source_location where;  ///< the user's line, if it is known
};

/// What a symbol's handles hold: its graph, or what keeps the graph on their behalf while a step's body is built.
class SymbolOwner : public RefCounted {
 public:
  GraphData* graph() const noexcept { return graph_; }
  /// Of a step's body that has been built: its symbols must not be used outside.
  bool closed() const noexcept { return closed_; }

  // What the graph knows of its symbols, which are outputs of nodes.
  virtual const TensorSpec& symbol_spec(uint32_t node, uint16_t output) const = 0;
  virtual std::string symbol_name(uint32_t node, uint16_t output) const = 0;
  virtual std::string symbol_device(uint32_t node) const = 0;
  virtual uint64_t symbol_id(uint32_t node, uint16_t output) const = 0;
  virtual std::source_location symbol_where(uint32_t node) const = 0;
  /// The elements of an integer symbol as far as they follow from the graph alone (constants, extents that it knows,
  /// and what is computed from them); nothing where their number does not.
  virtual std::optional<std::vector<std::optional<int64_t>>> symbol_known_values(uint32_t node,
                                                                                 uint16_t output) const = 0;
  /// The bool scalar by which if_arrived guards the symbol; undefined if it is no result of that op.
  virtual Tensor symbol_arrived(uint32_t node) const = 0;
  /// What a read gives while `tf::trace` runs a body: the elements, or the number as an int64 scalar, which the trace
  /// keeps. Undefined: the symbol has no value yet. Throws FailedPrecondition for what a trace must not depend on.
  virtual Tensor symbol_read(uint32_t node, uint16_t output, const HostRead& read) const = 0;

 protected:
  explicit SymbolOwner(GraphData* graph) : graph_(graph) {}
  bool closed_ = false;  // set by the thread that builds, before others can see its symbols

 private:
  GraphData* const graph_;
};

struct internal::TensorParts {
  static Tensor adopt(Value* v) noexcept;
  static Tensor symbol(GraphData* graph, uint32_t node, uint16_t output) noexcept;
  static Value* value(const Tensor& t) noexcept { return reinterpret_cast<Value*>(t.object_); }
  static const SymbolOwner* owner(const Tensor& t) noexcept { return static_cast<const SymbolOwner*>(t.object_); }
  static uint32_t node(const Tensor& t) noexcept { return t.node_; }
  static uint16_t output(const Tensor& t) noexcept { return t.output_; }
  static GraphData* graph(const Operation& o) noexcept { return o.graph_; }
  static uint32_t node(const Operation& o) noexcept { return o.node_; }
};

}  // namespace twofold
