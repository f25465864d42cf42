// What If, While and Call nodes hold: bodies and how they are wired.
#pragma once

#include <string>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {

class Backward;

/// A graph as a function: parameters and captures in, outputs out. Identity is what counts when two are compared.
struct Body {
  Ref<GraphData> graph;
  std::vector<Edge> parameters;
  std::vector<Edge> captures;            ///< nodes inside that stand for values of the graph around
  std::vector<uint32_t> capture_inputs;  ///< which input of the node that holds it each of them is
  std::vector<Edge> outputs;
  std::vector<uint32_t> effects;          ///< nodes that run each time: effects, random ops, checks nobody reads
  std::vector<Ref<VariableState>> reads;  ///< variables read inside, nested bodies included
  std::vector<Ref<VariableState>> writes;

  const TensorSpec& output_spec(size_t i) const { return graph->spec(outputs[i]); }
  friend bool operator==(const Body& a, const Body& b) { return a.graph == b.graph && a.outputs == b.outputs; }
};
uint64_t hash_field(const Body& b);
std::string print_field(const Body& b);
void perturb_field(Body& b);
FieldValue to_field(const Body& b);
void from_field(const FieldValue& f, Body& b);

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

/// A function called with symbols. Inputs: the arguments, then what is captured.
struct CallAttrs {
  Body body;
  TWOFOLD_FIELDS(body)
};

extern OpDef if_op, while_op, call_op;

/// The variables that the body of an If, While, Call or Backprop node reads and may be differentiated by.
std::vector<Ref<VariableState>> differentiable_variables(const OpDef& op, AttrsView attrs);
void control_flow_gradient(Backward& b);

/// Those of `nodes` of `g`, in order, that may fail, by themselves or in a body of theirs, and that nothing in `needed`
/// comes after. Eager, they would fail though nobody reads them.
std::vector<uint32_t> unread_checks(const GraphData& g, std::span<const uint32_t> nodes,
                                    std::span<const uint32_t> needed);
/// The bodies of an If, While or Call node; empty for any other.
std::vector<const Body*> bodies_of(const OpDef& op, AttrsView attrs);
/// Those of them through which gradients go back: not a loop's test.
std::vector<const Body*> differentiable_bodies(const OpDef& op, AttrsView attrs);
/// What is known of both shapes.
Shape merged_shape(const Shape& a, const Shape& b);
/// Throws InvalidArgument, naming both lines, if `t` is of a body that has been built: it has no value outside of it.
void check_not_escaped(const Tensor& t, std::source_location used);
/// The edge of `g` for a tensor that code inside `g` uses: its own, a capture, or a constant.
Edge edge_in(GraphData& g, const Tensor& t, std::source_location where);

}  // namespace twofold
