// Matrix products by cuBLASLt.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::cublas {

/// `batch` products C (m x n) = A (m x k) B (k x n), row-major; A and B lie transposed where the flags say so.
struct Product {
  bool float64;
  bool transpose_a, transpose_b;
  int64_t m, n, k;
  int64_t batch;               ///< at most INT32_MAX
  int64_t a_stride, b_stride;  ///< elements from one matrix to the next; C's lie one after another
  int64_t alignment;           ///< bytes of which all pointers are multiples
  bool tf32;                   ///< float32 operands may be rounded to TF32
  bool deterministic;          ///< equal runs give equal bits

  double multiplications() const {
    return static_cast<double>(batch) * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
};

/// A product and the algorithm that does it, chosen once: the bits of the result do not depend on where operands lie.
/// Immutable.
class Gemm {
 public:
  /// A choice for the current device; null if cuBLASLt has none.
  ///
  /// It is the first of cuBLASLt's heuristics; for larger products the fastest of the first six, by timing. That choice
  /// is kept on disk (cuda/disk_cache.h) for later processes, as another algorithm would give other last bits. Equal
  /// arguments get the same choice in a process. TWOFOLD_AUTOTUNE=0 in the environment: no timing.
  static std::shared_ptr<const Gemm> make(const Product& p);

  /// Bytes of scratch for each run, which must be 256-byte aligned.
  size_t workspace() const { return workspace_; }
  cublasStatus_t run(const void* a, const void* b, void* c, void* workspace, cudaStream_t stream) const;

 private:
  /// Without an algorithm yet.
  Gemm(const Product& p, cublasLtHandle_t handle);
  /// The product by each of several algorithms, the most promising first.
  std::vector<Gemm> candidates() const;
  /// The algorithm as text, and back; none if the text's is not for this product.
  std::string algorithm() const;
  std::optional<Gemm> with_algorithm(const std::string& text) const;
  std::shared_ptr<const Gemm> choose(const std::string& key) const;

  Product product_;
  size_t most_workspace_;
  cublasLtHandle_t handle_;
  // Mutable since cuBLASLt takes pointers to them, but changes none.
  mutable cublasLtMatmulDescOpaque_t operation_;
  mutable cublasLtMatrixLayoutOpaque_t a_, b_, c_;
  bool good_ = true;
  cublasLtMatmulAlgo_t algorithm_{};
  size_t workspace_ = 0;
};

}  // namespace twofold::cublas
