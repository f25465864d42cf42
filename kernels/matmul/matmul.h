// Matrix product.
#pragma once

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `matmul`.
struct MatMulOptions {
  bool transpose_a = false;  ///< of a, the last two axes are swapped first
  bool transpose_b = false;  ///< likewise of b
};

/// C[..., i, j] = sum_k A[..., i, k] * B[..., k, j], where A is `a` with its last two axes exchanged if transpose_a, B
/// likewise.
///
/// On a GPU floating-point products go by cuBLASLt, larger ones by its fastest algorithm: as with conv2d,
/// TWOFOLD_AUTOTUNE=0 in the environment turns timing off, and choices are kept.
///
/// Shapes: a (..., M, K), b (..., K, N), result (..., M, N), ranks 2 and above; the axes before the last two broadcast.
/// K = 0 gives zeros. Dtypes: float32, float64, int32, int64 (integers wrap); operands are promoted to one dtype.
/// Throws InvalidArgument on shapes that do not fit and on other dtypes. Source: TensorFlow's MatMul and BatchMatMulV2.
Tensor matmul(Operand a, Operand b, MatMulOptions options = {});

/// Attributes of MatMul.
struct MatMulAttrs {
  bool transpose_a = false;
  bool transpose_b = false;
  TWOFOLD_FIELDS(transpose_a, transpose_b)
};

/// Adds the ops of this folder to the registry.
void register_matmul();

namespace op_name {
TWOFOLD_OP_NAME(MatMul);
}  // namespace op_name

}  // namespace twofold
