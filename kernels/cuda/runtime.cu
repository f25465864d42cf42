// The CUDA plugin's device functions: memory, copies, streams.
#include <cuda_runtime.h>

#include <array>
#include <mutex>

#include <twofold/lib/core/device.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {

const char* plugin_isa();
const char* plugin_isa() { return "cuda"; }
const GpuRuntime* gpu_runtime();

namespace {

constexpr int kMostGpus = 64;

/// Makes `gpu` current on this thread and gives the one stream that all its work goes to, so that memory freed in
/// program order is free in device order. Null if the device cannot be used. Never destroyed: the driver may be gone by
/// then.
cudaStream_t stream_of(int gpu) {
  if (gpu < 0 || gpu >= kMostGpus || cudaSetDevice(gpu) != cudaSuccess) return nullptr;
  static std::mutex mutex;
  static std::array<cudaStream_t, kMostGpus> streams{};
  std::lock_guard lock(mutex);
  cudaStream_t& stream = streams[static_cast<size_t>(gpu)];
  if (!stream) {
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return nullptr;
    // Freed memory stays with the process, for the next allocation of its size.
    cudaMemPool_t pool;
    uint64_t keep = UINT64_MAX;
    if (cudaDeviceGetDefaultMemPool(&pool, gpu) == cudaSuccess)
      cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
  }
  return stream;
}

int copy(int gpu, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaStream_t stream = stream_of(gpu);
  if (!stream) return cudaErrorInvalidDevice;
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, stream);
  return error == cudaSuccess ? cudaStreamSynchronize(stream) : error;
}

constexpr GpuRuntime kRuntime{
    .device_count =
        [] {
          int n = 0;
          return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
        },
    .allocate = [](int gpu, size_t bytes, void** p) -> int {
      const cudaStream_t stream = stream_of(gpu);
      return stream ? cudaMallocAsync(p, bytes ? bytes : 1, stream) : cudaErrorInvalidDevice;
    },
    .release = [](int gpu, void* p) -> int {
      const cudaStream_t stream = stream_of(gpu);
      return stream ? cudaFreeAsync(p, stream) : cudaErrorInvalidDevice;
    },
    .to_device = [](int gpu, void* to, const void* from,
                    size_t bytes) { return copy(gpu, to, from, bytes, cudaMemcpyHostToDevice); },
    .to_host = [](int gpu, void* to, const void* from,
                  size_t bytes) { return copy(gpu, to, from, bytes, cudaMemcpyDeviceToHost); },
    .on_device = [](int gpu, void* to, const void* from,
                    size_t bytes) { return copy(gpu, to, from, bytes, cudaMemcpyDefault); },
    .synchronize = [](int gpu) -> int {
      const cudaStream_t stream = stream_of(gpu);
      return stream ? cudaStreamSynchronize(stream) : cudaErrorInvalidDevice;
    },
    .stream = [](int gpu) -> void* { return stream_of(gpu); },
    .error_text = [](int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); },
};

}  // namespace

const GpuRuntime* gpu_runtime() { return &kRuntime; }

}  // namespace twofold
