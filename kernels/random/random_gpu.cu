#include <cuda_runtime.h>

#include <twofold/kernels/cuda/sort.h>
#include <twofold/kernels/cuda/words.h>
#include <twofold/kernels/random/random.h>
#include <twofold/kernels/random/transform.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

using namespace cuda;

/// Which random numbers: those of an op's key and of one of its executions.
struct Source {
  uint64_t key, execution;
  const uint64_t* execution_at;  ///< where to read it instead, unless null

  Source(uint64_t k, const KernelContext& ctx)
      : key(k), execution(ctx.random_counter), execution_at(ctx.random_counter_at) {}
};

struct Block {
  uint64_t key, execution, number;
  PhiloxBlock bits;
};

// Distributions: kPer numbers of a type from each block.

template <class T>
struct Normal {
  static constexpr int kPer = kPerBlock<T>;
  double a, b, last;
  __device__ void operator()(const Block& block, T* out) const { normal_block(block.bits, a, b, out); }
};
template <class T>
struct TruncatedNormal {
  static constexpr int kPer = kPerBlock<T>;
  double a, b, last;
  __device__ void operator()(const Block& block, T* out) const {
    truncated_normal_block(block.key, block.execution, block.number, block.bits, a, b, out);
  }
};
template <class T>
struct Uniform {
  static constexpr int kPer = kPerBlock<T>;
  double a, b, last;
  __device__ void operator()(const Block& block, T* out) const {
    uniform_block(block.bits, a, b, static_cast<T>(last), out);
  }
};
template <class T>
struct UniformInt {
  static constexpr int kPer = 2;
  int64_t low;
  uint64_t range;
  __device__ void operator()(const Block& block, T* out) const { uniform_int_block(block.bits, low, range, out); }
};
struct Bits {
  static constexpr int kPer = 2;
  __device__ void operator()(const Block& block, uint64_t* out) const {
    for (int i = 0; i < kPer; ++i) out[i] = internal::join(block.bits.word[2 * i], block.bits.word[2 * i + 1]);
  }
};

template <class T, class Draw>
__global__ void __launch_bounds__(kThreads) fill_kernel(Draw draw, Source source, int64_t size, T* out) {
  const uint64_t execution = source.execution_at ? *source.execution_at : source.execution;
  for (int64_t i = first_element(); i * Draw::kPer < size; i += element_step()) {
    const auto number = static_cast<uint64_t>(i);
    T numbers[Draw::kPer];
    draw(Block{source.key, execution, number, random_block(source.key, execution, number)}, numbers);
    for (int k = 0; k < Draw::kPer; ++k)
      if (const int64_t e = i * Draw::kPer + k; e < size) out[e] = numbers[k];
  }
}

template <class Draw>
struct Params {
  Draw draw;
  uint64_t key;
  int64_t size;
  int64_t output;  ///< place of the output among the arguments: behind the shape, if that is an operand
};

template <class T, class Draw>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Params<Draw>*>(params);
  if (p.size == 0) return;
  fill_kernel<<<blocks_for((p.size + Draw::kPer - 1) / Draw::kPer), kThreads, 0, stream_of(ctx)>>>(
      p.draw, Source(p.key, ctx), p.size, static_cast<T*>(args[p.output]));
  check_launch(ctx);
}

template <class T, class Draw>
Prepared prepared(const Draw& draw, uint64_t key, const Signature& s) {
  return {run<T, Draw>,
          Params<Draw>{draw, key, s.outputs[0].shape.num_elements(), static_cast<int64_t>(s.inputs.size())}};
}

template <template <class> class Draw>
Prepared prepare(const Signature& s) {
  const auto& attrs = s.attrs_as<RandomAttrs>();
  const auto of = [&]<class T>(T) {
    const auto last = static_cast<double>(last_below<T>(attrs.a, attrs.b));
    return prepared<T>(Draw<T>{attrs.a, attrs.b, last}, attrs.key, s);
  };
  if (attrs.dtype == float32) return of(float{});
  if (attrs.dtype == float64) return of(double{});
  return {};
}

Prepared prepare_uniform_int(const Signature& s) {
  const auto& attrs = s.attrs_as<RandomIntAttrs>();
  const uint64_t range = static_cast<uint64_t>(attrs.high) - static_cast<uint64_t>(attrs.low);
  if (attrs.dtype == int32) return prepared<int32_t>(UniformInt<int32_t>{attrs.low, range}, attrs.key, s);
  if (attrs.dtype == int64) return prepared<int64_t>(UniformInt<int64_t>{attrs.low, range}, attrs.key, s);
  return {};
}

// Permutations: the places sorted by random numbers, equal ones by the places.

__global__ void __launch_bounds__(kThreads) place_kernel(int64_t n, int64_t* places) {
  for (int64_t i = first_element(); i < n; i += element_step()) places[i] = i;
}
__global__ void __launch_bounds__(kThreads) narrow_kernel(int64_t n, const int64_t* places, int32_t* y) {
  for (int64_t i = first_element(); i < n; i += element_step()) y[i] = static_cast<int32_t>(places[i]);
}

struct PermutationParams {
  uint64_t key;
  int64_t size, output;
  PairSort sort;
};

void permutation(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const PermutationParams*>(params);
  if (p.size == 0) return;
  const cudaStream_t stream = stream_of(ctx);
  const Pairs pairs = p.sort.input(ctx.workspace);
  fill_kernel<<<blocks_for((p.size + 1) / 2), kThreads, 0, stream>>>(Bits{}, Source(p.key, ctx), p.size, pairs.keys);
  place_kernel<<<blocks_for(p.size), kThreads, 0, stream>>>(p.size, pairs.values);
  const Pairs sorted = p.sort.run(ctx.workspace, ctx);
  narrow_kernel<<<blocks_for(p.size), kThreads, 0, stream>>>(p.size, sorted.values,
                                                             static_cast<int32_t*>(args[p.output]));
  check_launch(ctx);
}

Prepared prepare_permutation(const Signature& s) {
  PermutationParams p{s.attrs_as<RandomPermutationAttrs>().key,
                      s.outputs[0].shape.num_elements(),
                      static_cast<int64_t>(s.inputs.size()),
                      {}};
  if (p.size > 0) p.sort = PairSort(p.size, 64);
  return {permutation, p, p.sort.bytes()};
}

constexpr KernelEntry kKernels[] = {{op_name::RandomNormal, prepare<Normal>},
                                    {op_name::RandomUniform, prepare<Uniform>},
                                    {op_name::TruncatedNormal, prepare<TruncatedNormal>},
                                    {op_name::RandomUniformInt, prepare_uniform_int},
                                    {op_name::RandomPermutation, prepare_permutation}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_random();
std::span<const KernelEntry> gpu_kernels_random() { return kKernels; }

}  // namespace twofold
