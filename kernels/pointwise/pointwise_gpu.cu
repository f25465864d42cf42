// The CUDA kernels of the pointwise ops: the functors of functors.h, one element a thread at a time.
#include <cuda_runtime.h>
#include <math.h>

#include <algorithm>
#include <type_traits>

#include <twofold/kernels/pointwise/dtype_class.h>
#include <twofold/kernels/pointwise/pointwise_attrs.h>
#include <twofold/kernels/pointwise/scalar.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {

std::span<const KernelEntry> gpu_kernels_pointwise();
std::span<const TileEntry> gpu_tiles();

namespace {

constexpr int kMaxInputs = 3;
constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 132 * 16;

/// The output's axes, innermost first, merged where every input allows it, with each input's stride along them.
struct Walk {
  int64_t n;
  int rank;
  int64_t extents[kMaxRank];
  int64_t strides[kMaxInputs][kMaxRank];
};

/// Element `index` of the output: where each of kInputs inputs has its element.
template <int kInputs>
__device__ void locate(const Walk& walk, int64_t index, int64_t (&at)[kInputs]) {
  for (int i = 0; i < kInputs; ++i) at[i] = 0;
  for (int k = 0; k + 1 < walk.rank; ++k) {
    const int64_t extent = walk.extents[k];
    // 32-bit division is many times faster.
    const int64_t next = ((index | extent) >> 32) == 0
                             ? static_cast<int64_t>(static_cast<uint32_t>(index) / static_cast<uint32_t>(extent))
                             : index / extent;
    const int64_t here = index - next * extent;
    for (int i = 0; i < kInputs; ++i) at[i] += here * walk.strides[i][k];
    index = next;
  }
  for (int i = 0; i < kInputs; ++i) at[i] += index * walk.strides[i][walk.rank - 1];
}

template <class F, class T, class Y>
__global__ void unary_kernel(Walk walk, const T* x, Y* y) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < walk.n; i += step) {
    y[i] = stored(F()(Scalar<T>(x[i])));
  }
}

template <class F, class T, class Y>
__global__ void binary_kernel(Walk walk, const T* a, const T* b, Y* y) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < walk.n; i += step) {
    int64_t at[2];
    locate(walk, i, at);
    y[i] = stored(F()(Scalar<T>(a[at[0]]), Scalar<T>(b[at[1]])));
  }
}

template <class T>
__global__ void select_kernel(Walk walk, const bool* condition, const T* a, const T* b, T* y) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < walk.n; i += step) {
    int64_t at[3];
    locate(walk, i, at);
    y[i] = condition[at[0]] ? a[at[1]] : b[at[2]];
  }
}

template <class From, class To>
__global__ void cast_kernel(Walk walk, const From* x, To* y) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < walk.n; i += step)
    y[i] = convert<To>(x[i]);
}

Walk make_walk(const Signature& s) {
  const Shape& out = s.outputs[0].shape;
  const int inputs = static_cast<int>(s.inputs.size());
  Walk w{};
  w.n = out.num_elements();
  int64_t compact[kMaxInputs] = {1, 1, 1};  // the stride of an input's next axis outwards
  for (int k = out.rank() - 1; k >= 0; --k) {
    if (out[k] == 1) continue;
    int64_t step[kMaxInputs];
    bool merges = w.rank > 0;
    for (int i = 0; i < inputs; ++i) {
      const Shape& in = s.inputs[static_cast<size_t>(i)].shape;
      const int j = k - (out.rank() - in.rank());
      const int64_t own = j >= 0 ? in[j] : 1;
      step[i] = own == 1 ? 0 : compact[i];
      compact[i] *= own;
      if (merges) merges = step[i] == w.strides[i][w.rank - 1] * w.extents[w.rank - 1];
    }
    if (merges) {
      w.extents[w.rank - 1] *= out[k];
      continue;
    }
    w.extents[w.rank] = out[k];
    for (int i = 0; i < inputs; ++i) w.strides[i][w.rank] = step[i];
    ++w.rank;
  }
  if (w.rank == 0) w.rank = 1, w.extents[0] = 1;
  return w;
}

void launch(const void* kernel, const Walk& walk, void* const* args, int num_args, KernelContext& ctx) noexcept {
  if (walk.n == 0) return;
  const unsigned blocks = static_cast<unsigned>(std::min((walk.n + kThreads - 1) / kThreads, kMaxBlocks));
  void* parameters[kMaxInputs + 2] = {const_cast<Walk*>(&walk)};
  for (int i = 0; i < num_args; ++i) parameters[i + 1] = const_cast<void**>(&args[i]);
  const cudaError_t error =
      cudaLaunchKernel(kernel, dim3(blocks), dim3(kThreads), parameters, 0, static_cast<cudaStream_t>(ctx.stream));
  if (error != cudaSuccess) ctx.fail(KernelError::device_failure, error);
}

struct Params {
  const void* kernel;
  int num_args;
  Walk walk;
};

Prepared prepare_kernel(const void* kernel, const Signature& s) {
  if (!kernel) return {};
  const Params params{kernel, static_cast<int>(s.inputs.size()) + 1, make_walk(s)};
  return Prepared(
      [](const void* p, void* const* args, KernelContext& ctx) noexcept {
        const Params& own = *static_cast<const Params*>(p);
        launch(own.kernel, own.walk, args, own.num_args, ctx);
      },
      params);
}

template <class F, DTypeClass kClass, int kArity, class T>
const void* kernel_of() {
  if constexpr (!supports(kClass, dtype_of<T>)) {
    return nullptr;
  } else if constexpr (kArity == 1) {
    using Y = decltype(stored(F()(Scalar<T>(0))));
    return reinterpret_cast<const void*>(&unary_kernel<F, T, Y>);
  } else {
    using Y = decltype(stored(F()(Scalar<T>(0), Scalar<T>(0))));
    return reinterpret_cast<const void*>(&binary_kernel<F, T, Y>);
  }
}

template <class F, DTypeClass kClass, int kArity>
Prepared prepare_op(const Signature& s) {
  const void* kernel =
      dispatch(s.inputs[0].dtype, [](auto zero) { return kernel_of<F, kClass, kArity, decltype(zero)>(); });
  return prepare_kernel(kernel, s);
}

Prepared prepare_select(const Signature& s) {
  const void* kernel = dispatch(
      s.inputs[1].dtype, [](auto zero) { return reinterpret_cast<const void*>(&select_kernel<decltype(zero)>); });
  return prepare_kernel(kernel, s);
}

template <class From>
const void* cast_from(DType to) {
  return dispatch(to, [](auto zero) { return reinterpret_cast<const void*>(&cast_kernel<From, decltype(zero)>); });
}
Prepared prepare_cast(const Signature& s) {
  const DType to = s.attrs_as<CastAttrs>().to;
  const void* kernel = dispatch(s.inputs[0].dtype, [to](auto zero) { return cast_from<decltype(zero)>(to); });
  return prepare_kernel(kernel, s);
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_pointwise() {
  static constexpr KernelEntry kEntries[] = {
#define TWOFOLD_UNARY(function, Op, dtypes, ...) {#Op, prepare_op<functor::Op, DTypeClass::dtypes, 1>},
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) {#Op, prepare_op<functor::Op, DTypeClass::dtypes, 2>},
#include <twofold/kernels/pointwise/ops.def>
      {"Select", prepare_select},
      {"IfArrived", prepare_select},
      {"Cast", prepare_cast},
  };
  return kEntries;
}

/// None: a GPU runs fused groups as kernels compiled from functors.h, not tile by tile.
std::span<const TileEntry> gpu_tiles() { return {}; }

}  // namespace twofold
