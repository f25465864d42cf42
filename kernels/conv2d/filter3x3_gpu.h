// 3x3 convolutions by kernels of our own, outputs and input gradients: float32, NCHW, stride and dilation 1, one group.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include <twofold/kernels/conv2d/direct3x3_gpu.h>

namespace twofold::direct3x3 {

/// How blocks share the result. A group is four pixels beside each other. The images' rows, or where they are wide,
/// those of strips of them, are counted through; a block has some of their groups and some channels of y. In shared
/// memory lie the rows of x about those groups: a strip has two more than y.
struct Sharing {
  int channels, outputs, h, w, out_h, out_w, top, left;  ///< the convolution's
  bool flipped;                                          ///< of an input gradient: channels and taps of weights
  int group_rows;
  int strips, strip_lines, row_groups, groups;    ///< across an image, of groups in a strip, in one such, in all
  int block_groups, block_outputs, warps_across;  ///< of a block; how many warps divide its channels of y
  int lines, row_step, channel_step;              ///< of x in shared memory, in floats
  int weight_step, weight_channel, stage;         ///< there, from tap to tap, from channel to channel; in all
  int first_tap, tap_step;                        ///< the order in which taps are read there
};

/// y[n, o, i, j] = bias[o] + sum_{c, k, l} weight[o, c, k, l] * x[n, c, i + k - top, j + l - left], bias being
/// optional. Sums go through channels in their order. With TF32 operands are rounded to 10 bits behind the point and
/// tensor cores used; else it is float32 throughout.
class Filter {
 public:
  /// None beyond what its index arithmetic can count, and where the current device lacks shared memory.
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
