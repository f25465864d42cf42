// Switches between exactness and speed, for the whole process.
#pragma once

#include <twofold/lib/op/kernel.h>

namespace twofold {

/// How float32 matrix products and convolutions on a GPU may round their operands, from the next op and plan on.
/// Strict at first. The CPU is always strict.
void math_mode(MathMode mode);
MathMode math_mode();

/// Whether the same run gives the same bits each time. True at first; without it, faster algorithms may be chosen whose
/// sums vary in their order, from the next op and plan on.
void deterministic(bool on);
bool deterministic();

/// Both in one word, for keys.
inline uint64_t numerics_word() { return static_cast<uint64_t>(math_mode()) << 1 | uint64_t{deterministic()}; }

}  // namespace twofold
