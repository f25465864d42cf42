// Arguments for libraries that want pointers aligned.
#pragma once

#include <twofold/kernels/cuda/launch.h>

namespace twofold::cuda {

/// An argument as a library takes it: the memory itself if it is aligned, as all but some views are; else memory of the
/// stream, to which it is copied first, or from which it is copied back if it is a result.
class Aligned {
 public:
  Aligned(void* at, int64_t bytes, int64_t alignment, bool is_result, KernelContext& ctx)
      : at_(at), usable_(at), bytes_(static_cast<size_t>(bytes)), is_result_(is_result), ctx_(ctx) {
    if (reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(alignment) == 0) return;
    usable_ = nullptr;
    if (cudaMallocAsync(&usable_, bytes_, stream_of(ctx)) != cudaSuccess) {
      cudaGetLastError();  // reported here, not by the next launch
      ctx.fail(KernelError::out_of_memory, 0);
    } else if (!is_result) {
      copy(usable_, at_);
    }
  }
  ~Aligned() {
    if (usable_ == at_ || !usable_) return;
    if (is_result_) copy(at_, usable_);
    cudaFreeAsync(usable_, stream_of(ctx_));
  }
  Aligned(const Aligned&) = delete;
  void* get() const { return usable_; }

 private:
  void copy(void* to, const void* from) {
    if (const auto e = cudaMemcpyAsync(to, from, bytes_, cudaMemcpyDeviceToDevice, stream_of(ctx_)); e != cudaSuccess)
      ctx_.fail(KernelError::device_failure, e);
  }
  void *at_, *usable_;
  size_t bytes_;
  bool is_result_;
  KernelContext& ctx_;
};

}  // namespace twofold::cuda
