// Two-dimensional convolution, and its transpose.
#pragma once

#include <concepts>
#include <source_location>
#include <string>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// The order of a batch of images' axes: batch, channels, height, width, or batch, height, width, channels.
enum class DataFormat : uint8_t { nchw, nhwc };

/// A number for the vertical axis and one for the horizontal axis; one number stands for both.
struct Pair2d {
  int64_t h, w;

  template <std::integral I>
  constexpr Pair2d(I both) : h(static_cast<int64_t>(both)), w(h) {}
  constexpr Pair2d(int64_t vertical, int64_t horizontal) : h(vertical), w(horizontal) {}
  friend bool operator==(const Pair2d&, const Pair2d&) = default;
};

/// Zeros around an image: "valid" (none), "same", one number for all sides, {h, w}, or {top, bottom, left, right}.
/// "same" gives ceil(in / stride) outputs an axis, the odd zero at the bottom and at the right, as TensorFlow's does.
struct Padding2d {
  bool same = false;
  int64_t top = 0, bottom = 0, left = 0, right = 0;

  /// Throws InvalidArgument on another word.
  Padding2d(const char* word, std::source_location where = std::source_location::current());
  template <std::integral I>
  constexpr Padding2d(I all) : Padding2d(static_cast<int64_t>(all), static_cast<int64_t>(all)) {}
  constexpr Padding2d(int64_t h, int64_t w) : Padding2d(h, h, w, w) {}
  constexpr Padding2d(int64_t t, int64_t b, int64_t l, int64_t r) : top(t), bottom(b), left(l), right(r) {}
  friend bool operator==(const Padding2d&, const Padding2d&) = default;
};

struct Conv2dOptions {
  Pair2d stride = 1;
  Padding2d padding = 0;
  Pair2d dilation = 1;
  int64_t groups = 1;
  DataFormat data_format = DataFormat::nchw;
  TWOFOLD_FIELDS(stride, padding, dilation, groups, data_format)
};

/// y[n, o, i, j] = sum_{c, p, q} weight[o, c, p, q] * x[n, g C + c, i stride.h + p dilation.h - top,
/// j stride.w + q dilation.w - left], where g is o's group, C the channels of one group, and x is zero outside:
/// cross-correlation; + bias[o] where there is one.
///
/// Shapes: x (N, groups C, H, W), or (N, H, W, groups C) under nhwc; weight (O, C, KH, KW) under both, groups dividing
/// O; bias (O,); y (N, O, H', W') or (N, H', W', O) with H' = floor((H + top + bottom - dilation.h (KH - 1) - 1) /
/// stride.h) + 1. N, C and O may be 0. Dtypes: float32 and float64; operands are promoted to one dtype. Throws
/// InvalidArgument on other ranks and dtypes, on channels that do not match, on groups that do not divide, on a stride,
/// dilation or number of groups below 1, on negative padding, and on a kernel that does not fit into the padded image.
/// Source: PyTorch's conv2d, ONNX Conv.
Tensor conv2d(Operand x, Operand weight, Conv2dOptions options = {});
namespace internal {
Tensor conv2d_with_bias(const Operand& x, const Operand& weight, const Operand& bias, const Conv2dOptions& options);
}
/// (A template, so that `conv2d(x, weight, {...})` means options.)
template <std::convertible_to<Operand> B>
Tensor conv2d(Operand x, Operand weight, const B& bias, Conv2dOptions options = {}) {
  return internal::conv2d_with_bias(x, weight, bias, options);
}

struct Conv2dTransposeOptions {
  Pair2d stride = 1;
  Padding2d padding = 0;
  Pair2d output_padding = 0;
  int64_t groups = 1;
  Pair2d dilation = 1;
  DataFormat data_format = DataFormat::nchw;
  TWOFOLD_FIELDS(stride, padding, output_padding, groups, dilation, data_format)
};

/// The adjoint of the conv2d with these options and this weight: what takes conv2d's dy to its dx.
///
/// Shapes: x (N, C, H, W), or (N, H, W, C) under nhwc; weight (C, O / groups, KH, KW); y (N, O, H', W') or
/// (N, H', W', O) with H' = (H - 1) stride.h - top - bottom + dilation.h (KH - 1) + output_padding.h + 1. Padding
/// "same" gives H' = H stride.h and takes no output padding. Dtypes and errors as conv2d; an output padding must be
/// smaller than its stride, and H' and W' at least 1. Source: PyTorch's conv_transpose2d, ONNX ConvTranspose; for
/// "same" TensorFlow's conv2d_transpose.
Tensor conv2d_transpose(Operand x, Operand weight, Conv2dTransposeOptions options = {});

inline uint64_t hash_field(const Pair2d& v) { return mix(static_cast<uint64_t>(v.h), static_cast<uint64_t>(v.w)); }
inline uint64_t hash_field(const Padding2d& v) {
  uint64_t h = v.same;
  for (int64_t side : {v.top, v.bottom, v.left, v.right}) h = mix(h, static_cast<uint64_t>(side));
  return h;
}
std::string print_field(const Pair2d& v);
std::string print_field(const Padding2d& v);
std::string print_field(DataFormat v);
inline void perturb_field(Pair2d& v) { ++v.w; }
inline void perturb_field(Padding2d& v) { ++v.right; }

void register_conv2d();

}  // namespace twofold
