// Matrix products on Eigen's packed kernels. For *_cpu.cc files only: it includes Eigen.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstdint>

#include <twofold/lib/runtime/kernel.h>

namespace twofold {

/// The operands of one product C = A B of row-major matrices; A and B as they lie, before transposition.
template <class T>
struct GemmOperands {
  const T* a;
  const T* b;
  T* c;  ///< M x N, contiguous
};

/// How a batch of products M x K times K x N is cut: a function of the shapes alone, so that the arithmetic is the same
/// for any number of threads.
///
/// C is computed in tiles of tile_m x tile_n over blocks of K. A long K with few tiles is split into slices, which are
/// computed as if they were a batch and then added in order. `group` products (or slices) go through their blocks
/// together.
struct GemmPlan {
  static constexpr int64_t kBlock = 256;   ///< of K: a packed strip of B's columns then fits the first-level cache
  static constexpr int64_t kPanel = 4096;  ///< of M and N: bounds the packed operands

  int64_t batch, m, n, k;
  bool transpose_a, transpose_b;
  int64_t tile_m, tile_n, slices, slice_k, group;

  static GemmPlan make(int64_t batch, int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
                       size_t element_size) {
    constexpr int64_t kFewTiles = 32;
    constexpr size_t kGroupBytes = size_t{4} << 20;
    GemmPlan p{batch, m, n, k, transpose_a, transpose_b, 128, element_size == 8 ? 96 : 192, 1, k, 1};
    const auto tiles = [&] { return batch * ceil_div(m, p.tile_m) * ceil_div(n, p.tile_n); };
    if (tiles() < kFewTiles) p.tile_n = 96;
    if (tiles() < kFewTiles) p.tile_m = 64;
    if (tiles() < kFewTiles) p.tile_m = 32;
    if (tiles() < kFewTiles && n > 48) p.tile_n = 48;
    if (tiles() < kFewTiles / 4 && k >= 8 * kBlock) {
      const int64_t wanted = std::min(ceil_div(kFewTiles, std::max<int64_t>(tiles(), 1)), k / (4 * kBlock));
      p.slice_k = ceil_div(ceil_div(k, wanted), kBlock) * kBlock;
      p.slices = ceil_div(k, p.slice_k);
    }
    const size_t packed = std::max<size_t>(p.packed_elements() * element_size, 1);
    p.group = std::clamp<int64_t>(static_cast<int64_t>(kGroupBytes / packed), 1, std::max<int64_t>(p.items(), 1));
    return p;
  }

  static constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
  int64_t items() const { return batch * slices; }
  int64_t panel_m() const { return std::min(ceil_div(m, tile_m) * tile_m, kPanel / tile_m * tile_m); }
  int64_t panel_n() const { return std::min(ceil_div(n, tile_n) * tile_n, kPanel / tile_n * tile_n); }
  int64_t block_k() const { return std::min(slice_k, kBlock); }
  /// Elements of one item's packed panels for one block of K.
  size_t packed_elements() const { return static_cast<size_t>((panel_m() + panel_n()) * padded_block_k()); }
  /// A multiple of 16, so that packed tiles start on 64-byte lines.
  int64_t padded_block_k() const { return ceil_div(block_k(), 16) * 16; }
  /// Two sets of packed panels, one in use while the next is filled; then the slices' partial results.
  size_t workspace(size_t element_size) const {
    const size_t partial = slices > 1 ? static_cast<size_t>(items() * m * n) : 0;
    return (2 * static_cast<size_t>(group) * packed_elements() + partial) * element_size;
  }
};

namespace internal {

/// Eigen's packing routines and inner kernel on column-major terms: the transpose of row-major C is B^T A^T, so Eigen's
/// left operand is our B, whose rows run along N, and its right operand is our A.
template <class T>
struct PackedGemm {
  using Index = int64_t;
  using Traits = Eigen::internal::gebp_traits<T, T>;
  template <int Order>
  using Mapper = Eigen::internal::const_blas_data_mapper<T, Index, Order>;
  using Result = Eigen::internal::blas_data_mapper<T, Index, Eigen::ColMajor, Eigen::Unaligned, 1>;

  /// Packs B, depth x cols; where `transposed`, it lies as cols x depth. `stride` is that of the rows as they lie.
  static void pack_b(T* to, const T* b, int64_t stride, bool transposed, int64_t depth, int64_t cols) {
    transposed ? pack_lhs<Eigen::RowMajor>(to, b, stride, depth, cols)
               : pack_lhs<Eigen::ColMajor>(to, b, stride, depth, cols);
  }
  /// Packs A, rows x depth; where `transposed`, it lies as depth x rows.
  static void pack_a(T* to, const T* a, int64_t stride, bool transposed, int64_t depth, int64_t rows) {
    transposed ? pack_rhs<Eigen::RowMajor>(to, a, stride, depth, rows)
               : pack_rhs<Eigen::ColMajor>(to, a, stride, depth, rows);
  }
  /// Packs B[k0 : k0+depth, n0 : n0+cols].
  static void pack_b(T* to, const T* b, const GemmPlan& p, int64_t k0, int64_t depth, int64_t n0, int64_t cols) {
    p.transpose_b ? pack_b(to, b + n0 * p.k + k0, p.k, true, depth, cols)
                  : pack_b(to, b + k0 * p.n + n0, p.n, false, depth, cols);
  }
  /// Packs A[m0 : m0+rows, k0 : k0+depth].
  static void pack_a(T* to, const T* a, const GemmPlan& p, int64_t k0, int64_t depth, int64_t m0, int64_t rows) {
    p.transpose_a ? pack_a(to, a + k0 * p.m + m0, p.m, true, depth, rows)
                  : pack_a(to, a + m0 * p.k + k0, p.k, false, depth, rows);
  }
  /// c[0 : rows, 0 : cols] (=, if `first`, else +=) the product of packed tiles; `stride` is that of c's rows.
  static void multiply(T* c, int64_t stride, const T* packed_a, const T* packed_b, int64_t rows, int64_t depth,
                       int64_t cols, bool first) {
    if (first)
      for (int64_t i = 0; i < rows; ++i) std::fill_n(c + i * stride, cols, T(0));
    Eigen::internal::gebp_kernel<T, T, Index, Result, Traits::mr, Traits::nr, false, false> kernel;
    kernel(Result(c, stride), packed_b, packed_a, cols, depth, rows, T(1));
  }

 private:
  template <int Order>
  static void pack_lhs(T* to, const T* from, int64_t stride, int64_t depth, int64_t extent) {
    Eigen::internal::gemm_pack_lhs<T, Index, Mapper<Order>, Traits::mr, Traits::LhsProgress,
                                   typename Traits::LhsPacket4Packing, Order>
        pack;
    pack(to, Mapper<Order>(from, stride), depth, extent);
  }
  template <int Order>
  static void pack_rhs(T* to, const T* from, int64_t stride, int64_t depth, int64_t extent) {
    Eigen::internal::gemm_pack_rhs<T, Index, Mapper<Order>, Traits::nr, Order> pack;
    pack(to, Mapper<Order>(from, stride), depth, extent);
  }
};

/// One group of items on one panel of C.
template <class T, class OperandsOf>
class GemmPanel {
 public:
  GemmPanel(const GemmPlan& p, const OperandsOf& operands, T* workspace, int64_t first_item, int64_t m0, int64_t n0)
      : p_(p),
        operands_(operands),
        workspace_(workspace),
        first_item_(first_item),
        items_(std::min(p.group, p.items() - first_item)),
        m0_(m0),
        n0_(n0),
        m_tiles_(GemmPlan::ceil_div(std::min(p.panel_m(), p.m - m0), p.tile_m)),
        n_tiles_(GemmPlan::ceil_div(std::min(p.panel_n(), p.n - n0), p.tile_n)) {}

  void run(const KernelContext& ctx) const {
    const int64_t packs = items_ * (m_tiles_ + n_tiles_), products = items_ * m_tiles_ * n_tiles_;
    const int64_t blocks = GemmPlan::ceil_div(p_.slice_k, GemmPlan::kBlock);
    for (int64_t block = -1; block < blocks; ++block) {
      const int64_t now_packs = block + 1 < blocks ? packs : 0, now_products = block >= 0 ? products : 0;
      ctx.parallel_for(now_packs + now_products, [&](int64_t i) {
        if (i < now_packs) {
          pack(block + 1, i / (m_tiles_ + n_tiles_), i % (m_tiles_ + n_tiles_));
        } else {
          multiply(block, (i - now_packs) / (m_tiles_ * n_tiles_), (i - now_packs) % (m_tiles_ * n_tiles_));
        }
      });
    }
  }

 private:
  /// Where tile `t` (of A first, then of B) of an item lies packed.
  T* packed(int64_t block, int64_t item, int64_t t) const {
    const int64_t before = t < m_tiles_ ? t * p_.tile_m : p_.panel_m() + (t - m_tiles_) * p_.tile_n;
    return workspace_ + ((block & 1) * p_.group + item) * static_cast<int64_t>(p_.packed_elements()) +
           before * p_.padded_block_k();
  }
  int64_t begin_k(int64_t block, int64_t item) const {
    return (first_item_ + item) % p_.slices * p_.slice_k + block * GemmPlan::kBlock;
  }
  int64_t depth(int64_t block, int64_t item) const {
    const int64_t slice_end = std::min(p_.k, begin_k(0, item) + p_.slice_k);
    return std::min(GemmPlan::kBlock, slice_end - begin_k(block, item));
  }
  int64_t rows(int64_t m) const { return std::min(p_.tile_m, p_.m - m); }
  int64_t cols(int64_t n) const { return std::min(p_.tile_n, p_.n - n); }

  void pack(int64_t block, int64_t item, int64_t t) const {
    const int64_t kd = depth(block, item);
    if (kd <= 0) return;  // the last slice may be shorter
    const auto operands = operands_(first_item_ + item);
    if (t < m_tiles_) {
      const int64_t m = m0_ + t * p_.tile_m;
      PackedGemm<T>::pack_a(packed(block, item, t), operands.a, p_, begin_k(block, item), kd, m, rows(m));
    } else {
      const int64_t n = n0_ + (t - m_tiles_) * p_.tile_n;
      PackedGemm<T>::pack_b(packed(block, item, t), operands.b, p_, begin_k(block, item), kd, n, cols(n));
    }
  }
  void multiply(int64_t block, int64_t item, int64_t tile) const {
    const int64_t kd = depth(block, item);
    if (kd <= 0) return;
    const int64_t mt = tile % m_tiles_, nt = tile / m_tiles_, m = m0_ + mt * p_.tile_m, n = n0_ + nt * p_.tile_n;
    PackedGemm<T>::multiply(operands_(first_item_ + item).c + m * p_.n + n, p_.n, packed(block, item, mt),
                            packed(block, item, m_tiles_ + nt), rows(m), kd, cols(n), block == 0);
  }

  const GemmPlan& p_;
  const OperandsOf& operands_;
  T* workspace_;
  int64_t first_item_, items_, m0_, n0_, m_tiles_, n_tiles_;
};

}  // namespace internal

/// Runs the plan. `operands(i)` gives the pointers of product i < p.batch. Precondition: batch, m, n, k > 0;
/// `workspace` has p.workspace(sizeof(T)) bytes.
template <class T, class Operands>
void gemm(const GemmPlan& p, const Operands& operands, void* workspace, const KernelContext& ctx) {
  T* packed = static_cast<T*>(workspace);
  T* partials = packed + 2 * static_cast<size_t>(p.group) * p.packed_elements();
  const auto of_item = [&](int64_t item) {
    GemmOperands<T> o = operands(item / p.slices);
    if (p.slices > 1) o.c = partials + item * p.m * p.n;
    return o;
  };
  for (int64_t item = 0; item < p.items(); item += p.group)
    for (int64_t n0 = 0; n0 < p.n; n0 += p.panel_n())
      for (int64_t m0 = 0; m0 < p.m; m0 += p.panel_m())
        internal::GemmPanel<T, decltype(of_item)>(p, of_item, packed, item, m0, n0).run(ctx);

  if (p.slices == 1) return;
  constexpr int64_t kChunk = 4096;
  const int64_t size = p.m * p.n, chunks = GemmPlan::ceil_div(size, kChunk);
  ctx.parallel_for(p.batch * chunks, [&](int64_t i) {
    const int64_t b = i / chunks, begin = i % chunks * kChunk, end = std::min(size, begin + kChunk);
    T* c = operands(b).c;
    const T* part = partials + b * p.slices * size;
    std::copy(part + begin, part + end, c + begin);
    for (int64_t s = 1; s < p.slices; ++s)
      for (int64_t j = begin; j < end; ++j) c[j] += part[s * size + j];
  });
}

/// A product small enough for packing buffers on the stack: computed whole, by one thread.
template <class T>
struct SmallGemm {
  static constexpr int64_t kStack = 48 * 1024 / sizeof(T);
  static bool fits(int64_t m, int64_t n, int64_t k) {
    return m <= 128 && n <= 128 && k <= GemmPlan::kBlock && m * n * k <= 64 * 64 * 64 && pad(m * k) + n * k <= kStack;
  }
  static void run(const GemmPlan& p, const GemmOperands<T>& o) {
    alignas(64) T packed[kStack];
    T* packed_b = packed + pad(p.m * p.k);
    internal::PackedGemm<T>::pack_a(packed, o.a, p, 0, p.k, 0, p.m);
    internal::PackedGemm<T>::pack_b(packed_b, o.b, p, 0, p.k, 0, p.n);
    internal::PackedGemm<T>::multiply(o.c, p.n, packed, packed_b, p.m, p.k, p.n, true);
  }

 private:
  static constexpr int64_t pad(int64_t n) { return (n + 15) / 16 * 16; }
};

}  // namespace twofold
