// What a gradient rule sees.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// A gradient that is made. Eager, what control flow left out has none. In a graph that shows at run time only: then
/// the bool scalar `arrived` tells, and where it is false the gradient has no part in any sum.
struct Gradient {
  Tensor value;    ///< undefined: unconnected
  Tensor arrived;  ///< undefined: it arrives in every run
  /// Whether control flow might have left it out: in a graph `arrived` is defined, eager it happens to be there.
  bool conditional = false;
};
/// What is known of a tensor that may be a gradient: `gradients` guards its results by if_arrived.
Gradient gradient_of(const Tensor& t);

/// Where a slice lies in a tensor: element i of axis k at begin[k] + i * strides[k].
struct SlicePlace {
  Axes begin;    ///< negative ones count from the end; `omitted` as in strided_slice
  Axes strides;  ///< of as many axes; empty: steps of 1. Axes beyond the lists are taken from their first element on
};

class GradientSum;

/// What a rule adds to the gradient of an input: a tensor like it, what is zero but for a part, or a sum of those.
struct Contribution {
  enum class Kind : uint8_t { whole, slice, rows, sum };
  Kind kind = Kind::whole;
  bool conditional = false;                 ///< as Gradient's
  Tensor value;                             ///< undefined: nothing
  Tensor arrived;                           ///< as Gradient's
  std::shared_ptr<const SlicePlace> place;  ///< of a slice
  Tensor indices;                    ///< of rows along the first axis; of a slice without a place, where it begins
  std::shared_ptr<GradientSum> sum;  ///< of a sum, which then has all but `value`
};

/// The way of one op from the gradients of its outputs to those of its inputs. A rule is an ordinary function of
/// Tensors, so that it works in both modes and can be differentiated again:
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
           std::span<const Gradient> dys, std::span<const bool> needs, std::span<Contribution> dxs, bool nested)
      : op_(op),
        attrs_(attrs),
        inputs_(inputs),
        outputs_(outputs),
        dys_(dys),
        needs_(needs),
        dxs_(dxs),
        nested_(nested) {}

  const OpDef& op() const { return op_; }
  AttrsView attrs_view() const { return attrs_; }
  template <class A>
  const A& attrs() const {
    return attrs_.as<A>();
  }
  int num_inputs() const { return static_cast<int>(needs_.size()); }
  /// Visible ones.
  int num_outputs() const { return static_cast<int>(dys_.size()); }
  /// Whether this op is within a body of control flow, see RecordList::nested.
  bool nested() const { return nested_; }
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
  void dx(int i, Tensor t, Tensor arrived) {
    Contribution& c = dxs_[static_cast<size_t>(i)];
    c.value = std::move(t), c.arrived = std::move(arrived);
  }
  /// One that is there this time, eager, but that a graph could not count on.
  void dx_conditional(int i, Tensor t) {
    Contribution& c = dxs_[static_cast<size_t>(i)];
    c.value = std::move(t), c.conditional = true;
  }
  /// One that is zero but for `part`, which lies there. Parts of one tensor are added up at once (see sum_slices).
  void dx_slice(int i, Tensor part, SlicePlace place) {
    Contribution& c = dxs_[static_cast<size_t>(i)];
    c.kind = Contribution::Kind::slice;
    c.value = std::move(part), c.place = std::make_shared<const SlicePlace>(place);
  }
  /// The same where a run tells the place, the vector `begin`.
  void dx_slice_at(int i, Tensor part, Tensor begin) {
    Contribution& c = dxs_[static_cast<size_t>(i)];
    c.kind = Contribution::Kind::slice;
    c.value = std::move(part), c.indices = std::move(begin);
  }
  /// A sum that goes on. Only where `nested()`.
  void dx_sum(int i, std::shared_ptr<GradientSum> sum) {
    Contribution& c = dxs_[static_cast<size_t>(i)];
    c.kind = Contribution::Kind::sum;
    c.sum = std::move(sum);
  }
  /// One that is zero but for rows added by index along the first axis. Rows of one tensor are added up at once.
  void dx_rows(int i, Tensor rows, Tensor indices) {
    Contribution& c = dxs_[static_cast<size_t>(i)];
    c.kind = Contribution::Kind::rows;
    c.value = std::move(rows), c.indices = std::move(indices);
  }

 private:
  const OpDef& op_;
  AttrsView attrs_;
  std::span<const Tensor> inputs_, outputs_;
  std::span<const Gradient> dys_;
  std::span<const bool> needs_;
  std::span<Contribution> dxs_;
  bool nested_;
};

}  // namespace twofold
