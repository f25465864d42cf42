#include <cstdlib>
#include <string_view>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/cuda/tuning.h>

namespace twofold::cuda {
namespace {

/// Numbers that show no pattern, so that sums of products of several operands are what sums of random numbers are.
template <class T>
__global__ void fill(T* x, int64_t n, uint32_t seed) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) {
    uint32_t bits = (static_cast<uint32_t>(i) ^ seed) * 2654435761u;
    bits = (bits ^ bits >> 16) * 2246822519u;
    bits ^= bits >> 13;
    const T magnitude = static_cast<T>(bits >> 9 | 1) / (1 << 23);
    x[i] = bits & 1 ? -magnitude : magnitude;
  }
}

}  // namespace

std::atomic<bool (*)(int)> g_give_up{nullptr};

void* trial_memory(size_t bytes, cudaStream_t stream) {
  int gpu = 0;
  void* p = nullptr;
  cudaGetDevice(&gpu);
  const auto take = [&] { return cudaMallocAsync(&p, bytes, stream) == cudaSuccess; };
  while (!take()) {
    static_cast<void>(cudaGetLastError());  // or the next launch would report it
    const auto give_up = g_give_up.load();
    if (!give_up || !give_up(gpu)) return nullptr;
    cudaSetDevice(gpu);
  }
  return p;
}

bool may_time() {
  const char* value = std::getenv("TWOFOLD_AUTOTUNE");
  return !value || std::string_view(value) != "0";
}

std::string gpu_key() {
  int device = 0;
  cudaDeviceProp gpu;
  if (cudaGetDevice(&device) != cudaSuccess || cudaGetDeviceProperties(&gpu, device) != cudaSuccess) return {};
  std::string key = gpu.name;
  add_to_key(key, "multiprocessors", gpu.multiProcessorCount);
  return key;
}

Bench::Bench() {
  if (!good(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking))) return;
  for (cudaEvent_t& e : events_) good(cudaEventCreate(&e));
}

Bench::~Bench() {
  for (void* p : operands_) cudaFreeAsync(p, stream_);
  for (const cudaEvent_t e : events_)
    if (e) cudaEventDestroy(e);
  if (stream_) cudaStreamSynchronize(stream_), cudaStreamDestroy(stream_);
  cudaGetLastError();  // or a later call would report what failed on trial
}

void* Bench::operand(int64_t elements, bool float64) {
  const size_t bytes = static_cast<size_t>(elements) * (float64 ? sizeof(double) : sizeof(float));
  void* p = good_ ? trial_memory(bytes, stream_) : nullptr;
  good_ = good_ && p;
  if (!p) return nullptr;
  operands_.push_back(p);
  const unsigned blocks = blocks_for(elements);
  const auto seed = static_cast<uint32_t>(operands_.size()) << 24;
  if (float64)
    fill<<<blocks, kThreads, 0, stream_>>>(static_cast<double*>(p), elements, seed);
  else
    fill<<<blocks, kThreads, 0, stream_>>>(static_cast<float*>(p), elements, seed);
  return good(cudaGetLastError()) ? p : nullptr;
}

}  // namespace twofold::cuda
