// Attributes of ops: plain structs with one list of fields, from which everything else is derived.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <twofold/lib/core/dtype.h>
#include <twofold/lib/core/ref.h>
#include <twofold/lib/core/shape.h>
#include <twofold/lib/op/field_value.h>
#include <twofold/lib/runtime/op_name.h>

namespace twofold {

/// Inside an attribute struct: names every field, once. Equality, hashing, printing, plan keys and saving follow from
/// it.
#define TWOFOLD_FIELDS(...)                             \
  auto fields() { return std::tie(__VA_ARGS__); }       \
  auto fields() const { return std::tie(__VA_ARGS__); } \
  static constexpr std::string_view field_names() { return #__VA_ARGS__; }

/// Attributes of ops that have none.
struct NoAttrs {
  /// @{
  /// None.
  auto fields() { return std::tuple<>(); }
  auto fields() const { return std::tuple<>(); }
  static constexpr std::string_view field_names() { return ""; }
  /// @}
};

// How one field hashes, prints and is changed by the test that perturbs every field. Other field types (a variable, a
// body) overload these three beside their definition, and the two of field_value.h.
/// A hash of both.
constexpr uint64_t mix(uint64_t seed, uint64_t v) {
  uint64_t z = seed ^ (v + 0x9e3779b97f4a7c15ull + (seed << 6) + (seed >> 2));
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  return z ^ (z >> 27);
}
/// @{
/// The field's hash.
template <class T>
requires std::is_integral_v<T> || std::is_enum_v<T> uint64_t hash_field(T v) { return static_cast<uint64_t>(v); }
inline uint64_t hash_field(double v) {
  uint64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}
inline uint64_t hash_field(const std::string& v) { return std::hash<std::string_view>()(v); }
inline uint64_t hash_field(const Shape& v) {
  uint64_t h = static_cast<uint64_t>(v.rank());
  for (int64_t d : v.raw()) h = mix(h, static_cast<uint64_t>(d));
  return h;
}
inline uint64_t hash_field(const Axes& v) {
  uint64_t h = static_cast<uint64_t>(v.size());
  for (int64_t d : v) h = mix(h, static_cast<uint64_t>(d));
  return h;
}
template <class T>
uint64_t hash_field(const std::vector<T>& v) {
  uint64_t h = v.size();
  for (const T& e : v) h = mix(h, hash_field(e));
  return h;
}
/// @}

/// Equality as hashes see it: numbers by their bits, so that NaN is itself and -0 is not 0.
template <class T>
bool same_field(const T& a, const T& b) {
  return a == b;
}
/// Whether two fields are equal; numbers by their bits, so that NaN equals itself and -0 is not 0.
inline bool same_field(const double& a, const double& b) { return hash_field(a) == hash_field(b); }

/// @{
/// The field as `<<` prints it.
std::string print_field(int64_t v);
std::string print_field(uint64_t v);
std::string print_field(double v);
std::string print_field(bool v);
std::string print_field(const std::string& v);
std::string print_field(const Shape& v);
std::string print_field(const Axes& v);
std::string print_field(DType v);
template <class T>
requires std::is_integral_v<T> || std::is_enum_v<T> std::string print_field(T v) {
  return print_field(static_cast<int64_t>(v));
}
template <class T>
std::string print_field(const std::vector<T>& v) {
  std::string s = "[";
  for (size_t i = 0; i < v.size(); ++i) s += (i ? ", " : "") + print_field(v[i]);
  return s + "]";
}
/// @}

/// @{
/// Gives the field another value.
template <class T>
requires std::is_integral_v<T> || std::is_floating_point_v<T>
void perturb_field(T& v) { v = std::is_same_v<T, bool> ? T(!v) : T(v + 1); }
template <class T>
requires std::is_enum_v<T>
void perturb_field(T& v) { v = static_cast<T>(static_cast<int>(v) == 0 ? 1 : 0); }
inline void perturb_field(std::string& v) { v += "'"; }
inline void perturb_field(Shape& v) { v = v.rank() == 0 ? Shape{2} : Shape{}; }
inline void perturb_field(Axes& v) { v = v.empty() ? Axes{0} : Axes{}; }
template <class T>
void perturb_field(std::vector<T>& v) {
  v.emplace_back();
}
/// @}

/// What the library does with attributes whose struct it does not know. Made from the field list; nobody writes one.
struct AttrsType {
  size_t size;                              ///< bytes
  size_t field_count;                       ///< how many fields it has
  std::string_view field_names;             ///< "axes, keepdims"
  bool (*equal)(const void*, const void*);  ///< whether all fields are
  uint64_t (*hash)(const void*);            ///< of all fields
  std::string (*print)(const void*);        ///< `axes=[0], keepdims=True`
  void* (*clone)(const void*);              ///< a copy, which `destroy` ends
  void (*destroy)(void*) noexcept;          ///< ends what `clone` has made
  void (*perturb)(void*, size_t field);     ///< changes one field, for the test that no hash or equality misses one
  FieldValue::List (*save)(const void*);    ///< the fields, in order
  /// A struct that `destroy` ends, of fields in order; null: as a new struct has it. Throws DataLoss.
  void* (*load)(std::span<const FieldValue* const> fields);
};

namespace internal {
std::string print_fields(std::string_view names, std::span<const std::string> values);

template <class A>
inline constexpr AttrsType kAttrsType{
    .size = sizeof(A),
    .field_count = std::tuple_size_v<decltype(std::declval<const A&>().fields())>,
    .field_names = A::field_names(),
    .equal =
        [](const void* a, const void* b) {
          return std::apply(
              [&](const auto&... x) {
                return std::apply([&](const auto&... y) { return (same_field(x, y) && ...); },
                                  static_cast<const A*>(b)->fields());
              },
              static_cast<const A*>(a)->fields());
        },
    .hash =
        [](const void* a) {
          uint64_t h = 0;
          std::apply([&](const auto&... f) { ((h = mix(h, hash_field(f))), ...); }, static_cast<const A*>(a)->fields());
          return h;
        },
    .print =
        [](const void* a) {
          return std::apply(
              [](const auto&... f) {
                const std::vector<std::string> values{print_field(f)...};
                return print_fields(A::field_names(), values);
              },
              static_cast<const A*>(a)->fields());
        },
    .clone = [](const void* a) -> void* { return new A(*static_cast<const A*>(a)); },
    .destroy = [](void* a) noexcept { delete static_cast<A*>(a); },
    .perturb =
        [](void* a, size_t field) {
          std::apply(
              [&](auto&... f) {
                size_t i = 0;
                ((i++ == field ? perturb_field(f) : void()), ...);
              },
              static_cast<A*>(a)->fields());
        },
    .save =
        [](const void* a) {
          return std::apply([](const auto&... f) { return FieldValue::List{to_field(f)...}; },
                            static_cast<const A*>(a)->fields());
        },
    .load = [](std::span<const FieldValue* const> fields) -> void* {
      auto made = std::make_unique<A>();
      std::apply(
          [&](auto&... f) {
            size_t i = 0;
            ((fields[i] ? from_field(*fields[i], f) : void(), ++i), ...);
          },
          made->fields());
      return made.release();
    },
};
}  // namespace internal

/// A borrowed view of attributes: enough to run an op, nothing to own.
class AttrsView {
 public:
  constexpr AttrsView() = default;
  template <class A>
  requires requires { A::field_names(); }
  constexpr AttrsView(const A& attrs) : type_(&internal::kAttrsType<A>), data_(&attrs) {}
  constexpr AttrsView(const AttrsType* type, const void* data) : type_(type), data_(data) {}

  /// The struct's type; null if there are none.
  const AttrsType* type() const { return type_; }
  /// The struct; null if there are none.
  const void* data() const { return data_; }
  /// Whether there are any.
  explicit operator bool() const { return data_ != nullptr; }
  /// The struct itself. `A` must be the op's own attribute type.
  template <class A>
  const A& as() const {
    return *static_cast<const A*>(data_);
  }
  /// Of all fields; 0 if there are none.
  uint64_t hash() const { return data_ ? type_->hash(data_) : 0; }
  /// `axes=[0], keepdims=True`; empty if there are none.
  std::string str() const { return data_ ? type_->print(data_) : std::string(); }
  friend bool operator==(const AttrsView& a, const AttrsView& b) {
    if (!a.data_ || !b.data_) return a.data_ == b.data_;
    return a.type_ == b.type_ && (a.data_ == b.data_ || a.type_->equal(a.data_, b.data_));
  }

 private:
  const AttrsType* type_ = nullptr;
  const void* data_ = nullptr;
};

/// Attributes kept: by a graph's node or a tape's record.
class AttrsBox final : public RefCounted {
 public:
  explicit AttrsBox(AttrsView v) : type_(v.type()), data_(type_->clone(v.data())) {}
  /// Takes over what `type->load` has made.
  AttrsBox(const AttrsType* type, void* data) : type_(type), data_(data) {}
  /// They are good while the box lives.
  AttrsView view() const { return {type_, data_}; }

 private:
  ~AttrsBox() override { type_->destroy(data_); }
  const AttrsType* type_;
  void* data_;
};

}  // namespace twofold
