// CUDA kernel of sum_slices. Neighbouring parts that share no element of the output go in one launch, others one after
// another, so that every element is summed in the order of the parts.
#include <cuda_runtime.h>

#include <memory>

#include <twofold/kernels/cuda/launch.h>
#include <twofold/kernels/cuda/words.h>
#include <twofold/kernels/sum_slices/box.h>

namespace twofold {
namespace {

using namespace cuda;
using namespace moves;

constexpr int kParts = 16;  ///< the most parts in one launch

template <class T>
struct Parts {
  int count = 0;
  Box box[kParts];
  const T* src[kParts];
  int64_t end[kParts];  ///< of each part, elements being counted through all parts
};

template <class T>
__global__ void __launch_bounds__(kThreads) add_parts(const __grid_constant__ Parts<T> p, int64_t n, T* out) {
  for (int64_t e = first_element(); e < n; e += element_step()) {
    int k = 0;
    while (e >= p.end[k]) ++k;
    const Box& box = p.box[k];
    int64_t index = e - (k > 0 ? p.end[k - 1] : 0), from = box.src_base, to = box.dst_base;
    for (int i = box.rank - 1; i >= 0; --i) {
      const int64_t next = i > 0 ? quotient(index, box.extent[i]) : 0, here = index - next * box.extent[i];
      from += here * box.src_stride[i], to += here * box.dst_stride[i];
      index = next;
    }
    out[to] = out[to] + p.src[k][from];
  }
}

/// The output's elements between the first and the last that a box writes.
struct Reach {
  int64_t first, last;
  explicit Reach(const Box& box) : first(box.dst_base), last(box.dst_base) {
    for (int i = 0; i < box.rank; ++i)
      (box.dst_stride[i] < 0 ? first : last) += (box.extent[i] - 1) * box.dst_stride[i];
  }
  bool meets(const Reach& o) const { return first <= o.last && o.first <= last; }
};

template <class T>
void run_sum_slices(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const SumPlan& plan = **static_cast<const SumPlan* const*>(params);
  T* out = static_cast<T*>(args[plan.parts.size() + 1]);
  if (plan.elements == 0) return;
  if (const auto e = cudaMemsetAsync(out, 0, static_cast<size_t>(plan.elements) * sizeof(T), stream_of(ctx));
      e != cudaSuccess)
    return ctx.fail(KernelError::device_failure, e);
  Parts<T> p;
  const auto launch = [&] {
    if (p.count == 0) return;
    const int64_t n = p.end[p.count - 1];
    add_parts<T><<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(p, n, out);
    p.count = 0;
  };
  for (size_t k = 0; k < plan.parts.size(); ++k) {
    const Box& box = plan.parts[k];
    if (box.size() == 0) continue;
    bool apart = p.count < kParts;
    for (int i = 0; i < p.count && apart; ++i) apart = !Reach(p.box[i]).meets(Reach(box));
    if (!apart) launch();
    p.box[p.count] = box, p.src[p.count] = static_cast<const T*>(args[k + 1]);
    p.end[p.count] = (p.count > 0 ? p.end[p.count - 1] : 0) + box.size();
    ++p.count;
  }
  launch();
  check_launch(ctx);
}

Prepared prepare_sum_slices(const Signature& s) {
  auto plan = std::make_shared<const SumPlan>(plan_sum(s));
  Prepared p(s.outputs[0].dtype == float32 ? run_sum_slices<float> : run_sum_slices<double>, plan.get());
  p.resource = std::move(plan);
  return p;
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_sum_slices();
std::span<const KernelEntry> gpu_kernels_sum_slices() {
  static constexpr KernelEntry kTable[] = {{op_name::SumSlices, prepare_sum_slices}};
  return kTable;
}

}  // namespace twofold
