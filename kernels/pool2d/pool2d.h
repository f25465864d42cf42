// Two-dimensional pooling.
#pragma once

#include <optional>

#include <twofold/kernels/window2d/window2d.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `max_pool2d`.
struct MaxPool2dOptions {
  std::optional<Pair2d> stride = {};          ///< the kernel's size, if not given
  Padding2d padding = 0;                      ///< around the image, of values below any number
  DataFormat data_format = DataFormat::nchw;  ///< the order of the axes
};

/// y[n, c, i, j] = the largest of x[n, c, i stride.h + p - top, j stride.w + q - left] over 0 <= p < kernel.h and
/// 0 <= q < kernel.w, as far as they lie in the image; NaN where one of them is. The gradient goes to the first that is
/// largest, or to the first NaN.
///
/// Shapes: x (N, C, H, W), or (N, H, W, C) under nhwc; y (N, C, H', W') or (N, H', W', C) with H' = floor((H + top +
/// bottom - kernel.h) / stride.h) + 1. float32 and float64. InvalidArgument: other ranks and dtypes, a kernel or stride
/// below 1, padding that is negative or not smaller than the kernel, a kernel that does not fit into the padded image.
/// Source: PyTorch's max_pool2d, TensorFlow's max_pool2d, ONNX MaxPool.
Tensor max_pool2d(Operand x, Pair2d kernel_size, MaxPool2dOptions options = {});

/// Options of `avg_pool2d`.
struct AvgPool2dOptions {
  std::optional<Pair2d> stride = {};          ///< the kernel's size, if not given
  Padding2d padding = 0;                      ///< zeros around the image
  bool count_include_pad = true;              ///< divide by all of a window, not by its part in the image
  DataFormat data_format = DataFormat::nchw;  ///< the order of the axes
};

/// The same with means; padding counts as zeros, or not at all. Sums are made row by row, those of more than
/// 64 elements in runs of 16, which are added in float64. Source: PyTorch's avg_pool2d, ONNX AveragePool; TensorFlow's
/// avg_pool2d is that of count_include_pad = false.
Tensor avg_pool2d(Operand x, Pair2d kernel_size, AvgPool2dOptions options = {});

/// Attributes of Pool2d.
struct Pool2dAttrs {
  Pair2d kernel_size = 1;
  Pair2d stride = 1;
  Padding2d padding = 0;
  DataFormat data_format = DataFormat::nchw;
  bool count_include_pad = true;  ///< not used by maxima
  TWOFOLD_FIELDS(kernel_size, stride, padding, data_format, count_include_pad)
};

/// Adds the ops of this folder to the registry.
void register_pool2d();

namespace op_name {
TWOFOLD_OP_NAME(MaxPool2D);
TWOFOLD_OP_NAME(MaxPool2DGrad);
TWOFOLD_OP_NAME(MaxPool2DPick);
TWOFOLD_OP_NAME(AvgPool2D);
TWOFOLD_OP_NAME(AvgPool2DGrad);
}  // namespace op_name

}  // namespace twofold
