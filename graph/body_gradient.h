// The gradient of a body as a body.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <twofold/graph/body.h>
#include <twofold/lib/op/backward.h>

namespace twofold {

/// Whether the gradient of an output of a body is given.
enum class Dy : uint8_t {
  none,
  always,
  conditional,  ///< with a bool scalar that tells whether it has arrived
};

template <>
inline constexpr int kEnumerators<Contribution::Kind> = 3;  // a part is no sum

/// One addend of a gradient, as outputs of a backward body by their numbers.
struct GradientPart {
  Contribution::Kind kind = Contribution::Kind::whole;  ///< whole, slice or rows
  uint32_t value = 0;
  int32_t indices = -1;  ///< of rows; of a slice whose place a run tells, where it begins
  int32_t arrived = -1;  ///< a bool scalar: where it is false this part is none; -1: it always arrives
  Axes begin, strides;   ///< of another slice: its SlicePlace
  TWOFOLD_FIELDS(kind, value, indices, arrived, begin, strides)
};
inline bool operator==(const GradientPart& a, const GradientPart& b) { return a.fields() == b.fields(); }
/// The part as it is added, of `outputs`.
Contribution contribution_of(const GradientPart& part, std::span<const Tensor> outputs);

/// The gradient of one input of a body: its parts in the order in which they are added.
struct InputGradient {
  uint32_t input = 0;  ///< among the body's parameters, then its captures, then the variables given
  std::vector<GradientPart> parts;
  TWOFOLD_FIELDS(input, parts)
};

/// A value of the forward body that the backward body reads.
struct ForwardRead {
  Edge edge;                ///< the same one in both graphs
  bool shape_only = false;  ///< its elements are not looked at
  TWOFOLD_FIELDS(edge, shape_only)
};

/// The backward body of a body: from the gradients of outputs to the gradients of inputs. Its graph is a copy of the
/// forward body's, whose nodes have the same numbers and names, with the ops of the gradient rules behind them. So it
/// is a function of the forward body's parameters and captures and of gradients, and a body like any other, which can
/// be differentiated in turn. Who has run the forward body does not run it again: given the values of `reads`, which
/// cut all forward nodes but constants off, gradient nodes alone are run. (Random ops, effects and reads of variables
/// are among those cut off.)
///
/// - parameters: the forward body's; one for each output whose Dy is not `none`, in order; a bool scalar for each that
///   is `conditional`, in order
/// - captures, capture_inputs: the forward body's
/// - outputs: what `inputs` refer to; those that carry gradients can be differentiated
/// - effects, reads, writes: none
struct BodyGradient {
  Body body;                          ///< without a graph: nobody asks for it
  uint32_t forward = 0;               ///< nodes before this one are the forward body's
  std::vector<ForwardRead> reads;     ///< what gradient nodes read of it, constants left out
  std::vector<Dy> dys;                ///< by output of the forward body
  std::vector<InputGradient> inputs;  ///< of those asked for that are connected

  TWOFOLD_FIELDS(body, forward, reads, dys, inputs)
  /// That of input number `i`; null: unconnected, or not asked for.
  const InputGradient* of(size_t i) const;
  /// Whether all that is read is known, so that no execution need keep it: a shape.
  bool knows(const ForwardRead& r) const { return r.shape_only && body.graph->spec(r.edge).shape.is_known(); }
  friend bool operator==(const BodyGradient& a, const BodyGradient& b) { return a.body == b.body; }
};
uint64_t hash_field(const BodyGradient& g);
std::string print_field(const BodyGradient& g);
void perturb_field(BodyGradient& g);
FieldValue to_field(const BodyGradient& g);
void from_field(const FieldValue& f, BodyGradient& g);

/// Differentiates `body`. `dys`: by output, `none` of those that carry none. `wanted`: inputs, numbered as
/// InputGradient's, that carry gradients. `variables`: those of the body by which one may differentiate
/// (differentiable_variables). Sums are in the order of eager tapes that record the body by itself, parts as
/// GradientSum has them. Throws where an op has no gradient, with that op's line.
BodyGradient differentiate_body(const Body& body, std::span<const Dy> dys, std::span<const uint32_t> wanted,
                                std::span<const Ref<VariableState>> variables);

/// Which outputs of `body` depend on its inputs `on`, numbered as InputGradient's, as gradients flow.
std::vector<bool> outputs_depending(const Body& body, std::span<const uint32_t> on,
                                    std::span<const Ref<VariableState>> variables);

}  // namespace twofold
