// Switches between exactness and speed, for the whole process.
#pragma once

#include <atomic>

#include <twofold/lib/op/kernel.h>

namespace twofold {

/// How float32 matrix products and convolutions on a GPU may round their operands, from the next op and plan on.
/// Strict at first. The CPU is always strict.
void math_mode(MathMode mode);
inline MathMode math_mode();

/// Whether the same run gives the same bits each time. True at first; without it, faster algorithms may be chosen whose
/// sums vary in their order, from the next op and plan on.
void deterministic(bool on);
inline bool deterministic();

/// Both in one word, for keys: whether deterministic, then the mode.
inline uint64_t numerics_word();

namespace internal {
extern std::atomic<uint8_t> g_numerics;
}

uint64_t numerics_word() { return internal::g_numerics.load(std::memory_order_relaxed); }
MathMode math_mode() { return static_cast<MathMode>(numerics_word() >> 1); }
bool deterministic() { return numerics_word() & 1; }

}  // namespace twofold
