// CUDA check for NaNs and infinities, by the exponents' bits.
#include <cuda_runtime.h>

#include <twofold/kernels/check_numerics/check_numerics.h>
#include <twofold/kernels/cuda/words.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

using namespace cuda;

struct Params {
  int64_t size;
};

/// What all blocks have found, and how many are done.
struct Found {
  uint32_t bits, blocks;
};

template <class Bits>
__global__ void __launch_bounds__(kThreads)
    check_numerics_kernel(int64_t n, const Bits* __restrict__ x, Bits* __restrict__ y, Found* found, Reporter report) {
  constexpr Bits kMagnitude = ~Bits{0} >> 1;
  constexpr Bits kInfinity = sizeof(Bits) == 4 ? Bits{0x7f800000} : static_cast<Bits>(0x7ff0000000000000);
  bool infinities = false, nans = false;
#pragma unroll 4
  for (int64_t i = first_element(); i < n; i += element_step()) {
    const Bits bits = x[i], magnitude = bits & kMagnitude;
    infinities |= magnitude == kInfinity, nans |= magnitude > kInfinity;
    y[i] = bits;
  }
  const bool any_infinities = __syncthreads_or(infinities), any_nans = __syncthreads_or(nans);
  if (threadIdx.x != 0) return;
  // The last block reports what all have found.
  if (any_infinities || any_nans) atomicOr(&found->bits, (any_infinities ? 1u : 0u) | (any_nans ? 2u : 0u));
  __threadfence();
  if (atomicAdd(&found->blocks, 1) + 1 < gridDim.x) return;
  __threadfence();
  if (const uint32_t all = atomicOr(&found->bits, 0)) report.fail(KernelError::refused, all);
}

template <class Bits>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const int64_t n = static_cast<const Params*>(params)->size;
  if (n == 0) return;
  auto* found = static_cast<Found*>(ctx.workspace);
  if (const auto e = cudaMemsetAsync(found, 0, sizeof *found, stream_of(ctx)); e != cudaSuccess)
    return ctx.fail(KernelError::device_failure, e);
  check_numerics_kernel<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(
      n, static_cast<const Bits*>(args[0]), static_cast<Bits*>(args[1]), found, Reporter(ctx));
  check_launch(ctx);
}

Prepared prepare_check_numerics(const Signature& s) {
  const Params p{s.inputs[0].shape.num_elements()};
  if (s.inputs[0].dtype == float32) return {run<uint32_t>, p, sizeof(Found)};
  if (s.inputs[0].dtype == float64) return {run<uint64_t>, p, sizeof(Found)};
  return {};
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_check_numerics();
std::span<const KernelEntry> gpu_kernels_check_numerics() {
  static constexpr KernelEntry kTable[] = {{op_name::CheckNumerics, prepare_check_numerics}};
  return kTable;
}

}  // namespace twofold
