#include <cuda_runtime.h>

#include <twofold/kernels/random/random.h>
#include <twofold/kernels/random/transform.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {
namespace {

struct Params {
  uint64_t key;
  int64_t size;
  double a, b, last;
  int64_t output;  ///< place of the output among the arguments: behind the shape, if that is an operand
};

template <bool kNormal, class T>
__global__ void fill(Params p, uint64_t execution, T* out) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x, blocks = (p.size + kPerBlock<T> - 1) / kPerBlock<T>;
  for (int64_t block = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; block < blocks; block += step) {
    const PhiloxBlock bits = random_block(p.key, execution, static_cast<uint64_t>(block));
    T numbers[kPerBlock<T>];
    if constexpr (kNormal) {
      normal_block(bits, p.a, p.b, numbers);
    } else {
      uniform_block(bits, p.a, p.b, static_cast<T>(p.last), numbers);
    }
    for (int i = 0; i < kPerBlock<T>; ++i)
      if (const int64_t e = block * kPerBlock<T> + i; e < p.size) out[e] = numbers[i];
  }
}

template <bool kNormal, class T>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  constexpr int64_t kThreads = 256, kMaxBlocks = 4096;
  const Params& p = *static_cast<const Params*>(params);
  if (p.size == 0) return;
  const int64_t per_block = kThreads * kPerBlock<T>, blocks = (p.size + per_block - 1) / per_block;
  fill<kNormal, T><<<static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks), kThreads, 0,
                     static_cast<cudaStream_t>(ctx.stream)>>>(p, ctx.random_counter, static_cast<T*>(args[p.output]));
  if (const auto e = cudaGetLastError(); e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

template <bool kNormal>
Prepared prepare(const Signature& s) {
  const auto& attrs = s.attrs_as<RandomAttrs>();
  Params p{attrs.key, s.outputs[0].shape.num_elements(), attrs.a, attrs.b, 0, static_cast<int64_t>(s.inputs.size())};
  if (attrs.dtype == float32) {
    p.last = last_below<float>(attrs.a, attrs.b);
    return {run<kNormal, float>, p};
  }
  if (attrs.dtype == float64) {
    p.last = last_below<double>(attrs.a, attrs.b);
    return {run<kNormal, double>, p};
  }
  return {};
}

constexpr KernelEntry kKernels[] = {{"RandomNormal", prepare<true>}, {"RandomUniform", prepare<false>}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_random();
std::span<const KernelEntry> gpu_kernels_random() { return kKernels; }

}  // namespace twofold
