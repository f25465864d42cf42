// CPU argmax.
#include <algorithm>
#include <type_traits>

#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/reduce/reduce.h>
#include <twofold/kernels/reduce/reducers_cpu.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;
constexpr int64_t kColumns = 256;
constexpr int64_t kBlock = 512;  ///< elements of a row that are searched only if their maximum is a new one

struct ArgMaxParams {
  int64_t outer, extent, inner;
};

/// True if `b`, which comes later, displaces `a`.
template <class T>
bool displaces(T b, T a) {
  return b > a || (b != b && a == a);
}

template <class T>
int64_t argmax_of_row(const T* x, int64_t n) {
  int64_t best = 0, i = 1;
  for (; i + kBlock <= n; i += kBlock) {
    const T most = reducers::MaxOf<T>::block(x + i, kBlock);
    if (!displaces(most, x[best])) continue;
    best = i;
    while (displaces(most, x[best])) ++best;
  }
  for (; i < n; ++i)
    if (displaces(x[i], x[best])) best = i;
  return best;
}

template <class T>
void argmax_of_columns(const T* x, int64_t n, int64_t stride, int64_t width, int64_t* y) {
  T best[kColumns];
  std::copy_n(x, width, best);
  std::fill_n(y, width, 0);
  for (int64_t i = 1; i < n; ++i) {
    const T* row = x + i * stride;
    for (int64_t j = 0; j < width; ++j) {
      const bool better = displaces(row[j], best[j]);
      best[j] = better ? row[j] : best[j];
      y[j] = better ? i : y[j];
    }
  }
}

template <class T>
void argmax_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const ArgMaxParams*>(params);
  const auto* x = static_cast<const T*>(args[0]);
  auto* y = static_cast<int64_t*>(args[1]);
  if (p.extent == 0) {  // refused by the shape rule; no index is right
    std::fill_n(y, p.outer * p.inner, 0);
    return;
  }
  const int64_t tiles = ceil_div(p.inner, kColumns), units = p.outer * tiles;
  const int64_t group = std::max<int64_t>(1, kTaskElements / (p.extent * std::min(p.inner + 1, kColumns)));
  ctx.parallel_for(ceil_div(units, group), [&](int64_t task) {
    for (int64_t u = task * group; u < std::min(units, (task + 1) * group); ++u) {
      const int64_t outer = u / tiles, column = u % tiles * kColumns;
      const T* from = x + outer * p.extent * p.inner + column;
      int64_t* to = y + outer * p.inner + column;
      if (p.inner == 1)
        *to = argmax_of_row(from, p.extent);
      else
        argmax_of_columns(from, p.extent, p.inner, std::min(kColumns, p.inner - column), to);
    }
  });
}

}  // namespace

Prepared prepare_argmax(const Signature& s);
Prepared prepare_argmax(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  const int64_t given = s.attrs_as<ArgMaxAttrs>().axis;
  const int axis = static_cast<int>(given < 0 ? given + x.rank() : given);
  ArgMaxParams p{1, x[axis], 1};
  for (int i = 0; i < axis; ++i) p.outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) p.inner *= x[i];
  return dispatch(s.inputs[0].dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return Prepared{};
    else
      return Prepared(argmax_kernel<T>, p);
  });
}

}  // namespace twofold
