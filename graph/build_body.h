// Building a body: a function of tensors becomes a graph, and a node of the graph around it holds that.
#pragma once

#include <functional>
#include <optional>
#include <source_location>
#include <span>
#include <vector>

#include <twofold/graph/body.h>
#include <twofold/graph/body_symbols.h>
#include <twofold/lib/op/body_execution.h>
#include <twofold/lib/op/tensor_function.h>

namespace twofold {

/// The graph that new nodes with these operands belong to, or bodies that use them lie in: that of the symbols among
/// them, unless a body inside of it is being built.
GraphData& surrounding_graph(std::span<const Tensor> given);
/// Whether `n` runs each time that its body does, for what it or a body of it does or draws.
bool has_effect(const Node& n);
/// Adds to `reads` and `writes` of `b` the variables that `n`, one of its nodes, or a body of that uses.
void add_variables_of(const Node& n, Body& b);

/// A body, and what of the graph around it the node that holds it must be given.
struct BuiltBody {
  Body body;
  std::vector<Capture> captures;
  std::vector<uint32_t> follows;  ///< nodes of the graph around it that must run before its node
};

/// Calls `f` once with parameters of `specs` in a graph inside of `outer`, called `label` in errors. Its results are
/// the body's outputs. `symbols`, unless null, gets what counts the handles of the body's nodes, for the caller to
/// close.
BuiltBody build_body(GraphData& outer, const char* label, const BodyKey& key, std::span<const TensorSpec> specs,
                     std::source_location where, const internal::TensorFunction& f,
                     std::optional<BodySymbols>* symbols = nullptr);

/// The node that holds one body or two: each outer tensor that they capture becomes one input of it.
class BodyNode {
 public:
  /// `first`: its first inputs.
  explicit BodyNode(std::vector<Tensor> first) : inputs_(std::move(first)), first_(inputs_.size()) {}
  /// The body, told which inputs its captures are.
  Body add(BuiltBody built);
  /// Adds the node to `outer`: all outputs, the hidden one too.
  Outputs make(GraphData& outer, const OpDef& op, AttrsView attrs, std::source_location where) const;

 private:
  std::vector<Tensor> inputs_;
  size_t first_;
  std::vector<uint32_t> follows_;
};

}  // namespace twofold
