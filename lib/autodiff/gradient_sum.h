// The gradient of one tensor while contributions to it arrive.
#pragma once

#include <vector>

#include <twofold/lib/op/backward.h>

namespace twofold {

/// A gradient that is zero but for some rows, taken along the first axis: `values` (indices.shape + columns) added
/// where `indices` say. Undefined: it is not of that kind.
struct RowsGradient {
  Tensor values;
  Tensor indices;
};

/// Adds up contributions in the order in which they come, but those that cover a part of the tensor apart: many slices
/// or rows that were taken of one tensor cost as much as their elements, not as many whole tensors. What was added is
/// summed when `total` is asked for: whole tensors, then slices, then rows.
class GradientSum {
 public:
  /// `like`: the tensor whose gradient it is, of which only shape and dtype are used.
  void add(Contribution c, const Tensor& like);
  /// The sum so far. More may be added to it.
  Gradient& total();
  /// The sum so far, where it consists of rows alone that arrive in every run.
  RowsGradient rows() const;
  bool empty() const {
    return !whole_.value.defined() && slices_.empty() && rows_.empty() && conditional_rows_.empty();
  }
  /// What is summed, in that order, each as it can be added again.
  std::vector<Contribution> parts() const;
  /// Leaves one whole tensor, one slice that covers all and one part of rows at most, of which the last two have the
  /// same sum as those that were there.
  void condense();
  /// Every tensor that is summed, in the order of `parts`.
  std::vector<Tensor*> values();
  /// The part that is a whole tensor becomes a tensor of its own.
  void rename_whole();

 private:
  struct Part {
    Tensor value;
    SlicePlace place;  ///< of a slice
    Tensor indices;    ///< of rows; of a slice whose place a run tells, where it begins
    Tensor arrived;
    bool conditional = false;  ///< as Contribution's
  };
  void add(GradientSum other);
  Part joined_slices() const;
  void add_slices();
  void add_rows();
  RowsGradient joined_rows(bool flat = false) const;

  Gradient whole_;
  Tensor like_;  ///< defined with the first part
  std::vector<Part> slices_;
  std::vector<Part> rows_;              ///< those that arrive in every run
  std::vector<Part> conditional_rows_;  ///< others
};

}  // namespace twofold
