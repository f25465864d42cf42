// NumPy's broadcasting of shapes.
#pragma once

#include <twofold/lib/core/shape.h>

namespace twofold {

/// The shape that `a` and `b` broadcast to, in `*out`; false if they are incompatible. Where an extent is unknown the
/// other one decides if it is above 1, else the result's is unknown; `out` may be one of the two.
inline bool broadcast_shapes(const Shape& a, const Shape& b, Shape* out) {
  if (!a.has_rank() || !b.has_rank()) {
    *out = unknown_shape;
    return true;
  }
  const int rank = a.rank() > b.rank() ? a.rank() : b.rank();
  Shape result = Shape::of_rank(rank);
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t m = ia < 0 ? 1 : a.raw()[static_cast<size_t>(ia)];
    const int64_t n = ib < 0 ? 1 : b.raw()[static_cast<size_t>(ib)];
    if (m == n || n == 1)
      result.set(i, m);
    else if (m == 1)
      result.set(i, n);
    else if (m < 0)
      result.set(i, n);
    else if (n < 0)
      result.set(i, m);
    else
      return false;
  }
  *out = result;
  return true;
}

}  // namespace twofold
