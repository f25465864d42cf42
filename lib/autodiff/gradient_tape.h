// GradientTape: gradients of what was done while it lived, in both modes.
#pragma once

#include <memory>
#include <source_location>
#include <vector>

#include <twofold/lib/autodiff/gradients.h>

namespace twofold {

class Recording;

/// Options of `GradientTape`.
struct GradientTapeOptions {
  bool persistent = false;               ///< gradient() may be called more than once, and is recorded itself
  bool watch_accessed_variables = true;  ///< trainable variables need no watch()
};

/// Records what is done during its lifetime so that it can be differentiated; nested tapes give higher derivatives. In
/// deferred mode the graph is the record and `gradient` adds nodes to it; what may be differentiated by is the same in
/// both modes. It is of the thread that made it: `watch` and `gradient` throw FailedPrecondition on another; destroyed
/// there, it records no more. (TensorFlow: GradientTape)
class [[nodiscard("a tape records while it lives: give it a name, tf::GradientTape tape;")]] GradientTape {
 public:
  [[nodiscard("a tape records while it lives: give it a name, tf::GradientTape tape;")]] explicit GradientTape(
      GradientTapeOptions options = {});
  ~GradientTape();
  GradientTape(const GradientTape&) = delete;
  GradientTape& operator=(const GradientTape&) = delete;

  /// @{
  /// Uses of `x` from here on count. Throws InvalidArgument unless `x` is floating.
  void watch(const Tensor& x, std::source_location where = std::source_location::current());
  void watch(const Variable& x, std::source_location where = std::source_location::current());
  /// @}
  /// @{
  /// Gradients of the sum of ys by each of xs, undefined where unconnected or not watched; of one x that stands by
  /// itself, its gradient. Without `persistent` this may be called once (FailedPrecondition afterwards) and ends the
  /// recording.
  std::vector<Tensor> gradient(const Differentiables& ys, const Differentiables& xs,
                               std::source_location where = std::source_location::current());
  template <internal::GradientArgument X>
  Tensor gradient(const Differentiables& ys, const X& x, std::source_location where = std::source_location::current()) {
    return gradient(ys, Differentiables(x), where)[0];
  }
  /// @}

 private:
  GradientTapeOptions options_;
  const std::unique_ptr<Recording> recording_;
  const bool eager_;
  bool used_ = false;
};

}  // namespace twofold
