// What CUDA kernels share: grids, launch errors, late errors.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include <twofold/lib/runtime/kernel.h>

namespace twofold::cuda {

constexpr int kWarp = 32;
constexpr int kThreads = 256;

/// Blocks of `threads` for a grid-stride loop over `n` elements. No more than `most`, which are enough to fill the
/// largest GPUs.
inline unsigned blocks_for(int64_t n, int threads = kThreads, int64_t most = 132 * 16) {
  return static_cast<unsigned>(std::clamp<int64_t>((n + threads - 1) / threads, 1, most));
}

inline cudaStream_t stream_of(const KernelContext& ctx) { return static_cast<cudaStream_t>(ctx.stream); }

/// Reports an error of the launch just made on this thread.
inline void check_launch(KernelContext& ctx) {
  if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

/// A running kernel's way to report, passed to it by value. The host learns of it later.
class Reporter {
 public:
  explicit Reporter(const KernelContext& ctx) : error_(ctx.device_error), tag_(ctx.tag) {}

#ifdef __CUDACC__
  /// The first failure is kept.
  __device__ void fail(KernelError code, int64_t index) const {
    if (!error_ || atomicCAS(reinterpret_cast<int*>(&error_->code), 0, static_cast<int>(code)) != 0) return;
    error_->tag = tag_, error_->index = index;
    volatile DeviceError* host = error_->host;
    host->tag = tag_, host->index = index;
    __threadfence_system();
    host->code = code;
  }
  /// Whether anything has failed: state must then stay as it is.
  __device__ bool failed() const { return error_ && *reinterpret_cast<volatile int*>(&error_->code) != 0; }
#endif

 private:
  DeviceError* error_;
  uint32_t tag_;
};

}  // namespace twofold::cuda
