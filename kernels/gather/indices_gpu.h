// Indices as CUDA kernels of gather and of its adjoint read them.
#pragma once

#include <twofold/kernels/cuda/words.h>
#include <twofold/kernels/gather/plan.h>

namespace twofold {

/// int32 or int64.
struct Indices {
  const void* data;
  bool wide;

#ifdef __CUDACC__
  __device__ int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i];
  }
#endif
};

struct GatherParams {
  GatherPlan plan;
  int bytes;  ///< of an element
  bool wide;
};

#ifdef __CUDACC__
/// Whether `index` is in range; reports it if not.
__device__ inline bool check_index(const GatherPlan& p, int64_t index, const cuda::Reporter& report) {
  const bool fits = index >= 0 && index < p.extent;
  if (!fits) report.fail(KernelError::index_out_of_range, index);
  return fits;
}
#endif

/// Reports indices out of range, for slices without elements, where nothing else reads the indices.
void check_indices(const GatherPlan& plan, Indices indices, KernelContext& ctx);

}  // namespace twofold
