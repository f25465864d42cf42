// Which element types a pointwise op takes.
#pragma once

#include <twofold/lib/core/dtype.h>

namespace twofold {

enum class DTypeClass : uint8_t {
  numeric,   ///< every dtype but bool
  floating,  ///< float32 and float64
  quotient,  ///< floating; the user's function casts integers to float32 first
  any,       ///< every dtype
  boolean,   ///< bool
};

constexpr bool supports(DTypeClass c, DType t) {
  switch (c) {
    case DTypeClass::numeric: return t != bool_;
    case DTypeClass::floating:
    case DTypeClass::quotient: return is_floating(t);
    case DTypeClass::any: return true;
    case DTypeClass::boolean: break;
  }
  return t == bool_;
}

}  // namespace twofold
