// The node that is the gradient of control flow, and what it asks to be kept.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <twofold/graph/body_gradient.h>

namespace twofold {

/// One gradient that a Backprop node yields.
struct BackpropResult {
  std::vector<GradientPart> parts;  ///< numbers are of the node's outputs
  /// By body: its input whose gradient it is, -1: none; parts are those of one body after another. Empty: it is one
  /// part of each kind, rows being matrices of rows, a slice one that covers all.
  std::vector<int64_t> bodies;
  TWOFOLD_FIELDS(parts, bodies)
};
inline bool operator==(const BackpropResult& a, const BackpropResult& b) { return a.fields() == b.fields(); }
uint64_t hash_field(const BackpropResult& r);
std::string print_field(const BackpropResult& r);
void perturb_field(BackpropResult& r);

/// The gradient of an If or While node, or of such a gradient: the backward bodies of what that has called, in the
/// order back. Inputs: the forward node's trace, the inputs of its body (a gradient's are these again), the gradients
/// of outputs, then the bool scalars that tell whether those which are `conditional` have arrived. Outputs: the parts
/// of the gradients of the wanted inputs, then of the wanted variables, each with a bool scalar that tells whether it
/// has arrived (what has not is zero, or no rows); then its own trace, whose outputs are the values of these parts.
///
/// What an execution of If or While has called are the bodies of its node, and what its gradient called, those of the
/// gradient's. Together they are numbered, see bodies_traced.
struct BackpropAttrs {
  int64_t num_inputs = 0;                     ///< inputs of the forward body
  int64_t num_outputs = 0;                    ///< of the trace
  std::vector<int64_t> dys;                   ///< the outputs whose gradients are given
  std::vector<int64_t> conditional;           ///< of `dys`, by their place there
  std::vector<int64_t> wanted;                ///< of the inputs
  std::vector<Ref<VariableState>> variables;  ///< the forward body reads
  std::vector<int64_t> wanted_variables;      ///< of these
  bool nested = false;                        ///< within a body, whose sums go on
  std::vector<BackpropResult> results;        ///< of each that is wanted
  std::vector<DType> dtypes;                  ///< of the results
  std::vector<Shape> shapes;
  std::vector<BodyGradient> gradients;  ///< by number of the body
  TWOFOLD_FIELDS(num_inputs, num_outputs, dys, conditional, wanted, variables, wanted_variables, nested, results,
                 dtypes, shapes, gradients)
};

extern OpDef backprop_op;

/// The bodies that the execution of an If, While or Backprop node may have called, and those of the nodes whose traces
/// it reads before them: those that differentiable_bodies lists, then BackpropAttrs::gradients, of one node after
/// another. Null: one that is never called.
std::vector<const Body*> bodies_traced(const GraphData& g, uint32_t node);

struct BodyKept;
/// By node that calls bodies (If, While, Backprop): by its own among bodies_traced.
using KeptByNode = std::map<uint32_t, std::vector<BodyKept>>;
/// What of an execution of a body is kept for gradients.
struct BodyKept {
  std::vector<ForwardRead> edges;  ///< by key
  KeptByNode inner;                ///< of nodes whose traces are among `edges`

  void add(const ForwardRead& read);
};

/// What the Backprop nodes among `nodes` of `g` read of the nodes whose traces they are given.
KeptByNode kept_for_gradients(const GraphData& g, std::span<const uint32_t> nodes);
/// Adds what is in `more`.
void merge(KeptByNode& kept, const KeptByNode& more);

}  // namespace twofold
