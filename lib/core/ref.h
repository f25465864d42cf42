// Intrusive reference counting: one word in the object, eight bytes in the handle.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace twofold {

/// Base of everything a handle keeps alive. Counting is thread-safe; what the object holds is not made so by it.
class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  /// One more owner.
  void retain() const noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  /// One owner less; the last one's ends the object.
  void release() const noexcept {
    // A sole owner needs no read-modify-write: nobody else can gain a reference meanwhile.
    if (refs_.load(std::memory_order_acquire) == 1 || refs_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      const_cast<RefCounted*>(this)->destroy();
  }
  /// True if the caller's reference is the only one, so that the object may be changed in place.
  [[nodiscard]] bool unique() const noexcept { return count() == 1; }
  /// How many references there are, as of now.
  [[nodiscard]] int32_t count() const noexcept { return refs_.load(std::memory_order_acquire); }

 protected:
  virtual ~RefCounted() = default;
  /// Ends the object's life; overridden where its memory comes from elsewhere than `new`.
  virtual void destroy() noexcept { delete this; }

 private:
  mutable std::atomic<int32_t> refs_{1};
};

/// An owning pointer to a RefCounted. `Ref<T>::adopt` takes over the reference a new object is born with. To copy, move
/// and end one, T need not be complete: programs hold what they do not see.
template <class T>
class Ref {
 public:
  Ref() = default;
  template <std::same_as<std::nullptr_t> N>  // not a literal 0, which is an int in `Variable(0)`
  Ref(N) noexcept {}
  explicit Ref(T* p) noexcept : p_(p) { retain(); }
  /// Takes over a reference that the caller owns.
  static Ref adopt(T* p) noexcept {
    Ref r;
    r.p_ = p;
    return r;
  }
  Ref(const Ref& o) noexcept : p_(o.p_) { retain(); }
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  template <class U>
  requires std::is_convertible_v<U*, T*> Ref(const Ref<U>& o)
  noexcept : Ref(static_cast<T*>(o.get())) {}
  template <class U>
  requires std::is_convertible_v<U*, T*> Ref(Ref<U>&& o)
  noexcept : p_(o.detach()) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() {
    if (p_) p_->release();
  }

  /// @{
  /// The object; null if there is none.
  T* get() const noexcept { return static_cast<T*>(p_); }
  T* operator->() const noexcept { return get(); }
  T& operator*() const noexcept { return *get(); }
  explicit operator bool() const noexcept { return p_ != nullptr; }
  /// @}
  /// Gives up ownership without releasing.
  T* detach() noexcept { return static_cast<T*>(std::exchange(p_, nullptr)); }
  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.p_ == b.p_; }

 private:
  void retain() const noexcept {
    if (p_) p_->retain();
  }
  RefCounted* p_ = nullptr;
};

/// A new T, and the only reference to it.
template <class T, class... Args>
Ref<T> make_ref(Args&&... args) {
  return Ref<T>::adopt(new T(std::forward<Args>(args)...));
}

}  // namespace twofold
