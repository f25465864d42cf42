// What the shape and gradient rules of reductions share.
#pragma once

#include <twofold/kernels/reduce/reduce.h>
#include <twofold/lib/op/opdef.h>

namespace twofold::reduced {

/// Bit i: axis i of `rank` is reduced. Fails on an axis out of range or given twice.
uint32_t axes_of(const InferContext& c, const Axes& axes, int rank);
/// The shape of a reduction's result, its attributes being ReduceAttrs or having these fields.
Shape shape_of_result(const InferContext& c, const Axes& axes, bool keepdims);
Shape shape_of_result(const InferContext& c);
/// Fails on a bool input 0 of the function `call`.
void refuse_bool(const InferContext& c, const char* call);
/// `t`, shaped like a reduction's result, with the reduced axes in place again so that it broadcasts to the input x.
Tensor with_axes(const Tensor& t, const ReduceAttrs& attrs, const Tensor& x);

void register_prod();

}  // namespace twofold::reduced
