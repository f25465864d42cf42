// Numbers that another type has too.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

namespace twofold::internal {

/// Whether `v` survives the conversion to T and back, be both element types. A NaN does among floating ones.
template <class T, class S>
bool lossless(S v) {
  if constexpr (std::is_same_v<T, S>) {
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    return v == S(0) || v == S(1);
  } else if constexpr (std::is_floating_point_v<S> && std::is_floating_point_v<T>) {
    return std::isnan(v) || static_cast<S>(static_cast<T>(v)) == v;
  } else if constexpr (std::is_floating_point_v<S>) {
    // 2^digits is exact in every floating type, unlike the largest T.
    const S above = std::ldexp(S(1), std::numeric_limits<T>::digits);
    return v >= (std::is_signed_v<T> ? -above : S(0)) && v < above && std::trunc(v) == v;
  } else if constexpr (std::is_floating_point_v<T>) {
    const T converted = static_cast<T>(v);
    return converted < std::ldexp(T(1), 63) && static_cast<S>(converted) == v;
  } else if constexpr (std::is_same_v<S, bool>) {
    return true;
  } else {
    return std::in_range<T>(v);
  }
}

}  // namespace twofold::internal
