// Shape rules of the layout ops.
#pragma once

#include <optional>

#include <twofold/kernels/layout/layout.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

extern OpDef shape_op, extents_op, slice_op;

namespace layout {

/// The value of shape operand `i`, in which -1 stands for what is not known or left open; `known` says that it is the
/// second, every element being known. Fails where the operand is no integer vector.
Shape shape_operand(const InferContext& c, int i, bool& known);

void infer_reshape(InferContext&);
void infer_reshape_like(InferContext&);
void infer_expand_dims(InferContext&);
void infer_squeeze(InferContext&);
void infer_same(InferContext&);  ///< output 0 is like input 0
void infer_transpose(InferContext&);
void infer_broadcast_to(InferContext&);
void infer_broadcast_like(InferContext&);
void infer_concat(InferContext&);
void infer_concat_part(InferContext&);
void infer_slice(InferContext&);
/// The shape of what is taken of `x`, of which the axes beyond the lists are taken whole.
Shape sliced_shape(const InferContext& c, const Shape& x, const PartialValues& begin, const PartialValues& size);
Tensor slice(const Tensor& x, const SliceAttrs& attrs, std::source_location where);
/// Where a slice begins on an axis of that extent, >= 0.
int64_t begin_of(const Axes& begin, int axis, int64_t extent);
void infer_pad(InferContext&);
void infer_shape(InferContext&);
/// What a graph knows of their results, which are integers: OpDef::known.
std::optional<PartialValues> known_shape(const KnownContext&);
std::optional<PartialValues> known_extents(const KnownContext&);
std::optional<PartialValues> known_slice(const KnownContext&);
std::optional<PartialValues> known_concat(const KnownContext&);
void register_extents();
void register_transfer();

}  // namespace layout
}  // namespace twofold
