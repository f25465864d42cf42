// The one gradient engine, over records that a graph or a tape supplies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/op/variable.h>
#include <twofold/lib/op/variable_state.h>

namespace twofold {

/// Names a tensor or a variable among the records: equal keys are the same one.
using TensorKey = uint64_t;
constexpr TensorKey kNoKey = ~TensorKey{0};  ///< of nothing that is recorded
inline TensorKey variable_key(const VariableState& v) { return uint64_t{1} << 63 | v.id; }

/// Ops in the order in which they were done. A variable that an op reads, itself or in a body, is an input of it,
/// behind the tensors. Records added while the engine runs are not seen by it.
class RecordList {
 public:
  virtual ~RecordList() = default;
  virtual size_t size() const = 0;
  virtual const OpDef& op(size_t record) const = 0;
  virtual AttrsView attrs(size_t record) const = 0;
  virtual std::source_location where(size_t record) const = 0;
  virtual size_t num_inputs(size_t record) const = 0;
  virtual size_t num_outputs(size_t record) const = 0;  ///< hidden ones too
  virtual TensorKey input_key(size_t record, size_t i) const = 0;
  virtual TensorKey output_key(size_t record, size_t i) const = 0;
  virtual Tensor input(size_t record, size_t i) const = 0;
  virtual Tensor output(size_t record, size_t i) const = 0;
  /// Whether the record only reads a variable, its one input.
  virtual bool is_read(size_t record) const = 0;
  /// Whether they are those of a body of control flow within another, which both modes make and differentiate in the
  /// same way. Otherwise what is one record here may be one node there, and gradients are summed at the same places.
  virtual bool nested() const { return false; }
};

struct Seed {
  TensorKey y;
  Gradient dy;
};

/// For each key of xs, which are all different, the contributions to its gradient; empty if unconnected. See
/// `differentiate`.
std::vector<GradientSum> differentiate_unsummed(const RecordList& records, std::span<const Seed> seeds,
                                                std::span<const TensorKey> xs);

/// For each key of xs, the sum over seeds of <dy, dy/dx>; undefined if unconnected, zero if that shows at run time
/// only. Records are walked backwards and contributions added in that order, so that equal record lists give equal
/// bits. Each result is a tensor of its own. With `rows`, one for each key, gradients that are rows alone are left so:
/// there, and undefined in the result.
std::vector<Tensor> differentiate(const RecordList& records, std::span<const Seed> seeds, std::span<const TensorKey> xs,
                                  std::span<RowsGradient> rows = {});

/// As `gradients`, but where the gradient of an x is some rows alone, they are left so, in `rows`, which has one place
/// for each x, and the result is undefined. Precondition: a SourceScope.
std::vector<Tensor> gradients_but_rows(const Tensor& y, const Differentiables& xs, std::span<RowsGradient> rows);

/// Throws InvalidArgument for None among ys and xs, for a y that is not floating, for a dy unlike its y;
/// FailedPrecondition for symbols in eager mode. An undefined dy stands for no gradient. Precondition: a SourceScope.
void check_gradient_arguments(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                              std::span<const Tensor> dys);

}  // namespace twofold
