// Taking slices by index, and adding slices where indices say.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `gather`.
struct GatherOptions {
  int64_t axis = 0;        ///< of params; may count from its end
  int64_t batch_dims = 0;  ///< leading axes that params and indices share: entry b of indices indexes entry b of
                           ///< params; a negative number counts from the rank of indices
};

/// y[b.., o.., i.., k..] = params[b.., o.., indices[b.., i..], k..], where b are the batch axes, o those of params up
/// to `axis`, i those of indices and k those of params behind `axis`: so y's shape is params.shape[:axis] +
/// indices.shape[batch_dims:] + params.shape[axis + 1:]. Params of any dtype, indices int32 or int64. The gradient by
/// params adds up what was taken more than once. InvalidArgument: an axis out of range, batch_dims beyond axis or the
/// rank of indices, batch axes that differ; OutOfRange, when it runs: an index below 0 or not below params.shape[axis].
/// (TensorFlow: gather; batch_dims = axis = rank - 1 is PyTorch's gather)
Tensor gather(Operand params, Operand indices, GatherOptions options = {});

/// `base` with `updates` added where `indices` say: the adjoint of gather, updates being of the shape that gather(base,
/// indices, options) has. Equal indices add up, in their order; more than 64 float32 ones in float64, on a GPU more
/// than 128 in parts, which are added in float64. Numbers of one dtype. Errors as gather. (TensorFlow:
/// tensor_scatter_nd_add; PyTorch: index_add)
Tensor scatter_add(Operand base, Operand indices, Operand updates, GatherOptions options = {});

/// y[i.., :] = table[indices[i..], :]: for every index its row of the table (rows, columns). The gradient by the table
/// adds up the rows that were taken more than once. InvalidArgument: the table is no matrix; else as gather along axis
/// 0. (TensorFlow: embedding_lookup; PyTorch: embedding)
Tensor embedding(Operand table, Operand indices);

namespace internal {
/// `indices`, all of which index the first axis of `params`; OutOfRange when it runs and one does not. Not
/// differentiable.
Tensor checked_indices(const Tensor& indices, const Tensor& params);
/// Zeros of the shape of `like` with `rows` added along the first axis where `indices` say.
Tensor scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& like);
}  // namespace internal

/// Attributes of Gather.
struct GatherAttrs {
  int64_t axis = 0;
  int64_t batch_dims = 0;
  TWOFOLD_FIELDS(axis, batch_dims)
};

namespace op_name {
TWOFOLD_OP_NAME(Gather);
TWOFOLD_OP_NAME(ScatterAdd);
TWOFOLD_OP_NAME(CheckIndices);
}  // namespace op_name

}  // namespace twofold
