#include <cuda_runtime.h>

#include <limits>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/optimizer/rules.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

Prepared prepare_sgd_rows_gpu(const Signature& s);

namespace {

/// Elements that a thread takes at a time, 16 bytes of each operand.
template <class T>
constexpr int kLanes = 16 / sizeof(T);

template <class T, int kCount>
struct alignas(kCount * sizeof(T)) Pack {
  T e[kCount];
};

/// Elements i to i + kCount - 1: all is read before any is written, since new values may lie over old ones.
template <int kCount, class T, template <class> class Rule>
__device__ void advance(const UpdateParams<T, Rule>& p, const UpdateOperands<T, Rule>& o, const T* c, bool keep,
                        int64_t i) {
  constexpr int kMaxState = Rule<T>::kMaxState;
  using Elements = Pack<T, kCount>;
  const auto load = [i](const T* from) { return *reinterpret_cast<const Elements*>(from + i); };
  const auto store = [i](T* to, const Elements& e) { *reinterpret_cast<Elements*>(to + i) = e; };
  Elements value = load(o.p), state[kMaxState] = {};
  const Elements gradient = load(o.g);
#pragma unroll
  for (int k = 0; k < kMaxState; ++k)
    if (k < p.num_state) state[k] = load(o.state[k]);
  if (!keep) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      T s[kMaxState];
      for (int k = 0; k < kMaxState; ++k) s[k] = state[k].e[j];
      value.e[j] = p.rule.step(value.e[j], gradient.e[j], s, c);
      for (int k = 0; k < kMaxState; ++k) state[k].e[j] = s[k];
    }
  }
  store(o.new_p, value);
#pragma unroll
  for (int k = 0; k < kMaxState; ++k)
    if (k < p.num_state) store(o.new_state[k], state[k]);
}

template <class T, template <class> class Rule>
__global__ void __launch_bounds__(cuda::kThreads)
    update(UpdateParams<T, Rule> p, UpdateOperands<T, Rule> o, bool aligned, cuda::Reporter report) {
  constexpr int kCoefficients = Rule<T>::kCoefficients;
  __shared__ T shared[kCoefficients];
  __shared__ bool keep;  // the old values, since something has failed
  if (threadIdx.x == 0) {
    keep = report.failed();
    const int64_t count = o.next_count();
    p.rule.coefficients(*o.lr, count, shared);
    if (p.has_count && blockIdx.x == 0) *o.new_count = keep ? *o.count : count;
  }
  __syncthreads();
  T c[kCoefficients];
  for (int k = 0; k < kCoefficients; ++k) c[k] = shared[k];
  const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, step = int64_t{gridDim.x} * blockDim.x;
  const int64_t packs = aligned ? p.size / kLanes<T> : 0;
  for (int64_t i = first; i < packs; i += step) advance<kLanes<T>>(p, o, c, keep, i * kLanes<T>);
  for (int64_t i = packs * kLanes<T> + first; i < p.size; i += step) advance<1>(p, o, c, keep, i);
}

template <class T, template <class> class Rule>
bool aligned(const UpdateOperands<T, Rule>& o) {
  const auto bits = [](const void* p) { return reinterpret_cast<uintptr_t>(p); };
  uintptr_t all = bits(o.p) | bits(o.g) | bits(o.new_p);
  for (const T* s : o.state) all |= bits(s);
  for (const T* s : o.new_state) all |= bits(s);
  return all % 16 == 0;
}

template <class T, template <class> class Rule>
void run(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const UpdateParams<T, Rule>*>(params);
  if (p.size == 0 && !p.has_count) return;
  const UpdateOperands<T, Rule> o(p, args);
  const bool packed = aligned(o);
  // A thread for each pack: blocks start in order and so walk through all operands together, which is faster for the
  // GPU's memory than a grid-stride loop of as many blocks as run at once.
  constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();
  const unsigned blocks = cuda::blocks_for(packed ? p.size / kLanes<T> : p.size, cuda::kThreads, kMostBlocks);
  update<<<blocks, cuda::kThreads, 0, cuda::stream_of(ctx)>>>(p, o, packed, cuda::Reporter(ctx));
  cuda::check_launch(ctx);
}

template <template <class> class Rule>
Prepared prepare(const Signature& s) {
  const auto& attrs = s.attrs_as<typename Rule<float>::Attrs>();
  const int64_t size = s.inputs[0].shape.num_elements();
  if (s.inputs[0].dtype == float32) return {run<float, Rule>, UpdateParams<float, Rule>(attrs, size)};
  if (s.inputs[0].dtype == float64) return {run<double, Rule>, UpdateParams<double, Rule>(attrs, size)};
  return {};
}

constexpr KernelEntry kKernels[] = {
    {op_name::SGDUpdate, prepare<SGDRule>},         {op_name::AdamUpdate, prepare<AdamRule>},
    {op_name::RMSPropUpdate, prepare<RMSPropRule>}, {op_name::AdagradUpdate, prepare<AdagradRule>},
    {op_name::SGDRowsUpdate, prepare_sgd_rows_gpu},
};

}  // namespace

std::span<const KernelEntry> gpu_kernels_optimizer();
std::span<const KernelEntry> gpu_kernels_optimizer() { return kKernels; }

}  // namespace twofold
