// 3x3 convolutions with fewer products: for kernels/conv2d/*_cpu.cc only.
#pragma once

#include <cstddef>
#include <cstdint>

#include <twofold/kernels/conv2d/problem.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold::winograd {

/// Whether the float32 problem is one for these kernels: 3x3, stride and dilation 1, NCHW, with enough channels for
/// products to take most of the time. A function of the shapes alone.
bool fits(const Conv2dProblem& p);

/// The output, or the input's gradient, which is the same computation: kernels times tiles of x, or kernels turned by
/// 180 degrees times tiles of dy.
struct Product {
  int64_t batch, groups;
  int64_t from_channels, to_channels;  ///< of one group
  int64_t from_h, from_w, to_h, to_w;
  int64_t pad_h, pad_w;                 ///< zeros before the source
  int64_t of_group, of_result, of_sum;  ///< steps in the weight: to the next group, result channel, summed channel
  int64_t first_tap, step_h, step_w;    ///< of a kernel's elements

  static Product output(const Conv2dProblem& p);
  static Product input_gradient(const Conv2dProblem& p);
  size_t workspace() const;

  /// Whether the weights suit the algorithm: not if, for some channel of the result, one tap has only zeros and another
  /// has not. Its error follows the largest number of a tile, so what a mask covers would affect the result.
  bool suits(const float* weight) const;
  /// `bias`: added to each of the result's channels; null for none.
  void run(const float* source, const float* weight, const float* bias, float* result, void* workspace,
           const KernelContext& ctx) const;
};

/// The weight's gradient.
Prepared weight_gradient(const Conv2dProblem& p);

}  // namespace twofold::winograd
