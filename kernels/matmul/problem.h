// What a matrix product amounts to, once shapes are known: for the CPU's and the GPU's kernels.
#pragma once

#include <cstdint>

#include <twofold/kernels/matmul/matmul.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

/// `batch` products C (M x N) = A (M x K) B (K x N); A and B lie transposed where the flags say so, C is contiguous.
struct MatMulProblem {
  static constexpr int kMaxBatchRank = kMaxRank - 2;
  int64_t batch = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  int32_t batch_rank = 0;
  int64_t extents[kMaxBatchRank] = {};
  int64_t a_steps[kMaxBatchRank] = {};  ///< elements from one matrix of a to the next along a batch axis; 0: broadcast
  int64_t b_steps[kMaxBatchRank] = {};

  explicit MatMulProblem(const Signature& s) {
    const auto& attrs = s.attrs_as<MatMulAttrs>();
    const Shape &a = s.inputs[0].shape, &b = s.inputs[1].shape, &c = s.outputs[0].shape;
    const int ra = a.rank(), rb = b.rank(), rc = c.rank();
    transpose_a = attrs.transpose_a, transpose_b = attrs.transpose_b;
    m = c[rc - 2], n = c[rc - 1], k = a[ra - (transpose_a ? 2 : 1)];
    batch_rank = rc - 2;
    int64_t a_step = m * k, b_step = k * n, b_batch = 1;
    for (int i = 3; i <= rc; ++i) {
      const int axis = rc - i;
      const int64_t ea = i <= ra ? a[ra - i] : 1, eb = i <= rb ? b[rb - i] : 1;
      extents[axis] = c[axis];
      a_steps[axis] = ea == 1 ? 0 : a_step;
      b_steps[axis] = eb == 1 ? 0 : b_step;
      a_step *= ea, b_step *= eb, b_batch *= eb, batch *= c[axis];
    }
    // If every matrix of a meets the same b, the batch is one tall product.
    if (b_batch == 1 && !transpose_a) {
      m *= batch;
      batch = 1;
      batch_rank = 0;
    }
  }

  /// Where the operands of product `i` begin, in elements.
  constexpr void offsets(int64_t i, int64_t& a, int64_t& b) const {
    a = b = 0;
    for (int axis = batch_rank - 1; axis >= 0; --axis) {
      const int64_t at = i % extents[axis];
      i /= extents[axis];
      a += at * a_steps[axis];
      b += at * b_steps[axis];
    }
  }
  bool is_empty() const { return batch == 0 || m == 0 || n == 0; }
};

}  // namespace twofold
