// The adjoint of slicing: many slices of one tensor added up at once.
#pragma once

#include <span>
#include <vector>

#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

struct SlicePlace;

/// Zeros of the shape of `like`, with each part added in its place, in their order: y = 0 + part[0] + part[1] + ...
/// What no part covers is +0, and a sum that starts from +0 never is -0. This is the gradient by x of all slices that
/// were taken of x, made in time that is linear in the elements of the parts and of x.
///
/// float32 or float64, parts and `like` alike. InvalidArgument: a part that does not fit in its place.
Tensor sum_slices(std::span<const Tensor> parts, std::span<const SlicePlace> places, const Tensor& like);

/// Along an axis of `extent` elements: the first element of a slice that begins at begin[axis], and the step from each
/// to the next.
struct SliceAxis {
  int64_t first, step;
  SliceAxis(const Axes& begin, const Axes& strides, int axis, int64_t extent) {
    StridedSliceAttrs attrs;
    if (axis < begin.size()) {
      attrs.begin = Axes{begin[axis]}, attrs.end = Axes{omitted};
      attrs.strides = Axes{axis < strides.size() ? strides[axis] : 1};
    }
    const StridedRange range(attrs, 0, extent);
    first = range.first, step = range.step;
  }
};

struct SumSlicesAttrs {
  std::vector<Axes> begins, strides;  ///< by part
  TWOFOLD_FIELDS(begins, strides)
};

struct OpDef;
extern OpDef sum_slices_op;
namespace op_name {
TWOFOLD_OP_NAME(SumSlices);
}  // namespace op_name

}  // namespace twofold
