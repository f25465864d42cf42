// Tile functions from float64 to float64.
#include <twofold/kernels/pointwise/packet_tile_cpu.h>

namespace twofold {

#define TILE_numeric(Op, kind)                                                                                  \
  template <>                                                                                                   \
  void tile<functor::Op, double>(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept { \
    packet_##kind<functor::Op, double>(inputs, output, n, scalar_mask);                                         \
  }
#define TILE_floating TILE_numeric
#define TILE_quotient TILE_numeric
#define TILE_any(Op, kind)
#define TILE_boolean(Op, kind)

#define TWOFOLD_UNARY(function, Op, dtypes, ...) TILE_##dtypes(Op, unary)
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) TILE_##dtypes(Op, binary)
#include <twofold/kernels/pointwise/ops.def>

}  // namespace twofold
