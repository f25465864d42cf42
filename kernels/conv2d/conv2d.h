// Two-dimensional convolution, and its transpose.
#pragma once

#include <concepts>

#include <twofold/kernels/window2d/window2d.h>
#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `conv2d`.
struct Conv2dOptions {
  Pair2d stride = 1;                          ///< how far apart the places of the window lie
  Padding2d padding = 0;                      ///< around the image
  Pair2d dilation = 1;                        ///< how far apart a filter's elements lie
  int64_t groups = 1;                         ///< channels are split into so many, each convolved by itself
  DataFormat data_format = DataFormat::nchw;  ///< the order of the axes
  TWOFOLD_FIELDS(stride, padding, dilation, groups, data_format)
};

/// y[n, o, i, j] = sum_{c, p, q} weight[o, c, p, q] * x[n, g C + c, i stride.h + p dilation.h - top,
/// j stride.w + q dilation.w - left], where g is o's group, C the channels of one group, and x is zero outside:
/// cross-correlation; + bias[o] where there is one.
///
/// Accuracy: a result that sums n terms, the bias among them, is off by no more than n u sum |weight| |x|, with u =
/// 2^-24 in float32 and 2^-53 in float64, to first order in u. There are two exceptions. A GPU may round operands where
/// `math_mode` is tf32. And unless `math_mode` is pedantic, the CPU computes 3x3 kernels of stride and dilation 1 in
/// float32 and NCHW, from and to 16 channels a group or more and with 8x8 results or more, by Winograd's F(2x2, 3x3).
/// Its error follows the largest numbers that meet, not their products; it is at most
/// - of y, 64 (44 + C / 32) u times the sum over C channels of max |weight| max |x| under the kernel;
/// - of dx, the same of weight and dy, with O / groups channels;
/// - of dweight, 36 (12 + T) u times the sum over T tiles of max |x| max |dy|, 4x4 of x and 2x2 of dy.
/// What was measured is below 16 u, 16 u and 64 u times those sums.
/// What was measured is below 16 u, 16 u and 64 u times those sums.
///
/// So an x of 1e7 under a small weight may change a result by units; and where numbers are not finite, or their
/// products almost overflow, a result of theirs may be NaN where the sum is infinite.
///
/// What a mask covers does not affect results: where the weights of a tap (p, q) are 0 for all input channels of an
/// output channel, what x has there does not matter for it, be it 1e7; nor for dx what dy has, where they are 0 for all
/// output channels of an input channel. A tap for which all weights are 0 is left out altogether on the CPU, and takes
/// no time: even infinities and NaN under it do not matter. (On a GPU, and under masks of some channels, 0 times them
/// is NaN.)
///
/// Winograd's algorithm takes 0.4 MiB of the thread's stack. On a GPU it is not used: convolutions go by cuDNN or, for
/// 3x3 in float32 and NCHW with stride and dilation 1 and one group, by kernels of the library; large ones by the
/// fastest: TWOFOLD_AUTOTUNE=0 in the environment turns timing off, and choices are kept in TWOFOLD_CACHE, else in a
/// folder "twofold" where the user's caches lie. In the library's own kernel for the gradient of the weight a number
/// that is not finite may make elements beside its own NaN.
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
/// The same with `bias`. (A template, so that `conv2d(x, weight, {...})` means options.)
template <std::convertible_to<Operand> B>
Tensor conv2d(Operand x, Operand weight, const B& bias, Conv2dOptions options = {}) {
  return internal::conv2d_with_bias(x, weight, bias, options);
}

/// Options of `conv2d_transpose`.
struct Conv2dTransposeOptions {
  Pair2d stride = 1;                          ///< how far apart the places of the window lie
  Padding2d padding = 0;                      ///< around the image
  Pair2d output_padding = 0;                  ///< rows and columns added at the bottom and at the right of the result
  int64_t groups = 1;                         ///< channels are split into so many, each convolved by itself
  Pair2d dilation = 1;                        ///< how far apart a filter's elements lie
  DataFormat data_format = DataFormat::nchw;  ///< the order of the axes
  TWOFOLD_FIELDS(stride, padding, output_padding, groups, dilation, data_format)
};

/// The adjoint of the conv2d with these options and this weight: the function from conv2d's dy to its dx.
Tensor conv2d_transpose(Operand x, Operand weight, Conv2dTransposeOptions options = {});

/// Adds the ops of this folder to the registry.
void register_conv2d();

namespace op_name {
TWOFOLD_OP_NAME(Conv2D);
TWOFOLD_OP_NAME(Conv2DBackpropInput);
TWOFOLD_OP_NAME(Conv2DBackpropFilter);
}  // namespace op_name

}  // namespace twofold
