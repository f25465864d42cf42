// Moving boxes of elements on GPUs.
#pragma once

#include <cstdint>

#include <twofold/kernels/layout/box.h>
#include <twofold/lib/op/number.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold::cuda {

/// A kernel that moves a box of the signature's input 0 into its output 0.
Prepared prepare_move(const moves::Box& box, const Signature& s);

/// A kernel that copies input 0 into output 0, where it begins at `before`, and fills the rest with elements of these
/// bits.
Prepared prepare_padding(const int64_t* before, uint64_t element, const Signature& s);

/// The bits of `value` as an element of that dtype.
uint64_t bits_of(const Number& value, DType dtype);

}  // namespace twofold::cuda
