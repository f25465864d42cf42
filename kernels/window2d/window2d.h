// What convolution and pooling say about the windows that they move over images.
#pragma once

#include <concepts>
#include <cstdint>
#include <source_location>
#include <string>

#include <twofold/lib/op/attrs.h>

namespace twofold {

/// The order of a batch of images' axes: batch, channels, height, width, or batch, height, width, channels.
enum class DataFormat : uint8_t { nchw, nhwc };

template <>
inline constexpr int kEnumerators<DataFormat> = 2;

/// A number for the vertical axis and one for the horizontal axis; one number stands for both.
struct Pair2d {
  /// @{
  /// Vertically and horizontally.
  int64_t h, w;
  /// @}

  template <std::integral I>
  constexpr Pair2d(I both) : h(static_cast<int64_t>(both)), w(h) {}
  constexpr Pair2d(int64_t vertical, int64_t horizontal) : h(vertical), w(horizontal) {}
  friend bool operator==(const Pair2d&, const Pair2d&) = default;
};

/// Zeros around an image: "valid" (none), "same", one number for all sides, {h, w}, or {top, bottom, left, right}.
/// "same" gives ceil(in / stride) outputs per axis, the odd zero at the bottom and at the right, as TensorFlow's does.
struct Padding2d {
  bool same = false;  ///< "same": what the sides are follows from the image and the stride
  /// @{
  /// Rows and columns of zeros, unless `same`.
  int64_t top = 0, bottom = 0, left = 0, right = 0;
  /// @}

  /// Throws InvalidArgument on another word.
  Padding2d(const char* word, std::source_location where = std::source_location::current());
  template <std::integral I>
  constexpr Padding2d(I all) : Padding2d(static_cast<int64_t>(all), static_cast<int64_t>(all)) {}
  constexpr Padding2d(int64_t h, int64_t w) : Padding2d(h, h, w, w) {}
  constexpr Padding2d(int64_t t, int64_t b, int64_t l, int64_t r) : top(t), bottom(b), left(l), right(r) {}
  friend bool operator==(const Padding2d&, const Padding2d&) = default;
};

/// @{
/// As attributes of ops, see lib/op/attrs.h.
inline uint64_t hash_field(const Pair2d& v) { return mix(static_cast<uint64_t>(v.h), static_cast<uint64_t>(v.w)); }
inline uint64_t hash_field(const Padding2d& v) {
  uint64_t h = v.same;
  for (int64_t side : {v.top, v.bottom, v.left, v.right}) h = mix(h, static_cast<uint64_t>(side));
  return h;
}
std::string print_field(const Pair2d& v);
std::string print_field(const Padding2d& v);
std::string print_field(DataFormat v);
FieldValue to_field(const Pair2d& v);
FieldValue to_field(const Padding2d& v);
void from_field(const FieldValue& f, Pair2d& v);
void from_field(const FieldValue& f, Padding2d& v);
inline void perturb_field(Pair2d& v) { ++v.w; }
inline void perturb_field(Padding2d& v) { ++v.right; }
/// @}

}  // namespace twofold
