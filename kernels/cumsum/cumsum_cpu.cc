// CPU running sums: each is made in order, by one task, so that its bits depend on nothing else.
#include <algorithm>
#include <type_traits>

#include <twofold/kernels/cumsum/cumsum.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task reads
constexpr int64_t kColumns = 256;         ///< sums side by side

/// x is (outer, extent, inner).
struct Params {
  int64_t outer = 1, extent = 1, inner = 1;
  bool exclusive = false, reverse = false;
};

template <class T>
struct TotalOf {
  using type = std::make_unsigned_t<T>;  // wraps
};
template <class T>
requires std::is_floating_point_v<T>
struct TotalOf<T> {
  using type = double;
};

template <class T>
void cumsum_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using Total = typename TotalOf<T>::type;
  const auto& p = *static_cast<const Params*>(params);
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<T*>(args[1]);
  const int64_t tiles = ceil_div(p.inner, kColumns), units = p.outer * tiles;
  const int64_t group = std::max<int64_t>(1, kTaskElements / (p.extent * std::min(p.inner, kColumns) + 1));
  ctx.parallel_for(ceil_div(units, group), [&](int64_t task) {
    for (int64_t u = task * group; u < std::min(units, (task + 1) * group); ++u) {
      const int64_t column = u % tiles * kColumns, width = std::min(kColumns, p.inner - column);
      const int64_t base = u / tiles * p.extent * p.inner + column;
      Total totals[kColumns] = {};
      for (int64_t i = 0; i < p.extent; ++i) {
        const int64_t at = base + (p.reverse ? p.extent - 1 - i : i) * p.inner;
        for (int64_t j = 0; j < width; ++j) {
          const Total before = totals[j];
          totals[j] = static_cast<Total>(before + static_cast<Total>(x[at + j]));
          y[at + j] = static_cast<T>(p.exclusive ? before : totals[j]);
        }
      }
    }
  });
}

Prepared prepare_cumsum(const Signature& s) {
  const auto& attrs = s.attrs_as<CumsumAttrs>();
  const Shape& x = s.inputs[0].shape;
  const int axis = static_cast<int>(attrs.axis < 0 ? attrs.axis + x.rank() : attrs.axis);
  Params p{.extent = x[axis], .exclusive = attrs.exclusive, .reverse = attrs.reverse};
  for (int i = 0; i < axis; ++i) p.outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) p.inner *= x[i];
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return Prepared{};
    else
      return Prepared(cumsum_kernel<T>, p);
  });
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_cumsum();
std::span<const KernelEntry> cpu_kernels_cumsum() {
  static constexpr KernelEntry kTable[] = {{op_name::Cumsum, prepare_cumsum}};
  return kTable;
}

}  // namespace twofold
