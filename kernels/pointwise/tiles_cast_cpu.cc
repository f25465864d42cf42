// Tile functions of casts between all element types.
#include <math.h>

#include <twofold/kernels/pointwise/scalar.h>
#include <twofold/kernels/pointwise/tile_cpu.h>

namespace twofold {

template <class From, class To>
void cast_tile(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept {
  const From* x = static_cast<const From*>(inputs[0]);
  To* y = static_cast<To*>(output);
  if (scalar_mask) {
    const To value = convert<To>(*x);
    for (int64_t i = 0; i < n; ++i) y[i] = value;
    return;
  }
  TWOFOLD_ELEMENTWISE
  for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
}

#define CAST(From, To) template void cast_tile<From, To>(void* const*, void*, int64_t, uint32_t) noexcept;
#define CASTS(From) \
  CAST(From, float) CAST(From, double) CAST(From, int32_t) CAST(From, int64_t) CAST(From, uint8_t) CAST(From, bool)
CASTS(float)
CASTS(double)
CASTS(int32_t)
CASTS(int64_t)
CASTS(uint8_t)
CASTS(bool)

}  // namespace twofold
