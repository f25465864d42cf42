// Copies from memory to shared memory beside a kernel's other work.
#pragma once

namespace twofold::direct3x3 {

/// Begins to copy an element; a zero instead if it is not `valid`.
template <class T>
__device__ void copy_or_clear(T* to, const T* from, bool valid) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(from), "n"(sizeof(T)), "r"(valid ? static_cast<unsigned>(sizeof(T)) : 0));
}

}  // namespace twofold::direct3x3
