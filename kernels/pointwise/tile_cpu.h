// The CPU tile functions of the pointwise ops: declared here for all, defined in the tiles_*_cpu.cc.
#pragma once

#include <twofold/kernels/pointwise/functors.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

/// TileFn of functor F for operands of type T. A result that is a mask is stored as bool.
template <class F, class T>
void tile(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept;

/// TileFn of `where` for elements of `kBytes` bytes.
template <int kBytes>
void select_tile(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept;

/// TileFn of a cast.
template <class From, class To>
void cast_tile(void* const* inputs, void* output, int64_t n, uint32_t scalar_mask) noexcept;

/// The tile function of an op for operands of `dtype` and results of `to`; null if there is none.
TileFn find_cpu_tile(OpKey op, DType dtype, DType to);

// Says of the next loop that iteration i touches element i alone, so that an output may lie over an input.
#if defined(__clang__)
#define TWOFOLD_ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define TWOFOLD_ELEMENTWISE _Pragma("GCC ivdep")
#endif

}  // namespace twofold
