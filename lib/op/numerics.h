// Switches between exactness and speed, for the whole process.
#pragma once

#include <atomic>
#include <cstdint>

#include <twofold/lib/runtime/math_mode.h>

namespace twofold {

/// Sets how float32 matrix products and convolutions are computed, from the next op and plan on. Where y is a sum of n
/// terms a_i b_i, and u = 2^-24, half of float32's epsilon:
/// - strict, the default: no operand is narrowed. |y - exact| <= n u sum |a_i b_i|, but for some 3x3 convolutions on
///   the CPU: they go by Winograd's algorithm, whose error follows the largest numbers that meet. conv2d says which.
/// - tf32: on a GPU operands may be rounded to TF32, 10 bits of fraction. On the CPU it is strict.
/// - pedantic: |y - exact| <= n u sum |a_i b_i| always, for no transforms are used. It is for numbers of very different
///   sizes side by side. Those convolutions take 1.3 to 4 times as long; on a GPU it is strict.
///
/// (All to first order in u, and where nothing overflows or is subnormal.) float64 is as under `pedantic` always, with
/// u = 2^-53. Source: cuBLAS's math modes, whose CUBLAS_PEDANTIC_MATH also goes without algorithmic shortcuts.
void set_math_mode(MathMode mode);
/// As it is set.
inline MathMode math_mode();

/// Sets whether the same run gives the same bits each time. True at first; without it, faster algorithms may be chosen
/// whose sums vary in their order, from the next op and plan on.
void set_deterministic(bool on);
/// As it is set.
inline bool deterministic();

[[deprecated("write tf::set_math_mode(mode)")]] inline void math_mode(MathMode mode) { set_math_mode(mode); }
[[deprecated("write tf::set_deterministic(on)")]] inline void deterministic(bool on) { set_deterministic(on); }

namespace internal {
extern std::atomic<uint8_t> g_numerics;
/// Both in one word, for keys: whether deterministic, then the mode.
inline uint64_t numerics_word() { return g_numerics.load(std::memory_order_relaxed); }
constexpr MathMode math_mode_of(uint64_t numerics) { return static_cast<MathMode>(numerics >> 1); }
constexpr bool deterministic_of(uint64_t numerics) { return numerics & 1; }
}  // namespace internal

MathMode math_mode() { return internal::math_mode_of(internal::numerics_word()); }
bool deterministic() { return internal::deterministic_of(internal::numerics_word()); }

}  // namespace twofold
