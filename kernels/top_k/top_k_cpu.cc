// CPU top_k: a heap of the k best of a row, kept where their indices are to be.
#include <algorithm>
#include <numeric>
#include <type_traits>

#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/top_k/top_k.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task reads

struct Params {
  int64_t rows, extent, k;
};

/// Orders indices of a row by what comes first in the result.
template <class T>
struct Before {
  const T* row;
  bool operator()(int32_t i, int32_t j) const {
    const T a = row[i], b = row[j];
    const bool a_nan = a != a, b_nan = b != b;
    if (a_nan != b_nan) return a_nan;
    return a > b || (!(b > a) && i < j);
  }
};

template <class T>
void top_k_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Params*>(params);
  if (p.k == 0) return;
  const int64_t group = std::max<int64_t>(1, kTaskElements / p.extent);
  ctx.parallel_for(ceil_div(p.rows, group), [&](int64_t task) {
    for (int64_t r = task * group; r < std::min(p.rows, (task + 1) * group); ++r) {
      const T* row = static_cast<const T*>(args[0]) + r * p.extent;
      auto* values = static_cast<T*>(args[1]) + r * p.k;
      auto* best = static_cast<int32_t*>(args[2]) + r * p.k;
      const Before<T> before{row};
      std::iota(best, best + p.k, 0);
      std::make_heap(best, best + p.k, before);  // the last of them on top
      for (int64_t i = p.k; i < p.extent; ++i) {
        const auto index = static_cast<int32_t>(i);
        if (!before(index, best[0])) continue;
        std::pop_heap(best, best + p.k, before);
        best[p.k - 1] = index;
        std::push_heap(best, best + p.k, before);
      }
      std::sort_heap(best, best + p.k, before);
      for (int64_t i = 0; i < p.k; ++i) values[i] = row[best[i]];
    }
  });
}

Prepared prepare_top_k(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  Params p{1, x[x.rank() - 1], s.attrs_as<TopKAttrs>().k};
  for (int i = 0; i < x.rank() - 1; ++i) p.rows *= x[i];
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return Prepared{};
    else
      return Prepared(top_k_kernel<T>, p);
  });
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_top_k();
std::span<const KernelEntry> cpu_kernels_top_k() {
  static constexpr KernelEntry kTable[] = {{op_name::TopK, prepare_top_k}};
  return kTable;
}

}  // namespace twofold
