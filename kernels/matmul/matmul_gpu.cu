// Products of floating-point numbers by cuBLASLt; of integers, and beyond its limits, by a kernel of our own.
#include <cuda_runtime.h>

#include <algorithm>

#include <twofold/kernels/cuda/aligned.h>
#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/matmul/gemm_gpu.h>
#include <twofold/kernels/matmul/problem.h>

namespace twofold {
namespace {

using cuda::check_launch;
using cuda::stream_of;

struct Params {
  MatMulProblem problem;
  const cublas::Gemm* gemm = nullptr;
  /// The innermost batch axes that go with one stride each, so that one call does them; the others are looped over.
  int64_t run = 1;
  int64_t alignment = 0;  ///< of the arguments, as `gemm` needs it
  int64_t bytes[3] = {};  ///< of the arguments
};

template <class T>
void planned(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& q = *static_cast<const Params*>(params);
  const MatMulProblem& p = q.problem;
  const cuda::Aligned a(args[0], q.bytes[0], q.alignment, false, ctx), b(args[1], q.bytes[1], q.alignment, false, ctx),
      c(args[2], q.bytes[2], q.alignment, true, ctx);
  for (int64_t i = 0; i < p.batch && ctx.error == KernelError::none; i += q.run) {
    int64_t a_offset, b_offset;
    p.offsets(i, a_offset, b_offset);
    const auto status =
        q.gemm->run(static_cast<const T*>(a.get()) + a_offset, static_cast<const T*>(b.get()) + b_offset,
                    static_cast<T*>(c.get()) + i * p.m * p.n, ctx.workspace, stream_of(ctx));
    if (status != CUBLAS_STATUS_SUCCESS) ctx.fail(KernelError::device_failure, status);
  }
}

constexpr int kTile = 16;

/// One thread for each element of C; the threads of a block share the operands' tiles.
template <class T, class Sum>
__global__ void direct_kernel(const T* a0, const T* b0, T* c0, MatMulProblem p, int64_t tiles) {
  __shared__ T as[kTile][kTile + 1], bs[kTile][kTile + 1];
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int64_t n_tiles = (p.n + kTile - 1) / kTile, per_product = n_tiles * ((p.m + kTile - 1) / kTile);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int64_t a_offset = 0, b_offset = 0, rest = tile / per_product;
    for (int axis = p.batch_rank - 1; axis >= 0; --axis) {
      a_offset += rest % p.extents[axis] * p.a_steps[axis];
      b_offset += rest % p.extents[axis] * p.b_steps[axis];
      rest /= p.extents[axis];
    }
    const T *a = a0 + a_offset, *b = b0 + b_offset;
    T* c = c0 + tile / per_product * p.m * p.n;
    const int64_t row = tile % per_product / n_tiles * kTile + ty, column = tile % n_tiles * kTile + tx;
    Sum sum = 0;
    for (int64_t k0 = 0; k0 < p.k; k0 += kTile) {
      const int64_t ka = k0 + tx, kb = k0 + ty;
      as[ty][tx] = row < p.m && ka < p.k ? a[p.transpose_a ? ka * p.m + row : row * p.k + ka] : T(0);
      bs[ty][tx] = kb < p.k && column < p.n ? b[p.transpose_b ? column * p.k + kb : kb * p.n + column] : T(0);
      __syncthreads();
      for (int i = 0; i < kTile; ++i) sum += static_cast<Sum>(as[ty][i]) * bs[i][tx];
      __syncthreads();
    }
    if (row < p.m && column < p.n) c[row * p.n + column] = static_cast<T>(sum);
  }
}

/// Sums in `Sum`: integers wrap as unsigned numbers do.
template <class T, class Sum>
void direct(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const MatMulProblem& p = static_cast<const Params*>(params)->problem;
  const int64_t tiles = p.batch * ((p.n + kTile - 1) / kTile) * ((p.m + kTile - 1) / kTile);
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, 1 << 20));
  direct_kernel<T, Sum><<<blocks, dim3(kTile, kTile), 0, stream_of(ctx)>>>(
      static_cast<const T*>(args[0]), static_cast<const T*>(args[1]), static_cast<T*>(args[2]), p, tiles);
  check_launch(ctx);
}

template <class T>
void zero(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const MatMulProblem& p = static_cast<const Params*>(params)->problem;
  if (p.is_empty()) return;
  const auto e = cudaMemsetAsync(args[2], 0, static_cast<size_t>(p.batch * p.m * p.n) * sizeof(T), stream_of(ctx));
  if (e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

template <class T>
Prepared choose(const Signature& s) {
  const MatMulProblem p(s);
  Params q{p};
  if (p.k == 0 || p.is_empty()) return {zero<T>, q};
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return {direct<U, U>, q};
  } else {
    constexpr auto size = static_cast<int64_t>(sizeof(T));
    int64_t a_stride = 0, b_stride = 0;
    int axis = p.batch_rank - 1;
    for (; axis >= 0; --axis) {
      if (p.extents[axis] == 1) continue;
      if (q.run == 1) {
        a_stride = p.a_steps[axis], b_stride = p.b_steps[axis];
      } else if (p.a_steps[axis] != a_stride * q.run || p.b_steps[axis] != b_stride * q.run) {
        break;
      }
      if (p.extents[axis] > INT32_MAX / q.run) break;
      q.run *= p.extents[axis];
    }
    // Values are aligned so, but for some views. The matrices of the loop must be, too.
    constexpr int64_t kAlignment = 16;
    q.alignment = kAlignment;
    for (; axis >= 0; --axis) {
      const int64_t steps = p.a_steps[axis] | p.b_steps[axis] | q.run * p.m * p.n;
      if (p.extents[axis] > 1 && steps * size % kAlignment != 0) q.alignment = size;
    }
    q.bytes[0] = s.inputs[0].shape.num_elements() * size, q.bytes[1] = s.inputs[1].shape.num_elements() * size;
    q.bytes[2] = p.batch * p.m * p.n * size;
    const bool tf32 = size == 4 && s.math_mode == MathMode::tf32;
    const auto gemm = cublas::Gemm::make({size == 8, p.transpose_a, p.transpose_b, p.m, p.n, p.k, q.run, a_stride,
                                          b_stride, q.alignment, tf32, s.deterministic});
    if (!gemm) return {direct<T, double>, q};
    q.gemm = gemm.get();
    Prepared prepared(planned<T>, q, gemm->workspace());
    prepared.resource = gemm;
    return prepared;
  }
}

Prepared prepare(const Signature& s) {
  switch (s.inputs[0].dtype) {
    case DType::float32: return choose<float>(s);
    case DType::float64: return choose<double>(s);
    case DType::int32: return choose<int32_t>(s);
    case DType::int64: return choose<int64_t>(s);
    default: return {};
  }
}

constexpr KernelEntry kKernels[] = {{op_name::MatMul, prepare}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_matmul();
std::span<const KernelEntry> gpu_kernels_matmul() { return kKernels; }

}  // namespace twofold
