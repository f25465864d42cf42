// CPU kernels of gather and its adjoint. Which task writes what follows from the shapes alone, and no element is
// written by two, so that sums are made in the order of the indices whatever the number of threads.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/gather/plan.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task moves
constexpr int64_t kColumns = 256;         ///< elements of a slice that one task adds to
constexpr int64_t kShortSum = 64;         ///< the most float32 updates that are summed in float32, in order

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

/// Rows of the output to which more than kShortSum float32 updates are added: they are summed separately, in float64.
struct LongRows {
  int32_t* slot;  ///< of a row of (batch, extent) among the sums of its batch entry; -1: not a long row
  double* sums;   ///< (batch, outer, most, inner)
  int64_t most;   ///< the most that a batch entry can have

  static int64_t most_of(const GatherPlan& p) { return p.count / (kShortSum + 1); }
  static size_t bytes_of_sums(const GatherPlan& p) {
    return static_cast<size_t>(p.batch * p.outer * most_of(p) * p.inner) * sizeof(double);
  }
  static size_t bytes(const GatherPlan& p) {
    if (p.count <= kShortSum) return 0;
    return bytes_of_sums(p) + static_cast<size_t>(p.batch * p.extent) * sizeof(int32_t);
  }

  /// True if no row is long; false if one may be. Counts by 4096 counters, each for many rows, which as a rule decides.
  template <class I>
  static bool surely_none(const GatherPlan& p, const I* indices) {
    constexpr int64_t kCounters = 4096;
    for (int64_t b = 0; b < p.batch; ++b) {
      uint32_t counters[kCounters] = {};
      for (int64_t i = 0; i < p.count; ++i) ++counters[static_cast<uint64_t>(indices[b * p.count + i]) % kCounters];
      if (*std::max_element(counters, counters + kCounters) > kShortSum) return false;
    }
    return true;
  }

  /// Finds them; returns whether there are any.
  template <class I>
  bool find(const GatherPlan& p, const I* indices, void* workspace) {
    if (p.count <= kShortSum || surely_none(p, indices)) return false;
    sums = static_cast<double*>(workspace), most = most_of(p);
    slot = reinterpret_cast<int32_t*>(static_cast<char*>(workspace) + bytes_of_sums(p));
    std::fill_n(slot, p.batch * p.extent, 0);
    bool any = false;
    for (int64_t b = 0; b < p.batch; ++b) {
      int32_t* of_row = slot + b * p.extent;
      for (int64_t i = 0; i < p.count; ++i) ++of_row[indices[b * p.count + i]];
      int32_t next = 0;
      for (int64_t e = 0; e < p.extent; ++e) of_row[e] = of_row[e] > kShortSum ? next++ : -1;
      any |= next > 0;
    }
    return any;
  }
};

/// Adds the updates of one row of batch and outer, `width` columns of them.
template <class I>
void add_some_long(const GatherPlan& p, const int32_t* slot, double* sums, int64_t width, const I* indices,
                   const float* from, float* to) {
  for (int64_t e = 0; e < p.extent; ++e)
    if (slot[e] >= 0) std::fill_n(sums + slot[e] * p.inner, width, 0.0);
  for (int64_t i = 0; i < p.count; ++i, from += p.inner) {
    if (const int32_t s = slot[indices[i]]; s >= 0) {
      double* sum = sums + s * p.inner;
      for (int64_t k = 0; k < width; ++k) sum[k] += static_cast<double>(from[k]);
    } else {
      float* sum = to + indices[i] * p.inner;
      for (int64_t k = 0; k < width; ++k) sum[k] += from[k];
    }
  }
  for (int64_t e = 0; e < p.extent; ++e)
    if (slot[e] >= 0)
      for (int64_t k = 0; k < width; ++k) to[e * p.inner + k] = static_cast<float>(sums[slot[e] * p.inner + k]);
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
  constexpr bool kMayBeLong = std::is_same_v<T, float>;
  [[maybe_unused]] LongRows longs;
  const bool any_long = kMayBeLong && longs.find(p, indices, ctx.workspace);
  const int64_t tiles = ceil_div(p.inner, kColumns);
  ctx.parallel_for(p.batch * p.outer * tiles, [&](int64_t task) {
    const int64_t row = task / tiles, first = task % tiles * kColumns, width = std::min(kColumns, p.inner - first);
    T* to = y + row * p.extent * p.inner + first;
    if (width == p.inner)
      std::memset(to, 0, static_cast<size_t>(p.extent * width) * sizeof(T));
    else
      for (int64_t e = 0; e < p.extent; ++e) std::fill_n(to + e * p.inner, width, T(0));
    const T* from = updates + row * p.count * p.inner + first;
    if constexpr (kMayBeLong) {
      if (any_long) {
        const int64_t batch = row / p.outer;
        return add_some_long(p, longs.slot + batch * p.extent, longs.sums + row * longs.most * p.inner + first, width,
                             indices + batch * p.count, from, to);
      }
    }
    for (int64_t i = 0; i < p.count; ++i, from += p.inner) {
      T* sum = to + indices[row / p.outer * p.count + i] * p.inner;
      for (int64_t k = 0; k < width; ++k) sum[k] = static_cast<T>(static_cast<Sum>(sum[k]) + static_cast<Sum>(from[k]));
    }
  });
}

template <class I>
void check_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const GatherPlan*>(params);
  const auto* indices = static_cast<const I*>(args[0]);
  if (check(p, indices, ctx)) std::copy_n(indices, p.count, static_cast<I*>(args[2]));
}

Prepared prepare_check(const Signature& s) {
  const GatherPlan p(s.inputs[1].shape, s.inputs[0].shape, {});
  if (s.inputs[0].dtype == int64) return {check_kernel<int64_t>, p};
  if (s.inputs[0].dtype == int32) return {check_kernel<int32_t>, p};
  return {};
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
      return Prepared(wide ? scatter_kernel<T, int64_t> : scatter_kernel<T, int32_t>, p,
                      std::is_same_v<T, float> ? LongRows::bytes(p) : 0);
  });
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_gather();
std::span<const KernelEntry> cpu_kernels_gather() {
  static constexpr KernelEntry kTable[] = {{op_name::Gather, prepare_gather},
                                           {op_name::ScatterAdd, prepare_scatter},
                                           {op_name::CheckIndices, prepare_check}};
  return kTable;
}

}  // namespace twofold
