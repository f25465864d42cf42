// 3x3 convolutions by kernels of our own, outputs and input gradients: float32, NCHW, stride and dilation 1, one group.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include <twofold/kernels/conv2d/direct3x3_gpu.h>

namespace twofold::direct3x3 {

/// How blocks share the result. A group is four neighbouring pixels. Rows are counted through all images (a wide image
/// is cut into strips, and the strips' rows are counted); a block has some of their groups and some channels of y.
/// Shared memory has the rows of x that those groups need: for a strip two more than of y.
struct Sharing {
  int channels, outputs, h, w, out_h, out_w, top, left;  ///< the convolution's
  bool flipped;                                          ///< for an input gradient: channels exchanged, taps reversed
  int group_rows;
  int strips, strip_lines, row_groups, groups;    ///< strips of an image, rows of groups in one, groups in such, in all
  int block_groups, block_outputs, warps_across;  ///< of a block; how many warps divide its channels of y
  int lines, row_step, channel_step;              ///< of x in shared memory, in floats
  int weight_step, weight_channel, stage;         ///< of weights: from tap to tap, channel to channel; of a stage
  int first_tap, tap_step;                        ///< the order in which taps are read there
};

/// y[n, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] * x[n, c, i + k - top, j + l - left], bias being
/// optional. Sums go through channels in their order. With TF32 operands are rounded to 10 bits of fraction and tensor
/// cores used; else it is float32 throughout.
class Filter {
 public:
  /// None for shapes beyond what its index arithmetic can count, and where the current device lacks shared memory.
  static std::optional<Filter> of(const Convolution& c, bool tf32) { return of(c, false, tf32); }
  /// What computes dx from dy as if it were y from x: dx is a convolution of dy by weight[o, c, 2 - k, 2 - l], too.
  static std::optional<Filter> of_input_gradient(const Convolution& c, bool tf32) {
    return of({c.batch, c.out_channels, c.in_channels, c.out_h, c.out_w, c.in_h, c.in_w, 2 - c.top, 2 - c.left}, true,
              tf32);
  }

  cudaError_t run(const float* x, const float* weight, const float* bias, float* y, cudaStream_t stream) const;

 private:
  static std::optional<Filter> of(const Convolution& c, bool flipped, bool tf32);

  Sharing s_;
  bool tf32_;
};

}  // namespace twofold::direct3x3
