// What a graph knows of integers that are computed from others before it runs (OpDef::known).
#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>

#include <twofold/kernels/pointwise/functors.h>
#include <twofold/lib/op/opdef.h>

namespace twofold {

template <class F, class... Fs>
constexpr bool kIsOneOf = (std::is_same_v<F, Fs> || ...);

/// F(a, b), if F is one of the functors by which extents are computed and the result is exact.
template <class F>
std::optional<int64_t> known_result([[maybe_unused]] int64_t a, [[maybe_unused]] int64_t b) {
  [[maybe_unused]] int64_t y = 0;
  if constexpr (std::is_same_v<F, functor::Add>) {
    if (!__builtin_add_overflow(a, b, &y)) return y;
  } else if constexpr (std::is_same_v<F, functor::Sub>) {
    if (!__builtin_sub_overflow(a, b, &y)) return y;
  } else if constexpr (std::is_same_v<F, functor::Mul>) {
    if (!__builtin_mul_overflow(a, b, &y)) return y;
  } else if constexpr (std::is_same_v<F, functor::Minimum>) {
    return std::min(a, b);
  } else if constexpr (std::is_same_v<F, functor::Maximum>) {
    return std::max(a, b);
  } else if constexpr (std::is_same_v<F, functor::FloorDiv>) {
    if (b > 0) return a / b - (a % b < 0);
  }
  return std::nullopt;
}

/// Operands are vectors of equal length, or one of them is one number.
template <class F>
std::optional<PartialValues> known_binary(const KnownContext& c) {
  const auto a = c.values(0), b = c.values(1);
  if (!a || !b || a->empty() || b->empty()) return {};
  const size_t n = std::max(a->size(), b->size());
  if ((a->size() != n && a->size() != 1) || (b->size() != n && b->size() != 1)) return {};
  PartialValues values(n);
  for (size_t i = 0; i < n; ++i) {
    const auto &x = (*a)[a->size() == 1 ? 0 : i], &y = (*b)[b->size() == 1 ? 0 : i];
    if (x && y) values[i] = known_result<F>(*x, *y);
  }
  return values;
}

}  // namespace twofold
