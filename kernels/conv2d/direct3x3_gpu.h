// Weight gradients of 3x3 convolutions by a kernel of our own: float32, NCHW, stride and dilation 1, one group.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace twofold::direct3x3 {

/// y[n, o, i, j] = sum_{c, k, l} weight[o, c, k, l] * x[n, c, i + k - top, j + l - left], x being zero outside.
struct Convolution {
  int64_t batch, in_channels, out_channels;
  int64_t in_h, in_w, out_h, out_w;
  int64_t top, left;
};

/// A box of an image's elements as it lies in shared memory.
struct Box {
  int rows, columns;           ///< of each channel
  int channel_step, row_step;  ///< in elements
  int log_lanes;               ///< of a warp, that copy one row
};

/// A block sums over a fixed part of the tiles of all images, for up to 32 channels of x and 64 of y.
struct Tiling {
  int channels, outputs, h, w, out_h, out_w, top, left;  ///< the convolution's
  int lanes;                                             ///< neighbouring threads, each with a channel of x
  int groups;                                            ///< of channels of y
  int tiles_down, tiles_across, tiles;                   ///< of one image, down and across; of all images
  int parts;
  int input_blocks, output_blocks;  ///< of channels
  Box x, dy, dy4;                   ///< dy4: dy in elements of 16 bytes
  int stage, stages;                ///< floats in shared memory that hold a tile, and how many such
};

/// dweight[o, c, k, l] = sum_{n, i, j} dy[n, o, i, j] * x[n, c, i + k - top, j + l - left], products with the zeros
/// outside included. Rounds as float32 sums of up to some thousand terms and a float64 sum of those. For a shape the
/// same terms are always added in the same order.
class WeightGradient {
 public:
  /// None for shapes beyond what its index arithmetic can count, and where the current device lacks shared memory.
  static std::optional<WeightGradient> of(const Convolution& c);

  /// Bytes of scratch for each run.
  size_t workspace() const;
  cudaError_t run(const float* x, const float* dy, float* dweight, void* workspace, cudaStream_t stream) const;

 private:
  Tiling t_;
};

}  // namespace twofold::direct3x3
