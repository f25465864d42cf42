// Tile functions of integers and bools, comparisons of all dtypes, and `where`: loops that the compiler vectorises. All
// of their arithmetic is exact or wraps, so that vectorising changes no bit.
#include <math.h>
#include <type_traits>

#include <twofold/kernels/pointwise/scalar.h>
#include <twofold/kernels/pointwise/tile_cpu.h>

namespace twofold {
namespace {

template <class F, class T>
TWOFOLD_INLINE void scalar_unary(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) {
  const auto f = [](T x) { return stored(F()(Scalar<T>(x))); };
  using Y = decltype(f(T()));
  const T* x = static_cast<const T*>(inputs[0]);
  Y* y = static_cast<Y*>(output);
  if (scalar_mask) {
    const Y value = f(*x);
    for (int64_t i = 0; i < n; ++i) y[i] = value;
    return;
  }
  TWOFOLD_ELEMENTWISE
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

template <class F, class T>
TWOFOLD_INLINE void scalar_binary(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) {
  const auto f = [](T a, T b) { return stored(F()(Scalar<T>(a), Scalar<T>(b))); };
  using Y = decltype(f(T(), T()));
  const T* a = static_cast<const T*>(inputs[0]);
  const T* b = static_cast<const T*>(inputs[1]);
  Y* y = static_cast<Y*>(output);
  if (n == 1) {
    *y = f(*a, *b);
  } else if (scalar_mask == 0) {
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (scalar_mask == 1) {
    const T one = *a;
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = f(one, b[i]);
  } else if (scalar_mask == 2) {
    const T one = *b;
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], one);
  } else {
    const Y value = f(*a, *b);
    for (int64_t i = 0; i < n; ++i) y[i] = value;
  }
}

}  // namespace

#define TILE(Op, T, kind)                                                                                  \
  template <>                                                                                              \
  void tile<functor::Op, T>(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept { \
    scalar_##kind<functor::Op, T>(inputs, output, n, scalar_mask);                                         \
  }
#define TILE_numeric(Op, kind) TILE(Op, int32_t, kind) TILE(Op, int64_t, kind) TILE(Op, uint8_t, kind)
#define TILE_floating(Op, kind)
#define TILE_quotient(Op, kind)
#define TILE_boolean(Op, kind) TILE(Op, bool, kind)
#define TILE_any(Op, kind) TILE_numeric(Op, kind) TILE_boolean(Op, kind) TILE(Op, float, kind) TILE(Op, double, kind)

#define TWOFOLD_UNARY(function, Op, dtypes, ...) TILE_##dtypes(Op, unary)
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) TILE_##dtypes(Op, binary)
#include <twofold/kernels/pointwise/ops.def>

template <int kBytes>
void select_tile(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept {
  using T = std::conditional_t<kBytes == 1, uint8_t, std::conditional_t<kBytes == 4, uint32_t, uint64_t>>;
  const bool* condition = static_cast<const bool*>(inputs[0]);
  const T* a = static_cast<const T*>(inputs[1]);
  const T* b = static_cast<const T*>(inputs[2]);
  T* y = static_cast<T*>(output);
  if (scalar_mask & 1) {
    const bool first = *condition;
    const T* chosen = first ? a : b;
    if (scalar_mask & (first ? 2 : 4)) {
      const T one = *chosen;
      for (int64_t i = 0; i < n; ++i) y[i] = one;
    } else {
      TWOFOLD_ELEMENTWISE
      for (int64_t i = 0; i < n; ++i) y[i] = chosen[i];
    }
  } else if (scalar_mask == 0) {
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = condition[i] ? a[i] : b[i];
  } else if (scalar_mask == 2) {
    const T one = *a;
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = condition[i] ? one : b[i];
  } else if (scalar_mask == 4) {
    const T other = *b;
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = condition[i] ? a[i] : other;
  } else {
    const T one = *a, other = *b;
    TWOFOLD_ELEMENTWISE
    for (int64_t i = 0; i < n; ++i) y[i] = condition[i] ? one : other;
  }
}
template void select_tile<1>(void* const*, void*, int64_t, uint32_t) noexcept;
template void select_tile<4>(void* const*, void*, int64_t, uint32_t) noexcept;
template void select_tile<8>(void* const*, void*, int64_t, uint32_t) noexcept;

}  // namespace twofold
