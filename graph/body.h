// What If and While nodes hold: subgraphs and how they are wired.
#pragma once

#include <string>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

/// A subgraph as a function: parameters and captures in, outputs out. Identity is what counts when two are compared.
struct Body {
  Ref<GraphData> graph;
  std::vector<Edge> parameters;
  std::vector<Edge> captures;            ///< nodes inside that stand for values of the graph around
  std::vector<uint32_t> capture_inputs;  ///< which input of the If or While node each of them is
  std::vector<Edge> outputs;
  std::vector<uint32_t> effects;          ///< nodes that run at every pass, whoever reads them
  std::vector<Ref<VariableState>> reads;  ///< variables read inside, nested bodies included
  std::vector<Ref<VariableState>> writes;

  const TensorSpec& output_spec(size_t i) const { return graph->spec(outputs[i]); }
  friend bool operator==(const Body& a, const Body& b) { return a.graph == b.graph && a.outputs == b.outputs; }
};
uint64_t hash_field(const Body& b);
std::string print_field(const Body& b);
void perturb_field(Body& b);

/// Input 0 is the predicate; the rest is captured.
struct IfAttrs {
  Body then_body, else_body;
  TWOFOLD_FIELDS(then_body, else_body)
};
/// Inputs: the initial state, then what is captured.
struct WhileAttrs {
  Body test, body;
  TWOFOLD_FIELDS(test, body)
};

extern OpDef if_op, while_op;

/// The subgraphs of an If or While node; empty for any other.
std::vector<const Body*> bodies_of(const OpDef& op, AttrsView attrs);
/// What is known of both shapes.
Shape merged_shape(const Shape& a, const Shape& b);
/// The edge of `g` for a tensor that code inside `g` uses: its own, a capture, or a constant. Throws for a closed
/// body's.
Edge edge_in(GraphData& g, const Tensor& t, std::source_location where);

}  // namespace twofold
