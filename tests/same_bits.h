// What "equal to the bit" means.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/op/tensor.h>

namespace testing {

/// The same to the bit. Two NaNs are the same whatever their sign and payload: of two NaN operands an instruction hands
/// on the first, and C++ leaves it to the compiler which operand of + or * that is, in every copy of a loop anew.
template <class T>
bool same_bits(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) && std::isnan(b)) return true;
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// Equal dtypes, shapes and bits; None is equal to None.
inline bool same_bits(const twofold::Tensor& a, const twofold::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  return twofold::dispatch(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return std::ranges::equal(a.data<T>(), b.data<T>(), [](const T& x, const T& y) { return same_bits(x, y); });
  });
}

}  // namespace testing
