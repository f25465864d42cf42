// What a gradient rule sees.
#pragma once

#include <span>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// A gradient that is made. Eager, what control flow left out has none. In a graph that shows at run time only: then
/// the bool scalar `arrived` tells, and where it is false the gradient has no part in any sum.
struct Gradient {
  Tensor value;    ///< undefined: unconnected
  Tensor arrived;  ///< undefined: it arrives in every run

  /// Adds another on, in this order.
  void add(Gradient other);
};
/// What is known of a tensor that may be a gradient: `gradients` guards its results by if_arrived.
Gradient gradient_of(const Tensor& t);

/// One op's step from the gradients of its outputs to those of its inputs. A rule is an ordinary function of Tensors,
/// so that it works in both modes and can be differentiated again:
///
///     void square_gradient(Backward& b) { b.dx(0, b.dy() * b.input(0) * 2.f); }
///
/// A rule sets dx(i) for inputs with needs(i); one left unset is unconnected. A dx of a shape that the input was
/// broadcast to is summed back by the engine, which also adds up the paths into one tensor. A rule may read the
/// elements only of what its OpDef lists under `reads`: of all else a tape keeps a shell with dtype and shape, fit for
/// `shape()` and for the `like` argument of reshape_like, broadcast_like, sum_to_like and zeros_like.
class Backward {
 public:
  Backward(const OpDef& op, AttrsView attrs, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
           std::span<const Gradient> dys, std::span<const bool> needs, std::span<Gradient> dxs)
      : op_(op), attrs_(attrs), inputs_(inputs), outputs_(outputs), dys_(dys), needs_(needs), dxs_(dxs) {}

  const OpDef& op() const { return op_; }
  template <class A>
  const A& attrs() const {
    return attrs_.as<A>();
  }
  int num_inputs() const { return static_cast<int>(needs_.size()); }
  /// Visible ones.
  int num_outputs() const { return static_cast<int>(dys_.size()); }
  /// Whether anyone wants the gradient of input `i`.
  bool needs(int i) const { return needs_[static_cast<size_t>(i)]; }
  const Tensor& input(int i) const { return inputs_[static_cast<size_t>(i)]; }
  /// Visible outputs, then hidden ones.
  const Tensor& output(int i = 0) const { return outputs_[static_cast<size_t>(i)]; }
  /// The gradient of visible output `i`; undefined if that output is unconnected. With one output it is always defined.
  const Tensor& dy(int i = 0) const { return dys_[static_cast<size_t>(i)].value; }
  /// See Gradient. Few rules need it: those of control flow, and those that add up gradients of several outputs.
  const Tensor& arrived(int i = 0) const { return dys_[static_cast<size_t>(i)].arrived; }
  void dx(int i, Tensor t) { dxs_[static_cast<size_t>(i)].value = std::move(t); }
  /// One that arrives otherwise than the dys do.
  void dx(int i, Tensor t, Tensor arrived) { dxs_[static_cast<size_t>(i)] = {std::move(t), std::move(arrived)}; }

 private:
  const OpDef& op_;
  AttrsView attrs_;
  std::span<const Tensor> inputs_, outputs_;
  std::span<const Gradient> dys_;
  std::span<const bool> needs_;
  std::span<Gradient> dxs_;
};

}  // namespace twofold
