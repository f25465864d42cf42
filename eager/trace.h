// What a body did: the gradient of control flow is the gradient of the execution that was recorded.
#pragma once

#include <source_location>
#include <span>
#include <vector>

#include <twofold/lib/core/ref.h>
#include <twofold/lib/op/tensor_function.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/op/variable_state.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

/// The records of one execution of a body, with what gradient rules read of it. Both modes make and differentiate
/// traces with the same code, hence with equal bits: eager execution hangs them in its tapes, a session hands them from
/// an If or While node to the node of its gradient.
class Trace : public RefCounted {};

struct Traced {
  std::vector<Tensor> outputs;
  Ref<Trace> trace;
};

struct TraceOptions {
  std::source_location where{};
  bool everything = false;  ///< not only what the tapes around it watch: every input and every variable read
  bool pass = false;        ///< one pass of a loop
};

/// Calls `body` eagerly with `inputs`, recorded apart; the tapes around see one record, so that what the body adds to
/// the gradient of a tensor is summed first.
Traced run_traced(std::span<const Tensor> inputs, const internal::TensorFunction& body, const TraceOptions& options);

/// What is asked of the gradient of a trace.
struct Backprop {
  std::vector<Tensor> inputs;                 ///< what the body was called with
  std::vector<Tensor> dys;                    ///< by output; undefined ones are left out
  std::vector<bool> arrived;                  ///< by output; a dy that has not arrived counts as an input only
  std::vector<size_t> wanted;                 ///< inputs whose gradients are asked for
  std::vector<Ref<VariableState>> variables;  ///< variables read in the body, likewise
  bool nested = false;                        ///< within another body, whose sums go on
};
/// A gradient as a graph's node of it hands it out.
struct TracedGradient {
  Tensor whole;   ///< the sum, where it is not nested
  Tensor slices;  ///< the sum of slices, to be added as a slice that covers all
  Tensor rows, indices;
};
struct TracedGradients {
  std::vector<TracedGradient> of;  ///< of `wanted`, then of `variables`; undefined where unconnected
  Ref<Trace> trace;
};
/// With `keep` the result has a trace too, of the body's execution and its gradient together as a function of `inputs`
/// and the defined dys. Its outputs are the whole tensors or, nested, `whole`, `slices` and `rows` of each.
TracedGradients run_backprop(const Trace& trace, const Backprop& request, bool keep);

}  // namespace twofold
