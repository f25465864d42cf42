// A kernel that does nothing, launched over and over.
#include <cuda_runtime.h>

#include <chrono>

namespace {

__global__ void nothing() {}

}  // namespace

double seconds_of_launches(int n) {
  cudaStream_t stream;
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return -1;
  cudaError_t error = cudaSuccess;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < n && error == cudaSuccess; ++i)
    error = cudaLaunchKernel(reinterpret_cast<const void*>(nothing), dim3(1), dim3(1), nullptr, 0, stream);
  if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  cudaStreamDestroy(stream);
  return error == cudaSuccess ? seconds : -1;
}
