// CPU kernel of sum_slices. Parts are added one after another, each by many threads: so every element is summed in the
// order of the parts, whatever the number of threads.
#include <memory>

#include <twofold/kernels/layout/move_cpu.h>
#include <twofold/kernels/sum_slices/box.h>

namespace twofold {
namespace {

using namespace moves;

/// dst = base + src along a run, where base is dst or, `fresh`, zero.
template <class T, bool kFresh>
void add_run(T* dst, int64_t dst_step, const T* src, int64_t n) noexcept {
  if (dst_step == 1)
    for (int64_t i = 0; i < n; ++i) dst[i] = (kFresh ? T(0) : dst[i]) + src[i];
  else
    for (int64_t i = 0; i < n; ++i) dst[i * dst_step] = (kFresh ? T(0) : dst[i * dst_step]) + src[i];
}

template <class T, bool kFresh>
void add_part(const Box& box, T* out, const T* part, const KernelContext& ctx) noexcept {
  Walk src, dst;
  const int inner = box.rank - 1;
  for (int i = 0; i < inner; ++i)
    src.push(box.extent[i], box.src_stride[i]), dst.push(box.extent[i], box.dst_stride[i]);
  const int64_t run = inner < 0 ? 1 : box.extent[inner], step = inner < 0 ? 1 : box.dst_stride[inner];
  const int64_t tile = std::max<int64_t>(1, std::min(run, kTaskElements)), tiles = ceil_div(run, tile);
  const int64_t units = src.size() * tiles, group = std::max<int64_t>(1, kTaskElements / tile);
  ctx.parallel_for(ceil_div(units, group), [&](int64_t task) {
    Cursor from(src, task * group / tiles), to(dst, task * group / tiles);
    int64_t j = task * group % tiles * tile;
    for (int64_t u = task * group; u < std::min(units, (task + 1) * group); ++u) {
      add_run<T, kFresh>(out + box.dst_base + to.offset() + j * step, step, part + from.offset() + j,
                         std::min(tile, run - j));
      if ((j += tile) < run) continue;
      j = 0;
      from.next(), to.next();
    }
  });
}

template <class T>
void sum_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const SumPlan& plan = **static_cast<const SumPlan* const*>(params);
  T* out = static_cast<T*>(args[plan.parts.size() + 1]);
  if (plan.cleared) clear(out, plan.elements * static_cast<int64_t>(sizeof(T)), ctx);
  for (size_t k = 0; k < plan.parts.size(); ++k) {
    const Box& box = plan.parts[k];
    if (box.size() == 0) continue;
    const T* part = static_cast<const T*>(args[k + 1]);
    k == 0 ? add_part<T, true>(box, out, part, ctx) : add_part<T, false>(box, out, part, ctx);
  }
}

Prepared prepare_sum_slices(const Signature& s) {
  auto plan = std::make_shared<const SumPlan>(plan_sum(s));
  Prepared p(s.outputs[0].dtype == float32 ? sum_kernel<float> : sum_kernel<double>, plan.get());
  p.resource = std::move(plan);
  return p;
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_sum_slices();
std::span<const KernelEntry> cpu_kernels_sum_slices() {
  static constexpr KernelEntry kTable[] = {{op_name::SumSlices, prepare_sum_slices}};
  return kTable;
}

}  // namespace twofold
