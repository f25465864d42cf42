// CPU kernels of gather and its adjoint. Which task writes what follows from the shapes alone, and no element is
// written by two, so that sums are made in the order of the indices whatever the number of threads.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/gather/plan.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task moves
constexpr int64_t kColumns = 256;         ///< elements of a slice that one task adds to

/// The first index that is out of range, if any.
template <class I>
bool check(const GatherPlan& p, const I* indices, KernelContext& ctx) {
  for (int64_t i = 0; i < p.batch * p.count; ++i) {
    if (indices[i] >= 0 && indices[i] < p.extent) continue;
    ctx.fail(KernelError::index_out_of_range, indices[i]);
    return false;
  }
  return true;
}

template <class Word, class I>
void gather_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const GatherPlan*>(params);
  const auto* x = static_cast<const Word*>(args[0]);
  const auto* indices = static_cast<const I*>(args[1]);
  auto* y = static_cast<Word*>(args[2]);
  if (!check(p, indices, ctx)) return;
  const int64_t slices = p.batch * p.outer * p.count, group = std::max<int64_t>(1, kTaskElements / (p.inner + 1));
  ctx.parallel_for(ceil_div(slices, group), [&](int64_t task) {
    for (int64_t s = task * group; s < std::min(slices, (task + 1) * group); ++s) {
      const int64_t row = s / p.count, i = s % p.count;  // row: batch and outer
      const int64_t index = indices[row / p.outer * p.count + i];
      const Word* from = x + (row * p.extent + index) * p.inner;
      if (p.inner == 1)
        y[s] = *from;
      else
        std::memcpy(y + s * p.inner, from, static_cast<size_t>(p.inner) * sizeof(Word));
    }
  });
}

template <class T, class I>
void scatter_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Sum = std::conditional_t<std::is_floating_point_v<T>, T,
                                 std::make_unsigned_t<std::conditional_t<std::is_floating_point_v<T>, int, T>>>;
  const auto& p = *static_cast<const GatherPlan*>(params);
  const auto* updates = static_cast<const T*>(args[0]);
  const auto* indices = static_cast<const I*>(args[1]);
  auto* y = static_cast<T*>(args[3]);
  if (!check(p, indices, ctx)) return;
  const int64_t tiles = ceil_div(p.inner, kColumns);
  ctx.parallel_for(p.batch * p.outer * tiles, [&](int64_t task) {
    const int64_t row = task / tiles, first = task % tiles * kColumns, width = std::min(kColumns, p.inner - first);
    T* to = y + row * p.extent * p.inner + first;
    if (width == p.inner)
      std::memset(to, 0, static_cast<size_t>(p.extent * width) * sizeof(T));
    else
      for (int64_t e = 0; e < p.extent; ++e) std::fill_n(to + e * p.inner, width, T(0));
    const T* from = updates + row * p.count * p.inner + first;
    for (int64_t i = 0; i < p.count; ++i, from += p.inner) {
      T* sum = to + indices[row / p.outer * p.count + i] * p.inner;
      for (int64_t k = 0; k < width; ++k) sum[k] = static_cast<T>(static_cast<Sum>(sum[k]) + static_cast<Sum>(from[k]));
    }
  });
}

Prepared prepare_gather(const Signature& s) {
  const GatherPlan p(s.inputs[0].shape, s.inputs[1].shape, s.attrs_as<GatherAttrs>());
  const bool wide = s.inputs[1].dtype == int64;
  const auto pick = [&]<class Word>(Word) {
    return Prepared(wide ? gather_kernel<Word, int64_t> : gather_kernel<Word, int32_t>, p);
  };
  switch (size_of(s.inputs[0].dtype)) {
    case 1: return pick(uint8_t{});
    case 4: return pick(uint32_t{});
    default: return pick(uint64_t{});
  }
}

Prepared prepare_scatter(const Signature& s) {
  const GatherPlan p(s.inputs[2].shape, s.inputs[1].shape, s.attrs_as<GatherAttrs>());
  const bool wide = s.inputs[1].dtype == int64;
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return Prepared{};
    else
      return Prepared(wide ? scatter_kernel<T, int64_t> : scatter_kernel<T, int32_t>, p);
  });
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_gather();
std::span<const KernelEntry> cpu_kernels_gather() {
  static constexpr KernelEntry kTable[] = {{"Gather", prepare_gather}, {"ScatterAdd", prepare_scatter}};
  return kTable;
}

}  // namespace twofold
