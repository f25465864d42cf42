// Gradients, in both modes.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

/// What one can differentiate by.
class Differentiable {
 public:
  Differentiable(Tensor t) : tensor_(std::move(t)) {}
  Differentiable(const Variable& v) : variable_(v.state()) {}
  const Tensor& tensor() const { return tensor_; }
  /// Null for a tensor.
  const Ref<VariableState>& variable() const { return variable_; }

 private:
  Tensor tensor_;
  Ref<VariableState> variable_;
};

/// d(sum of all elements of all ys)/dx for each x, or, with dys, sum over ys of <dy, dy/dx>. Deferred, it adds nodes;
/// eager, it goes over the innermost live GradientTape and throws FailedPrecondition if there is none. An x that no y
/// depends on has an undefined gradient, which prints `None`. Throws InvalidArgument for an op that has no gradient
/// rule. (TensorFlow: gradients)
std::vector<Tensor> gradients(const std::vector<Tensor>& ys, const std::vector<Differentiable>& xs,
                              const std::vector<Tensor>& dys = {},
                              std::source_location where = std::source_location::current());
std::vector<Tensor> gradients(const Tensor& y, const std::vector<Differentiable>& xs,
                              std::source_location where = std::source_location::current());

/// Throws InvalidArgument for None among ys and xs, for a y that is not floating, for a dy unlike its y;
/// FailedPrecondition for symbols in eager mode. An undefined dy stands for no gradient. Precondition: a SourceFrame.
void check_gradient_arguments(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                              std::span<const Tensor> dys);

/// A place in the order of a graph's nodes.
struct GraphPosition {
  const GraphData* graph = nullptr;
  uint32_t node = 0;
};

/// What a tape over a graph has seen, as an eager one would have recorded it.
struct GraphWatch {
  GraphPosition begin;    ///< nodes before do not count
  bool trainable = true;  ///< reads of trainable variables do, without being asked for
  // What was asked for, and the position from which on uses of it count.
  std::vector<std::pair<Tensor, GraphPosition>> tensors;
  std::vector<std::pair<Ref<VariableState>, GraphPosition>> variables;

  bool watches(const VariableState& v) const {
    if (!is_floating(v.dtype)) return false;
    return (trainable && v.trainable) ||
           std::ranges::any_of(variables, [&](const auto& w) { return w.first.get() == &v; });
  }
};

using VjpFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

/// For rules of fused ops: the vector-Jacobian product of the composition `f` at `inputs`, i.e. the gradients of
/// sum_i <dys[i], f(inputs)[i]> by each input. Undefined dys are left out; undefined results are unconnected.
std::vector<Tensor> vjp(const VjpFunction& f, std::span<const Tensor> inputs, std::span<const Tensor> dys);

}  // namespace twofold
