// What a GradientTape asks of a mode.
#pragma once

#include <span>
#include <vector>

#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {

/// What one GradientTape has seen, which each mode keeps in its own way.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Throws FailedPrecondition on another thread than the one that it is of.
  virtual void check_thread() const {}
  virtual void watch(const Tensor& x) = 0;
  virtual void watch(const Ref<VariableState>& x) = 0;
  /// Undefined where unconnected or not watched. The `last` that is asked for ends the recording.
  virtual std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs, bool last) = 0;
};

}  // namespace twofold
