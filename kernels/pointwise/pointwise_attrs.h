// Attributes of the pointwise ops that have any.
#pragma once

#include <twofold/lib/op/attrs.h>

namespace twofold {

/// Attributes of Cast.
struct CastAttrs {
  DType to = float32;
  TWOFOLD_FIELDS(to)
};

}  // namespace twofold
