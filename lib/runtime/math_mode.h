// How exact products are.
#pragma once

#include <cstdint>

namespace twofold {

/// How exact products of float32 are; set_math_mode says more.
enum class MathMode : uint8_t {
  strict,    ///< no operand is narrowed
  tf32,      ///< matrix products and convolutions may round float32 operands to TF32
  pedantic,  ///< strict, and a sum of products is that of its own terms, not of transforms of them
};

}  // namespace twofold
