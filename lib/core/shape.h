// Tensor shapes, known in full, in part, or not at all.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <ranges>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>

namespace twofold {

/// The most axes a tensor can have (cuDNN's limit too).
inline constexpr int kMaxRank = 8;

class Shape;

/// A place along an axis or among the axes, and the user's line.
struct Index {
  template <std::integral I>
  constexpr Index(I i, std::source_location line = std::source_location::current())
      : value(static_cast<int64_t>(i)), where(line) {}
  int64_t value;               ///< may count from the end, where a function says so
  std::source_location where;  ///< the user's line
};

namespace internal {
[[noreturn]] void throw_bad_shape(int64_t rank, int64_t extent, std::source_location where);
/// FailedPrecondition: an extent of `shape` was asked for (axis -1: all of them) that shows in a run only.
[[noreturn]] void throw_unknown_extent(const Shape& shape, int64_t axis, std::source_location where);
/// Shapes were compared of which only a run tells whether they are equal. Code that is traced for values asks for what
/// the run has, FailedPrecondition; all other code compares what is known.
void compared_unknown(const Shape& a, const Shape& b);
/// OutOfRange.
[[noreturn]] void throw_no_axis(const Shape& shape, int64_t axis, std::source_location where);
/// ResourceExhausted: more elements than can be counted.
[[noreturn]] void throw_too_large(const Shape& shape, std::source_location where);
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
///
/// An extent that is not known is no number: whoever asks for it as one gets FailedPrecondition. Ask `knows(i)` first,
/// or for `extent(i)`, which may be empty; in a program `tf::shape(x)[i]` is the extent that the run has.
class Shape {
 public:
  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<internal::Extent> extents,
                  std::source_location where = std::source_location::current()) {
    for (auto e : extents) push_back(e.value, where);
  }
  template <std::ranges::input_range R>
  requires std::is_integral_v<std::ranges::range_value_t<R>> &&
      (!std::is_same_v<std::remove_cvref_t<R>, Shape>)explicit constexpr Shape(
          const R& extents, std::source_location where = std::source_location::current()) {
    for (auto e : extents) push_back(internal::extent_of(e), where);
  }
  /// A shape of unknown rank.
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
  /// Whether the rank is known.
  constexpr bool has_rank() const { return rank_ >= 0; }
  /// The extent of axis `i`. Precondition: 0 <= i < rank(); `at` checks and counts from the end. FailedPrecondition: it
  /// is not known.
  constexpr int64_t operator[](Index i) const {
    const int64_t d = dims_[static_cast<size_t>(i.value)];
    if (d < 0) [[unlikely]]
      internal::throw_unknown_extent(*this, i.value, i.where);
    return d;
  }
  /// The same, of an axis that may count from the end. OutOfRange: there is no such axis.
  constexpr int64_t at(int64_t i, std::source_location where = std::source_location::current()) const {
    if (rank_ < 0) internal::throw_unknown_extent(*this, i, where);
    if (i < -rank_ || i >= rank_) internal::throw_no_axis(*this, i, where);
    return (*this)[{i < 0 ? i + rank_ : i, where}];
  }
  /// The extent of axis `i` if it is known. Precondition: 0 <= i < rank().
  constexpr std::optional<int64_t> extent(int i) const {
    const int64_t d = dims_[static_cast<size_t>(i)];
    return d < 0 ? std::nullopt : std::optional(d);
  }
  /// Whether the extent of axis `i` is known. Precondition: 0 <= i < rank().
  constexpr bool knows(int i) const { return dims_[static_cast<size_t>(i)] >= 0; }
  /// @{
  /// Sets the extent of axis `i`; -1 or nothing: not known. Precondition: 0 <= i < rank().
  constexpr void set(int i, int64_t extent) { dims_[static_cast<size_t>(i)] = extent; }
  constexpr void set(int i, std::optional<int64_t> extent) { set(i, extent.value_or(-1)); }
  /// @}
  /// @{
  /// Adds an axis behind the others; -1 or nothing: of unknown extent. Throws InvalidArgument beyond kMaxRank axes or
  /// below -1.
  constexpr void push_back(int64_t extent, std::source_location where = {}) {
    if (rank_ < 0 || rank_ >= kMaxRank || extent < -1) internal::throw_bad_shape(rank_ + 1, extent, where);
    dims_[static_cast<size_t>(rank_++)] = extent;
  }
  constexpr void push_back(std::optional<int64_t> extent, std::source_location where = {}) {
    push_back(extent.value_or(-1), where);
  }
  /// @}
  /// @{
  /// The extents one after another. FailedPrecondition unless is_known().
  constexpr const int64_t* begin(std::source_location where = std::source_location::current()) const {
    return dims(where).data();
  }
  constexpr const int64_t* end() const { return dims_.data() + (rank_ < 0 ? 0 : rank_); }
  constexpr std::span<const int64_t> dims(std::source_location where = std::source_location::current()) const {
    if (!is_known()) internal::throw_unknown_extent(*this, -1, where);
    return raw();
  }
  /// @}
  /// As they are kept, -1 for one that is not known; empty if the rank is unknown. To be hashed, copied or compared.
  constexpr std::span<const int64_t> raw() const { return {dims_.data(), static_cast<size_t>(rank_ < 0 ? 0 : rank_)}; }

  /// True if every extent is known.
  constexpr bool is_known() const {
    if (rank_ < 0) return false;
    for (int64_t d : raw())
      if (d < 0) return false;
    return true;
  }
  /// Product of the extents. FailedPrecondition unless is_known(); ResourceExhausted if it is beyond int64.
  constexpr int64_t num_elements(std::source_location where = std::source_location::current()) const {
    int64_t n = 1;
    bool fits = true, known = rank_ >= 0, none = false;
    for (int64_t d : raw()) {
      known &= d >= 0;
      none |= d == 0;
      fits &= !__builtin_mul_overflow(n, d, &n);
    }
    if (!known) [[unlikely]]
      internal::throw_unknown_extent(*this, -1, where);
    if (none) return 0;
    if (!fits) [[unlikely]]
      internal::throw_too_large(*this, where);
    return n;
  }
  /// The same, but INT64_MAX beyond int64. Precondition: is_known().
  constexpr int64_t saturated_elements() const {
    int64_t n = 1;
    for (int64_t d : raw()) {
      if (d == 0) return 0;
      if (__builtin_mul_overflow(n, d, &n)) n = INT64_MAX;
    }
    return n;
  }
  /// The same if it is known.
  constexpr std::optional<int64_t> known_elements() const {
    return is_known() ? std::optional(num_elements()) : std::nullopt;
  }
  /// True if some full shape satisfies both.
  constexpr bool compatible_with(const Shape& o) const {
    if (rank_ < 0 || o.rank_ < 0) return true;
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (knows(i) && o.knows(i) && extent(i) != o.extent(i)) return false;
    return true;
  }
  /// What either knows. Precondition: compatible_with(o).
  constexpr Shape merged_with(const Shape& o) const {
    if (rank_ < 0) return o;
    Shape s = *this;
    for (int i = 0; i < o.rank_; ++i)
      if (!s.knows(i)) s.set(i, o.extent(i));
    return s;
  }
  friend constexpr bool operator==(const Shape& a, const Shape& b) {
    bool same = a.rank_ == b.rank_, known = a.rank_ >= 0;
    for (size_t i = 0; same && i < a.raw().size(); ++i) {
      same = a.dims_[i] == b.dims_[i];
      known = known && a.dims_[i] >= 0;
    }
    if (!(same && known) && a.compatible_with(b)) [[unlikely]]
      internal::compared_unknown(a, b);
    return same;
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

/// Prints `(2, ?)`; `<unknown>` where the rank is not known.
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
  constexpr Axes(I axis) { push_back(internal::extent_of(axis)); }
  template <std::ranges::input_range R>
  requires std::is_integral_v<std::ranges::range_value_t<R>> &&
      (!std::is_same_v<std::remove_cvref_t<R>, Axes>)explicit constexpr Axes(
          const R& axes, std::source_location where = std::source_location::current()) {
    for (auto a : axes) push_back(internal::extent_of(a), where);
  }
  /// Adds an axis behind the others. Throws InvalidArgument beyond kMaxRank.
  constexpr void push_back(int64_t axis, std::source_location where = {}) {
    if (size_ >= kMaxRank) internal::throw_bad_shape(size_ + 1, 0, where);
    axes_[static_cast<size_t>(size_++)] = axis;
  }
  /// @{
  /// How many there are.
  constexpr int size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  /// @}
  /// @{
  /// The axes as given: negative ones count from the end.
  constexpr int64_t operator[](int i) const { return axes_[static_cast<size_t>(i)]; }
  constexpr const int64_t* begin() const { return axes_.data(); }
  constexpr const int64_t* end() const { return axes_.data() + size_; }
  /// @}
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
