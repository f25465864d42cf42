// Choosing a mode.
#pragma once

#include <cstddef>
#include <source_location>
#include <type_traits>
#include <utility>

#include <twofold/lib/core/never.h>

namespace twofold {

class Mode;

/// The mode that sources and toolkits see now on this thread.
bool executing_eagerly();

namespace internal {
/// The mode of this thread for the guard's lifetime.
class [[nodiscard]] ModeGuard {
 public:
  explicit ModeGuard(Mode& mode);
  ~ModeGuard();
  ModeGuard(const ModeGuard&) = delete;
  ModeGuard& operator=(const ModeGuard&) = delete;

 private:
  Mode* outer_;
};
}  // namespace internal

/// Eager execution on this thread for the guard's lifetime: sources make values.
class [[nodiscard("a guard works while it lives: give it a name, tf::EagerMode eager;")]] EagerMode {
 public:
  [[nodiscard("a guard works while it lives: give it a name, tf::EagerMode eager;")]] EagerMode();
  static void* operator new(size_t) = delete;  // a guard ends where its block ends
  static void* operator new[](size_t) = delete;

 private:
  internal::ModeGuard guard_;
};

/// Deferred execution on this thread for the guard's lifetime: sources make symbols of the default graph.
class [[nodiscard("a guard works while it lives: give it a name, tf::DeferredMode deferred;")]] DeferredMode {
 public:
  [[nodiscard("a guard works while it lives: give it a name, tf::DeferredMode deferred;")]] DeferredMode();
  static void* operator new(size_t) = delete;  // a guard ends where its block ends
  static void* operator new[](size_t) = delete;

 private:
  internal::ModeGuard guard_;
};

/// Makes eager execution the mode of the whole process (guards still win on their thread). Throws FailedPrecondition
/// once the default graph has nodes: "tf.enable_eager_execution must be called at program startup."
void enable_eager_execution(std::source_location where = std::source_location::current());

namespace compat::v1 {
/// Makes deferred execution, the default, the mode of the whole process again.
void disable_eager_execution();
}  // namespace compat::v1

/// @{
/// Runs `f` in a mode and returns its result: `tf::eagerly([&] { return loss(x); })`.
template <class F>
decltype(auto) eagerly(F&& f) {
  if constexpr (std::is_invocable_v<F>) {
    const EagerMode guard;
    return std::forward<F>(f)();
  } else {
    static_assert(kNever<F>, "eagerly takes a function without parameters: tf::eagerly([&] { return a + b; })");
  }
}
template <class F>
decltype(auto) deferred(F&& f) {
  if constexpr (std::is_invocable_v<F>) {
    const DeferredMode guard;
    return std::forward<F>(f)();
  } else {
    static_assert(kNever<F>, "deferred takes a function without parameters: tf::deferred([&] { return a + b; })");
  }
}
/// @}

}  // namespace twofold
