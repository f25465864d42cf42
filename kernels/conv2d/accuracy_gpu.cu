#include <cub/block/block_reduce.cuh>

#include <algorithm>

#include <twofold/kernels/conv2d/accuracy_gpu.h>
#include <twofold/kernels/conv2d/terms_gpu.h>

namespace twofold::cudnn {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kPlaces = 512;
constexpr int64_t kSpread = 1000003;  ///< a prime, so that places differ along every axis

/// Each block measures one of gridDim.x places.
template <class T>
__global__ void __launch_bounds__(kThreads)
    measure(Terms terms, int64_t elements, const T* a, const T* b, const T* result, float* worst) {
  using Reduce = cub::BlockReduce<double, kThreads>;
  __shared__ typename Reduce::TempStorage storage[2];
  const auto element = terms.element(elements <= kPlaces ? blockIdx.x : blockIdx.x * kSpread % elements);
  double sum = 0, magnitude = 0;
  terms.for_each(element, threadIdx.x, kThreads, [&](int64_t at_a, int64_t at_b) {
    const double term = static_cast<double>(a[at_a]) * static_cast<double>(b[at_b]);
    sum += term, magnitude += abs(term);
  });
  sum = Reduce(storage[0]).Sum(sum), magnitude = Reduce(storage[1]).Sum(magnitude);
  if (threadIdx.x != 0) return;
  const auto error = static_cast<float>(abs(result[element.offset] - sum) / max(1.0, magnitude));
  // Floats that are not negative are ordered as their bits are.
  atomicMax(reinterpret_cast<int*>(worst), __float_as_int(isnan(error) ? INFINITY : error));
}

}  // namespace

cudaError_t measure_error(const Convolution& c, const void* x, const void* weight, const void* y, float* error,
                          cudaStream_t stream) {
  if (const cudaError_t e = cudaMemsetAsync(error, 0, sizeof *error, stream); e != cudaSuccess) return e;
  const Terms terms(c);
  const int64_t elements = terms.elements();
  const auto blocks = static_cast<unsigned>(std::min(elements, kPlaces));
  const void* a = c.pass == Pass::input_gradient ? y : x;
  const void* b = c.pass == Pass::weight_gradient ? y : weight;
  const void* result = c.pass == Pass::output ? y : c.pass == Pass::input_gradient ? x : weight;
  const auto launch = [&]<class T>(T) {
    measure<<<blocks, kThreads, 0, stream>>>(terms, elements, static_cast<const T*>(a), static_cast<const T*>(b),
                                             static_cast<const T*>(result), error);
  };
  c.float64 ? launch(double{}) : launch(float{});
  return cudaGetLastError();
}

}  // namespace twofold::cudnn
