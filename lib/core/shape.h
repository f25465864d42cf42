// Tensor shapes, known in full, in part, or not at all.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <ranges>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>

namespace twofold {

/// The most axes a tensor can have (cuDNN's limit too).
inline constexpr int kMaxRank = 8;

namespace internal {
[[noreturn]] void throw_bad_shape(int64_t rank, int64_t extent, std::source_location where);
/// `v` as an extent; what is beyond int64 becomes its least, which is no extent.
template <class I>
constexpr int64_t extent_of(I v) {
  if constexpr (std::is_unsigned_v<I> && sizeof(I) >= sizeof(int64_t)) {
    if (v > static_cast<I>(INT64_MAX)) return INT64_MIN;
  }
  return static_cast<int64_t>(v);
}
/// An extent of any integral type, so that `Shape{v.size(), n}` draws no narrowing complaint.
struct Extent {
  template <class I>
    requires std::is_integral_v<I>
  constexpr Extent(I v) : value(extent_of(v)) {}
  int64_t value;
};
}  // namespace internal

/// The extents of a tensor. `Shape{}` is a scalar's; `-1` in a program is an extent not known yet and prints as `?`;
/// `unknown_shape` does not even know its rank. At most kMaxRank axes; throws InvalidArgument beyond that and on
/// extents below -1.
class Shape {
 public:
  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<internal::Extent> extents,
                  std::source_location where = std::source_location::current()) {
    for (auto e : extents) push_back(e.value, where);
  }
  template <std::ranges::input_range R>
    requires std::is_integral_v<std::ranges::range_value_t<R>> && (!std::is_same_v<std::remove_cvref_t<R>, Shape>)
  explicit constexpr Shape(const R& extents, std::source_location where = std::source_location::current()) {
    for (auto e : extents) push_back(internal::extent_of(e), where);
  }
  static constexpr Shape unknown() {
    Shape s;
    s.rank_ = -1;
    return s;
  }
  /// A shape of known rank whose extents are all unknown.
  static constexpr Shape of_rank(int rank) {
    Shape s;
    for (int i = 0; i < rank; ++i) s.push_back(-1);
    return s;
  }

  /// Number of axes; -1 if unknown.
  constexpr int rank() const { return rank_; }
  constexpr bool has_rank() const { return rank_ >= 0; }
  /// The extent of axis `i`; -1 if unknown. Precondition: 0 <= i < rank(); Tensor::dim checks and counts from the end.
  constexpr int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  constexpr void set(int i, int64_t extent) { dims_[static_cast<size_t>(i)] = extent; }
  constexpr void push_back(int64_t extent, std::source_location where = {}) {
    if (rank_ < 0 || rank_ >= kMaxRank || extent < -1) internal::throw_bad_shape(rank_ + 1, extent, where);
    dims_[static_cast<size_t>(rank_++)] = extent;
  }
  constexpr const int64_t* begin() const { return dims_.data(); }
  constexpr const int64_t* end() const { return dims_.data() + (rank_ < 0 ? 0 : rank_); }
  constexpr std::span<const int64_t> dims() const { return {begin(), end()}; }

  /// True if every extent is known.
  constexpr bool is_known() const {
    if (rank_ < 0) return false;
    for (int64_t d : *this)
      if (d < 0) return false;
    return true;
  }
  /// Product of the extents, INT64_MAX if it is larger; -1 unless is_known().
  constexpr int64_t num_elements() const {
    if (rank_ < 0) return -1;
    int64_t n = 1;
    for (int64_t d : *this) {
      if (d < 0) return -1;
      if (__builtin_mul_overflow(n, d, &n)) n = INT64_MAX;
    }
    return n;
  }
  /// True if some full shape satisfies both.
  constexpr bool compatible_with(const Shape& o) const {
    if (rank_ < 0 || o.rank_ < 0) return true;
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if ((*this)[i] != o[i] && (*this)[i] >= 0 && o[i] >= 0) return false;
    return true;
  }
  friend constexpr bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }
  /// As programs see it: `(2, ?)`, `(3,)`, `()`, `<unknown>`.
  std::string str() const;
  /// As TensorFlow's errors write it: `[2,?]`, `<unknown>`.
  std::string brackets() const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int8_t rank_ = 0;
};

inline constexpr Shape unknown_shape = Shape::unknown();

std::ostream& operator<<(std::ostream&, const Shape&);

/// Axes of a reduction or permutation, as given: negative ones count from the end.
class Axes {
 public:
  constexpr Axes() = default;
  constexpr Axes(std::initializer_list<internal::Extent> axes,
                 std::source_location where = std::source_location::current()) {
    for (auto a : axes) push_back(a.value, where);
  }
  template <class I>
    requires std::is_integral_v<I>
  constexpr Axes(I axis) {
    push_back(internal::extent_of(axis));
  }
  template <std::ranges::input_range R>
    requires std::is_integral_v<std::ranges::range_value_t<R>> && (!std::is_same_v<std::remove_cvref_t<R>, Axes>)
  explicit constexpr Axes(const R& axes, std::source_location where = std::source_location::current()) {
    for (auto a : axes) push_back(internal::extent_of(a), where);
  }
  constexpr void push_back(int64_t axis, std::source_location where = {}) {
    if (size_ >= kMaxRank) internal::throw_bad_shape(size_ + 1, 0, where);
    axes_[static_cast<size_t>(size_++)] = axis;
  }
  constexpr int size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr int64_t operator[](int i) const { return axes_[static_cast<size_t>(i)]; }
  constexpr const int64_t* begin() const { return axes_.data(); }
  constexpr const int64_t* end() const { return axes_.data() + size_; }
  friend constexpr bool operator==(const Axes& a, const Axes& b) {
    if (a.size_ != b.size_) return false;
    for (int i = 0; i < a.size_; ++i)
      if (a[i] != b[i]) return false;
    return true;
  }

 private:
  std::array<int64_t, kMaxRank> axes_{};
  int8_t size_ = 0;
};

}  // namespace twofold
