// Fields of attributes as data: what a saved program holds of them.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/ref.h>
#include <twofold/lib/core/shape.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

struct Body;  // of graph/, which overloads the two functions below for it
namespace internal {
class VariableState;
}

/// A field: a number, a text, a list, or what a file keeps beside the attributes: a tensor, a variable, a body.
struct FieldValue {
  using List = std::vector<FieldValue>;
  /// What one can be.
  using Held = std::variant<int64_t, double, std::string, List, Tensor, Ref<internal::VariableState>,
                            std::shared_ptr<const Body>>;
  Held value;  ///< what it is

  /// What it holds. Throws DataLoss if that is of another kind.
  template <class T>
  const T& as() const {
    if (const T* held = std::get_if<T>(&value)) return *held;
    fail_kind();
  }
  /// The number, of `least` to `most`. Throws DataLoss if it is none.
  int64_t integer(int64_t least = INT64_MIN, int64_t most = INT64_MAX) const;
  /// Throws DataLoss: it is of another kind than was wanted.
  [[noreturn]] static void fail_kind();
};

/// Throws Internal: what is to be saved exists in a process only.
[[noreturn]] void fail_saving();

/// How many enumerators an enum has that is a field; they count from 0, and files keep the numbers.
template <class E>
inline constexpr int kEnumerators = 0;
template <>
inline constexpr int kEnumerators<DType> = static_cast<int>(DType::list) + 1;

// How one field is saved and loaded. Other field types overload these two beside their definition. Loading throws
// DataLoss for what no field of the type can be.
/// @{
/// The field as data.
template <class T>
requires std::is_integral_v<T> || std::is_enum_v<T> FieldValue to_field(T v) { return {static_cast<int64_t>(v)}; }
inline FieldValue to_field(double v) { return {v}; }
inline FieldValue to_field(const std::string& v) { return {v}; }
FieldValue to_field(const Shape& v);
FieldValue to_field(const Axes& v);
template <class T>
FieldValue to_field(const std::vector<T>& v) {
  FieldValue::List list;
  for (const T& e : v) list.push_back(to_field(e));
  return {std::move(list)};
}
/// A struct with fields of its own: a list of them.
template <class T>
requires requires(const T& v) { v.fields(); }
FieldValue to_field(const T& v) {
  return std::apply([](const auto&... f) { return FieldValue{FieldValue::List{to_field(f)...}}; }, v.fields());
}
/// What exists in a process only. Throws Internal: such an op is of tapes and plans, no graph has it.
template <class T>
FieldValue to_field(const Ref<T>&) {
  fail_saving();
}
/// @}

/// @{
/// The field from data.
template <class T>
requires std::is_integral_v<T>
void from_field(const FieldValue& f, T& v) {
  if constexpr (std::is_same_v<T, bool>) {
    v = f.integer(0, 1) != 0;
  } else if constexpr (sizeof(T) < sizeof(int64_t)) {
    v = static_cast<T>(f.integer(std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  } else {
    v = static_cast<T>(f.integer());
  }
}
template <class T>
requires std::is_enum_v<T>
void from_field(const FieldValue& f, T& v) {
  static_assert(kEnumerators<T> > 0, "an enum that is a field says how many enumerators it has: kEnumerators");
  v = static_cast<T>(f.integer(0, kEnumerators<T> - 1));
}
inline void from_field(const FieldValue& f, double& v) { v = f.as<double>(); }
inline void from_field(const FieldValue& f, std::string& v) { v = f.as<std::string>(); }
template <class T>
requires requires(T& v) { v.fields(); }
void from_field(const FieldValue& from, T& v) {
  std::apply(
      [&](auto&... f) {
        const auto& list = from.as<FieldValue::List>();
        if (list.size() != sizeof...(f)) FieldValue::fail_kind();
        size_t i = 0;
        (from_field(list[i++], f), ...);
      },
      v.fields());
}
template <class T>
void from_field(const FieldValue&, Ref<T>&) {
  FieldValue::fail_kind();
}
void from_field(const FieldValue& f, Shape& v);
void from_field(const FieldValue& f, Axes& v);
template <class T>
void from_field(const FieldValue& f, std::vector<T>& v) {
  v.clear();
  for (const FieldValue& e : f.as<FieldValue::List>()) from_field(e, v.emplace_back());
}
/// @}

}  // namespace twofold
