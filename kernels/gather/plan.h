// What gather's kernels and those of its adjoint have in common.
#pragma once

#include <cstdint>

#include <twofold/kernels/gather/gather.h>

namespace twofold {

/// params (batch, outer, extent, inner), indices (batch, count), taken (batch, outer, count, inner).
struct GatherPlan {
  int64_t batch = 1, outer = 1, extent = 1, inner = 1, count = 1;

  GatherPlan(const Shape& params, const Shape& indices, const GatherAttrs& attrs) {
    const int axis = static_cast<int>(attrs.axis < 0 ? attrs.axis + params.rank() : attrs.axis);
    const auto shared = static_cast<int>(attrs.batch_dims < 0 ? attrs.batch_dims + indices.rank() : attrs.batch_dims);
    extent = params[axis];
    for (int i = 0; i < axis; ++i) (i < shared ? batch : outer) *= params[i];
    for (int i = axis + 1; i < params.rank(); ++i) inner *= params[i];
    for (int i = shared; i < indices.rank(); ++i) count *= indices[i];
  }
};

}  // namespace twofold
