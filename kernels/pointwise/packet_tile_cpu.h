// Tile functions over packets, for functors from floating numbers to floating numbers.
#pragma once

#include <twofold/kernels/pointwise/tile_cpu.h>
#include <twofold/kernels/pointwise/vec_cpu.h>

namespace twofold {

template <class F, class T>
TWOFOLD_INLINE void packet_unary(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) {
  using V = Vec<T>;
  const F f;
  const T* x = static_cast<const T*>(inputs[0]);
  T* y = static_cast<T*>(output);
  if (n == 1) {
    *y = f(V(*x)).first();
    return;
  }
  if (scalar_mask) {
    const T value = f(V(*x)).first();
    for (int64_t i = 0; i < n; ++i) y[i] = value;
    return;
  }
  int64_t i = 0;
  for (; i + V::kSize <= n; i += V::kSize) f(V::load(x + i)).store(y + i);
  if (i < n) f(V::load_part(x + i, n - i)).store_part(y + i, n - i);
}

template <class F, class T>
TWOFOLD_INLINE void packet_binary(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) {
  using V = Vec<T>;
  const F f;
  const T* a = static_cast<const T*>(inputs[0]);
  const T* b = static_cast<const T*>(inputs[1]);
  T* y = static_cast<T*>(output);
  if (n == 1) {
    *y = f(V(*a), V(*b)).first();
    return;
  }
  // An operand of one element is broadcast to a packet, which every iteration reads.
  T spread_a[V::kSize], spread_b[V::kSize];
  int64_t step_a = V::kSize, step_b = V::kSize;
  if (scalar_mask & 1) V(*a).store(spread_a), a = spread_a, step_a = 0;
  if (scalar_mask & 2) V(*b).store(spread_b), b = spread_b, step_b = 0;
  for (; n >= V::kSize; n -= V::kSize, a += step_a, b += step_b, y += V::kSize) f(V::load(a), V::load(b)).store(y);
  if (n > 0) f(V::load_part(a, n), V::load_part(b, n)).store_part(y, n);
}

}  // namespace twofold
