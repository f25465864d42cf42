// CUDA kernel of gather: each thread makes one word of the output at a time.
#include <cuda_runtime.h>

#include <twofold/kernels/gather/indices_gpu.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

Prepared prepare_scatter_gpu(const Signature& s);
std::span<const KernelEntry> gpu_kernels_gather();

namespace {

using namespace cuda;

__global__ void __launch_bounds__(kThreads) check_kernel(GatherPlan p, Indices indices, Reporter report) {
  for (int64_t i = first_element(); i < p.batch * p.count; i += element_step()) check_index(p, indices[i], report);
}

template <class Word>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(GatherPlan p, int64_t n, Indices indices, const Word* __restrict__ x, Word* __restrict__ y,
                  Reporter report) {
#pragma unroll 4
  for (int64_t e = first_element(); e < n; e += element_step()) {
    const int64_t slice = quotient(e, p.inner), row = quotient(slice, p.count);  // row: batch and outer
    const int64_t index = indices[quotient(row, p.outer) * p.count + slice - row * p.count];
    y[e] = check_index(p, index, report) ? x[(row * p.extent + index) * p.inner + e - slice * p.inner] : Word{};
  }
}

void run_gather(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& q = *static_cast<const GatherParams*>(params);
  GatherPlan p = q.plan;
  const Indices indices{args[1], q.wide};
  const int word =
      std::max(q.bytes, widest_word(static_cast<uint64_t>(p.inner * q.bytes) | address(args[0]) | address(args[2])));
  p.inner /= word / q.bytes;
  const int64_t n = p.batch * p.outer * p.count * p.inner;
  if (n == 0) return check_indices(p, indices, ctx);
  with_word(word, [&]<class Word>(Word) {
    gather_kernel<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(p, n, indices, static_cast<const Word*>(args[0]),
                                                                  static_cast<Word*>(args[2]), Reporter(ctx));
  });
  check_launch(ctx);
}

Prepared prepare_gather(const Signature& s) {
  const GatherPlan p(s.inputs[0].shape, s.inputs[1].shape, s.attrs_as<GatherAttrs>());
  return {run_gather, GatherParams{p, static_cast<int>(size_of(s.inputs[0].dtype)), s.inputs[1].dtype == int64}};
}

void run_check(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& q = *static_cast<const GatherParams*>(params);
  check_indices(q.plan, {args[0], q.wide}, ctx);
  const auto bytes = static_cast<size_t>(q.plan.count * q.bytes);
  if (const auto e = cudaMemcpyAsync(args[2], args[0], bytes, cudaMemcpyDeviceToDevice, stream_of(ctx));
      e != cudaSuccess)
    ctx.fail(KernelError::device_failure, e);
}

Prepared prepare_check(const Signature& s) {
  const GatherPlan p(s.inputs[1].shape, s.inputs[0].shape, {});
  return {run_check, GatherParams{p, static_cast<int>(size_of(s.inputs[0].dtype)), s.inputs[0].dtype == int64}};
}

}  // namespace

void check_indices(const GatherPlan& plan, Indices indices, KernelContext& ctx) {
  const int64_t n = plan.batch * plan.count;
  if (n == 0) return;
  check_kernel<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(plan, indices, Reporter(ctx));
  check_launch(ctx);
}

std::span<const KernelEntry> gpu_kernels_gather() {
  static constexpr KernelEntry kTable[] = {{op_name::Gather, prepare_gather},
                                           {op_name::ScatterAdd, prepare_scatter_gpu},
                                           {op_name::CheckIndices, prepare_check}};
  return kTable;
}

}  // namespace twofold
