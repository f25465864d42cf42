#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <mutex>

#include <twofold/kernels/matmul/problem.h>

namespace twofold {
namespace {

/// A device's cuBLAS handle. Using it means binding a stream and a workspace first, so a use is locked as a whole; what
/// it enqueues then runs unlocked. Never destroyed: the driver may be gone by the time statics are.
class Cublas {
 public:
  static Cublas* of_current_device() {
    static std::mutex mutex;
    static std::array<Cublas*, 64> all{};
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess || device >= static_cast<int>(all.size())) return nullptr;
    std::lock_guard lock(mutex);
    Cublas*& c = all[static_cast<size_t>(device)];
    if (!c) {
      cublasHandle_t handle;
      if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
      c = new Cublas(handle);
    }
    return c;
  }

  /// Calls `f(handle)` bound to the call's stream and workspace.
  template <class F>
  cublasStatus_t with(const KernelContext& ctx, size_t workspace, F&& f) {
    // cuBLAS wants 256-byte alignment; `workspace` counts the room to find it in.
    auto* aligned = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(ctx.workspace) + 255) / 256 * 256);
    std::lock_guard lock(mutex_);
    cublasStatus_t status = cublasSetStream(handle_, static_cast<cudaStream_t>(ctx.stream));
    if (status == CUBLAS_STATUS_SUCCESS) status = cublasSetWorkspace(handle_, aligned, workspace - 256);
    return status == CUBLAS_STATUS_SUCCESS ? f(handle_) : status;
  }

 private:
  explicit Cublas(cublasHandle_t handle) : handle_(handle) {}
  std::mutex mutex_;
  cublasHandle_t handle_;
};

struct Params {
  MatMulProblem problem;
  bool tf32;
  size_t workspace;
  // The innermost batch axes that go with one stride each, so that one call does them; the others are looped over.
  int64_t run;
  int64_t a_stride, b_stride;
};

template <class T>
void floating(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& q = *static_cast<const Params*>(params);
  const MatMulProblem& p = q.problem;
  Cublas* cublas = Cublas::of_current_device();
  if (!cublas) return ctx.fail(KernelError::device_failure, 0);

  const auto type = sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_64F;
  const auto compute = sizeof(T) == 8 ? CUBLAS_COMPUTE_64F : q.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const T one = 1, zero = 0;
  // cuBLAS counts columns first: our row-major C = A B is its C^T = B^T A^T.
  const auto status = cublas->with(ctx, q.workspace, [&](cublasHandle_t handle) {
    for (int64_t i = 0; i < p.batch; i += q.run) {
      int64_t a, b;
      p.offsets(i, a, b);
      const auto s = cublasGemmStridedBatchedEx_64(
          handle, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, p.n, p.m, p.k,
          &one, static_cast<const T*>(args[1]) + b, type, p.transpose_b ? p.k : p.n, q.b_stride,
          static_cast<const T*>(args[0]) + a, type, p.transpose_a ? p.m : p.k, q.a_stride, &zero,
          static_cast<T*>(args[2]) + i * p.m * p.n, type, p.n, p.m * p.n, q.run, compute, CUBLAS_GEMM_DEFAULT);
      if (s != CUBLAS_STATUS_SUCCESS) return s;
    }
    return CUBLAS_STATUS_SUCCESS;
  });
  if (status != CUBLAS_STATUS_SUCCESS) ctx.fail(KernelError::device_failure, status);
}

constexpr int kTile = 16;

/// Integers, modulo 2^bits: one thread an element of C, the operands' tiles shared by a block.
template <class U>
__global__ void integer_kernel(const U* a0, const U* b0, U* c0, MatMulProblem p, int64_t tiles) {
  __shared__ U as[kTile][kTile + 1], bs[kTile][kTile + 1];
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int64_t n_tiles = (p.n + kTile - 1) / kTile, per_product = n_tiles * ((p.m + kTile - 1) / kTile);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int64_t a_offset = 0, b_offset = 0, rest = tile / per_product;
    for (int axis = p.batch_rank - 1; axis >= 0; --axis) {
      a_offset += rest % p.extents[axis] * p.a_steps[axis];
      b_offset += rest % p.extents[axis] * p.b_steps[axis];
      rest /= p.extents[axis];
    }
    const U *a = a0 + a_offset, *b = b0 + b_offset;
    U* c = c0 + tile / per_product * p.m * p.n;
    const int64_t row = tile % per_product / n_tiles * kTile + ty, column = tile % n_tiles * kTile + tx;
    U sum = 0;
    for (int64_t k0 = 0; k0 < p.k; k0 += kTile) {
      const int64_t ka = k0 + tx, kb = k0 + ty;
      as[ty][tx] = row < p.m && ka < p.k ? a[p.transpose_a ? ka * p.m + row : row * p.k + ka] : U(0);
      bs[ty][tx] = kb < p.k && column < p.n ? b[p.transpose_b ? column * p.k + kb : kb * p.n + column] : U(0);
      __syncthreads();
      for (int i = 0; i < kTile; ++i) sum += as[ty][i] * bs[i][tx];
      __syncthreads();
    }
    if (row < p.m && column < p.n) c[row * p.n + column] = sum;
  }
}

template <class U>
void integer(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const MatMulProblem& p = static_cast<const Params*>(params)->problem;
  const int64_t tiles = p.batch * ((p.n + kTile - 1) / kTile) * ((p.m + kTile - 1) / kTile);
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, 1 << 20));
  integer_kernel<U><<<blocks, dim3(kTile, kTile), 0, static_cast<cudaStream_t>(ctx.stream)>>>(
      static_cast<const U*>(args[0]), static_cast<const U*>(args[1]), static_cast<U*>(args[2]), p, tiles);
  if (const auto e = cudaGetLastError(); e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

template <class T>
void zero(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const MatMulProblem& p = static_cast<const Params*>(params)->problem;
  if (p.is_empty()) return;
  const auto e = cudaMemsetAsync(args[2], 0, static_cast<size_t>(p.batch * p.m * p.n) * sizeof(T),
                                 static_cast<cudaStream_t>(ctx.stream));
  if (e != cudaSuccess) ctx.fail(KernelError::device_failure, e);
}

template <class T>
Prepared choose(const Signature& s) {
  const MatMulProblem p(s);
  Params q{p, s.math_mode == MathMode::tf32, 0, 1, 0, 0};
  if (p.k == 0 || p.is_empty()) return {zero<T>, q};
  if constexpr (std::is_integral_v<T>) {
    return {integer<std::make_unsigned_t<T>>, q};
  } else {
    bool first = true;
    for (int axis = p.batch_rank - 1; axis >= 0; --axis) {
      if (p.extents[axis] == 1) continue;
      if (first) {
        q.a_stride = p.a_steps[axis], q.b_stride = p.b_steps[axis], first = false;
      } else if (p.a_steps[axis] != q.a_stride * q.run || p.b_steps[axis] != q.b_stride * q.run) {
        break;
      }
      q.run *= p.extents[axis];
    }
    const bool small = p.m * p.n * p.k < int64_t{1} << 21;
    q.workspace = (small ? size_t{1} : size_t{32}) << 20 | 256;
    Cublas::of_current_device();  // a handle allocates, which a captured stream would refuse
    return {floating<T>, q, q.workspace};
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

constexpr KernelEntry kKernels[] = {{"MatMul", prepare}};

}  // namespace

std::span<const KernelEntry> gpu_kernels_matmul();
std::span<const KernelEntry> gpu_kernels_matmul() { return kKernels; }

}  // namespace twofold
