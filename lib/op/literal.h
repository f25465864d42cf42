// Numbers as programs write them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <vector>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/shape.h>

namespace twofold {

class Tensor;

namespace internal {
template <class T>
concept Number = std::is_arithmetic_v<T>;
// A text is no list of numbers.
template <class R>
concept NumberRange = std::ranges::input_range<R> && Number<std::remove_cvref_t<std::ranges::range_value_t<R>>> &&
                      !std::is_convertible_v<R, std::string_view> &&
                      !std::is_same_v<std::remove_cvref_t<R>, Shape>;
template <class R>
concept NestedRange = std::ranges::input_range<R> && std::ranges::input_range<std::ranges::range_value_t<R>> &&
                      !std::is_same_v<std::remove_cvref_t<std::ranges::range_value_t<R>>, Tensor> &&
                      !std::is_convertible_v<std::ranges::range_value_t<R>, std::string_view>;
}  // namespace internal

/// A number or nested list of numbers of any rank: `3`, `{1, 2.5}`, `{{1, 2}, {3, 4}}`, a vector, a nested vector, a C
/// array, a span. As in Python a bare integer is int32 (int64 if it does not fit), a bare floating number float32, a
/// bool bool; typed containers keep their element type, and those of types without a dtype (short, unsigned) hold bare
/// numbers. An argument type: it may refer to the caller's memory, so do not keep
/// one beyond the expression that makes it.
class Literal {
 public:
  /// What was written: bare numbers, or elements of a C++ type that has a dtype.
  enum class Kind : uint8_t { boolean, integer, floating, typed };

  using Where = std::source_location;

  template <internal::Number T>
  constexpr Literal(T v, Where where = Where::current()) {
    if constexpr (std::is_same_v<T, bool>) {
      kind_ = Kind::boolean, integer_ = v;
    } else if constexpr (std::is_integral_v<T>) {
      kind_ = Kind::integer, integer_ = checked(v, where);
    } else {
      kind_ = Kind::floating, floating_ = static_cast<double>(v);
    }
  }
  /// Nested lists must be rectangular; throws InvalidArgument otherwise.
  Literal(std::initializer_list<Literal> elements, Where where = Where::current());
  template <internal::NumberRange R>
  Literal(const R& r, Where where = Where::current()) {
    using Given = std::remove_cvref_t<std::ranges::range_value_t<R>>;
    using T = std::conditional_t<std::is_same_v<Given, long long>, int64_t, Given>;  // the other 64-bit integer
    if constexpr (std::ranges::contiguous_range<const R> && std::is_same_v<T, Given> && is_element<T>) {
      view(dtype_of<T>, std::ranges::data(r), static_cast<int64_t>(std::ranges::size(r)));
    } else {
      std::vector<Literal> elements;
      for (auto&& e : r) elements.emplace_back(typed_scalar(static_cast<T>(e), where));
      if constexpr (is_element<T>) {
        if (elements.empty()) {  // no element tells the dtype
          view(dtype_of<T>, nullptr, 0);
          return;
        }
      }
      assemble(elements.data(), elements.size(), where);
    }
  }
  template <internal::NestedRange R>
  Literal(const R& r, Where where = Where::current()) {
    std::vector<Literal> elements;
    for (auto&& e : r) elements.emplace_back(e, where);
    assemble(elements.data(), elements.size(), where);
  }

  /// What was written; of a list, what decides its dtype.
  Kind kind() const { return kind_; }
  /// Whether it is one number, not a list.
  bool is_scalar() const { return !array_; }
  /// `()` for one number, else the extents of the nested lists.
  Shape shape() const;
  /// The dtype it has when nothing beside it decides.
  DType default_dtype() const;
  /// True if `t` can take it in place of its default: typed literals only their own dtype; an integer any number; a
  /// floating number floating dtypes.
  bool fits(DType t) const;

  /// A whole number among the elements as written that the floating `t` would round; none if `t` is no such dtype.
  std::optional<int64_t> rounded_in(DType t) const;

  /// A concrete tensor of `dtype`. Throws InvalidArgument where a value does not fit (300 as uint8).
  Tensor to_tensor(DType dtype) const;
  /// The same with the elements laid out as `shape`, whose number of elements must agree; one element fills any shape.
  Tensor to_tensor(DType dtype, const Shape& shape) const;

  // A scalar's value.
  /// @{
  /// A scalar's value, and whether it is a floating number.
  int64_t integer() const { return integer_; }
  double floating() const { return holds_floating() ? floating_ : static_cast<double>(integer_); }
  bool holds_floating() const { return kind_ == Kind::floating || (kind_ == Kind::typed && is_floating(dtype_)); }
  /// @}

  /// A typed list's elements in the caller's memory, or null: what a feed may alias during the call.
  const void* viewed() const;

 private:
  template <class T>
  static constexpr bool is_element =
      std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int32_t> ||
      std::is_same_v<T, int64_t> || std::is_same_v<T, uint8_t> || std::is_same_v<T, bool>;
  struct Array;

  template <class T>
  static constexpr int64_t checked(T v, [[maybe_unused]] Where where) {
    if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8) {
      if (v > static_cast<T>(INT64_MAX)) throw_too_large(where);
    }
    return static_cast<int64_t>(v);
  }
  template <class T>
  static Literal typed_scalar(T v, Where where) {
    if constexpr (is_element<T>) {
      Literal one(v, where);
      one.kind_ = Kind::typed, one.dtype_ = dtype_of<T>;
      return one;
    } else {
      return Literal(v, where);
    }
  }
  [[noreturn]] static void throw_too_large(Where where);
  void view(DType dtype, const void* data, int64_t n);
  void assemble(const Literal* elements, size_t n, Where where);

  Kind kind_ = Kind::integer;
  DType dtype_ = int32;  ///< of a typed literal
  union {
    int64_t integer_ = 0;
    double floating_;
  };
  std::shared_ptr<const Array> array_;  ///< null for a scalar
};

}  // namespace twofold
