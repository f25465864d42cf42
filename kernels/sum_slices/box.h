// Where each part of sum_slices lies in the output: what the CPU's and the GPU's kernels have in common.
#pragma once

#include <algorithm>
#include <vector>

#include <twofold/kernels/layout/box.h>
#include <twofold/kernels/sum_slices/sum_slices.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold::moves {

struct SumPlan {
  int64_t elements = 0;    ///< of the output
  bool cleared = true;     ///< false where the first part covers it
  std::vector<Box> parts;  ///< each from a whole input into the output
};

inline SumPlan plan_sum(const Signature& s) {
  const auto& attrs = s.attrs_as<SumSlicesAttrs>();
  const Shape& y = s.outputs[0].shape;
  SumPlan plan;
  plan.elements = y.num_elements();
  for (size_t k = 0; k < attrs.begins.size(); ++k) {
    const Shape& x = s.inputs[k + 1].shape;
    int64_t src[kMaxRank] = {}, dst[kMaxRank] = {}, base = 0;
    contiguous_strides(x, src);
    contiguous_strides(y, dst);
    for (int i = 0; i < y.rank(); ++i) {
      const SliceAxis axis(attrs.begins[k], attrs.strides[k], i, y[i]);
      base += axis.first * dst[i];
      dst[i] *= x[i] > 1 ? axis.step : 1;  // a step that is not taken may be out of range
    }
    Box box = box_of(x, src, dst);
    box.dst_base = x.num_elements() == 0 ? 0 : base;
    plan.parts.push_back(box);
  }
  plan.cleared = plan.parts.empty() || plan.parts.front().size() != plan.elements;
  return plan;
}

}  // namespace twofold::moves
