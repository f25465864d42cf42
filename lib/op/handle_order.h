// Handles as keys of maps: `std::map<tf::Tensor, float>`, `std::unordered_map<tf::Variable, tf::Tensor>`. Equal are
// copies of one handle; `==` itself has two meanings and is refused.
#pragma once

#include <cstdint>
#include <functional>

#include <twofold/lib/op/variable.h>

namespace twofold::internal {
inline uint64_t handle_id(const Tensor& t) { return t.defined() ? t.id() : 0; }
uint64_t handle_id(const Variable& v);
}  // namespace twofold::internal

#define TWOFOLD_HANDLE_KEY(T)                                                       \
  template <>                                                                       \
  struct std::hash<T> {                                                             \
    size_t operator()(const T& a) const { return twofold::internal::handle_id(a); } \
  };                                                                                \
  template <>                                                                       \
  struct std::equal_to<T> {                                                         \
    bool operator()(const T& a, const T& b) const {                                 \
      return twofold::internal::handle_id(a) == twofold::internal::handle_id(b);    \
    }                                                                               \
  };                                                                                \
  template <>                                                                       \
  struct std::less<T> {                                                             \
    bool operator()(const T& a, const T& b) const {                                 \
      return twofold::internal::handle_id(a) < twofold::internal::handle_id(b);     \
    }                                                                               \
  };
TWOFOLD_HANDLE_KEY(twofold::Tensor)
TWOFOLD_HANDLE_KEY(twofold::Variable)
#undef TWOFOLD_HANDLE_KEY
