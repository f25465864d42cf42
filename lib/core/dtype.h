// Element types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>
#include <type_traits>

namespace twofold {

/// The types of elements; and that of a list of tensors, which a TensorArray is made of and which has no elements.
enum class DType : uint8_t { float32, float64, int32, int64, uint8, boolean, list };

inline constexpr DType float32 = DType::float32;
inline constexpr DType float64 = DType::float64;
inline constexpr DType int32 = DType::int32;
inline constexpr DType int64 = DType::int64;
inline constexpr DType uint8 = DType::uint8;
inline constexpr DType bool_ = DType::boolean;
/// Of elements: `list` comes behind them.
inline constexpr int kDTypeCount = 6;

/// Bytes an element.
constexpr size_t size_of(DType t) {
  constexpr size_t kSizes[] = {4, 8, 4, 8, 1, 1, 1};
  return kSizes[static_cast<int>(t)];
}
/// As it prints, "float32"; "bool" for bool_.
constexpr std::string_view name_of(DType t) {
  constexpr std::string_view kNames[] = {"float32", "float64", "int32", "int64", "uint8", "bool", "list"};
  return kNames[static_cast<int>(t)];
}
/// As a program writes it: "tf::float32", "tf::bool_".
constexpr std::string_view spelling_of(DType t) {
  constexpr std::string_view kNames[] = {"tf::float32", "tf::float64", "tf::int32",      "tf::int64",
                                         "tf::uint8",   "tf::bool_",   "tf::DType::list"};
  return kNames[static_cast<int>(t)];
}
/// float32 or float64.
constexpr bool is_floating(DType t) { return t == float32 || t == float64; }
/// Whether gradients flow through it: floating elements, and lists, which may hold such.
constexpr bool carries_gradient(DType t) { return is_floating(t) || t == DType::list; }
/// int32, int64 or uint8.
constexpr bool is_integer(DType t) { return t == int32 || t == int64 || t == uint8; }

/// The dtype that holds a C++ element type, e.g. `dtype_of<float> == float32`; defined for the six element types only.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(!sizeof(T), "not an element type: use float, double, int32_t, int64_t, uint8_t or bool");
  return DType{};
}();
template <>
inline constexpr DType dtype_of<float> = float32;
template <>
inline constexpr DType dtype_of<double> = float64;
template <>
inline constexpr DType dtype_of<int32_t> = int32;
template <>
inline constexpr DType dtype_of<int64_t> = int64;
template <>
inline constexpr DType dtype_of<uint8_t> = uint8;
template <>
inline constexpr DType dtype_of<bool> = bool_;

template <class T>
concept ElementType = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int32_t> ||
    std::is_same_v<T, int64_t> || std::is_same_v<T, uint8_t> || std::is_same_v<T, bool>;

/// The dtype of an operation between tensors: PyTorch's promotion table. The higher category (bool < integer <
/// floating) wins, within a category the wider type; uint8 with int32 is int32.
constexpr DType promote(DType a, DType b) {
  if (a == b) return a;
  constexpr int kRank[] = {4, 5, 2, 3, 1, 0, 6};
  return kRank[static_cast<int>(a)] > kRank[static_cast<int>(b)] ? a : b;
}

/// Calls `f(T{})` with the C++ type of `t`: the one switch over dtypes.
template <class F>
constexpr decltype(auto) dispatch(DType t, F&& f) {
  switch (t) {
    case DType::float32: return f(float{});
    case DType::float64: return f(double{});
    case DType::int32: return f(int32_t{});
    case DType::int64: return f(int64_t{});
    case DType::uint8: return f(uint8_t{});
    case DType::boolean:
    case DType::list: break;  // of which no element is ever read
  }
  return f(bool{});
}

/// Prints its name.
std::ostream& operator<<(std::ostream&, DType);

}  // namespace twofold
