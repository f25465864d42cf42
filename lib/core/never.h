// For misuse that compiles to words.
#pragma once

namespace twofold {

/// False, once the template around it is used: `static_assert(kNever<T>, "what to write instead")`.
template <class...>
inline constexpr bool kNever = false;

}  // namespace twofold
