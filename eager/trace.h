// What a body did: the gradient of control flow is the gradient of the execution that was recorded.
#pragma once

#include <functional>
#include <source_location>
#include <span>
#include <vector>

#include <twofold/lib/autodiff/gradient_sum.h>
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
  bool goes_on = false;     ///< sums of its gradient go on in the body around it
};

/// Calls `body` eagerly with `inputs`, recorded apart; the tapes around see one record, so that what the body adds to
/// the gradient of a tensor is summed first.
Traced run_traced(std::span<const Tensor> inputs, const internal::TensorFunction& body, const TraceOptions& options);

/// What becomes of the sum that a gradient is.
enum class Summing : uint8_t {
  total,      ///< one tensor
  condensed,  ///< one part of each kind, see GradientSum
  parts,      ///< the parts that it has
};

/// What is asked of the gradient of a trace.
struct Backprop {
  std::vector<Tensor> inputs;                 ///< what the body was called with
  std::vector<Tensor> dys;                    ///< by output; undefined ones are left out
  std::vector<bool> arrived;                  ///< by output; a dy that has not arrived counts as an input only
  std::vector<size_t> wanted;                 ///< inputs whose gradients are asked for
  std::vector<Ref<VariableState>> variables;  ///< variables read in the body, likewise
  std::vector<Summing> summing;               ///< of each sum
  /// Which of the parts of a sum, given with its number, the outputs of its trace are; -1: one that is undefined.
  std::function<std::vector<int>(size_t, const GradientSum&)> slots;
};
struct TracedGradients {
  std::vector<GradientSum> sums;  ///< of `wanted`, then of `variables`; empty where unconnected
  Ref<Trace> trace;
};
/// With `keep` the result has a trace too, of the body's execution and its gradient together as a function of `inputs`
/// and the defined dys.
TracedGradients run_backprop(const Trace& trace, const Backprop& request, bool keep);

}  // namespace twofold
