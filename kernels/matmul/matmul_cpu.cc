#include <twofold/kernels/matmul/gemm_cpu.h>
#include <twofold/kernels/matmul/problem.h>

namespace twofold {
namespace {

struct Params {
  MatMulProblem problem;
  GemmPlan plan;

  template <class T>
  GemmOperands<T> operands(void* const* args, int64_t i) const {
    int64_t a, b;
    problem.offsets(i, a, b);
    return {static_cast<const T*>(args[0]) + a, static_cast<const T*>(args[1]) + b,
            static_cast<T*>(args[2]) + i * plan.m * plan.n};
  }
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return GemmPlan::ceil_div(a, b); }

template <class T>
void zero(const void* params, void* const* args, KernelContext&) noexcept {
  const GemmPlan& p = static_cast<const Params*>(params)->plan;
  std::fill_n(static_cast<T*>(args[2]), p.batch * p.m * p.n, T(0));
}

template <class T>
void general(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  gemm<T>(
      p.plan, [&](int64_t i) { return p.operands<T>(args, i); }, ctx.workspace, ctx);
}

template <class T>
void many_small(const void* params, void* const* args, KernelContext& ctx) noexcept {
  constexpr int64_t kChunkWork = 1 << 19;
  const Params& p = *static_cast<const Params*>(params);
  const int64_t chunk = std::max<int64_t>(1, kChunkWork / (p.plan.m * p.plan.n * p.plan.k + 512));
  ctx.parallel_for(ceil_div(p.plan.batch, chunk), [&](int64_t c) {
    for (int64_t i = c * chunk; i < std::min(p.plan.batch, (c + 1) * chunk); ++i)
      SmallGemm<T>::run(p.plan, p.operands<T>(args, i));
  });
}

// With M or N of 1 there is one matrix, one vector in and one vector out, all of them contiguous.

/// sum_i x[i] y[i] in an order that depends on n alone.
template <class T>
T dot(const T* x, const T* y, int64_t n) {
  using namespace Eigen::internal;
  using Packet = typename packet_traits<T>::type;
  constexpr int64_t kWidth = unpacket_traits<Packet>::size;
  Packet sums[4];
  for (Packet& s : sums) s = pset1<Packet>(T(0));
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth)
    for (int64_t j = 0; j < 4; ++j)
      sums[j] = pmadd(ploadu<Packet>(x + i + j * kWidth), ploadu<Packet>(y + i + j * kWidth), sums[j]);
  for (; i < n; i += kWidth) {
    T xs[kWidth] = {}, ys[kWidth] = {};
    std::copy_n(x + i, std::min(kWidth, n - i), xs);
    std::copy_n(y + i, std::min(kWidth, n - i), ys);
    sums[0] = pmadd(ploadu<Packet>(xs), ploadu<Packet>(ys), sums[0]);
  }
  return predux(padd(padd(sums[0], sums[1]), padd(sums[2], sums[3])));
}

/// out[r] = sum_c matrix[r, c] x[c]
template <class T>
struct MatrixTimesVector {
  static constexpr bool kOutputPerRow = true;
  static int64_t chunk(int64_t columns) { return std::max<int64_t>(1, 65536 / std::max<int64_t>(columns, 1)); }
  static void run(const T* matrix, const T* x, T* out, int64_t, int64_t columns, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) out[r] = dot(matrix + r * columns, x, columns);
  }
};

/// out[c] = sum_r x[r] matrix[r, c]
template <class T>
struct VectorTimesMatrix {
  static constexpr bool kOutputPerRow = false;
  static int64_t chunk(int64_t) { return 512; }
  static void run(const T* matrix, const T* x, T* out, int64_t rows, int64_t columns, int64_t begin, int64_t end) {
    std::fill(out + begin, out + end, T(0));
    // Blocks of rows are summed separately: a long sum in one float would lose digits.
    for (int64_t r0 = 0; r0 < rows; r0 += 256) {
      const int64_t r1 = std::min(rows, r0 + 256);
      T sums[512] = {};
      int64_t r = r0;
      for (; r + 4 <= r1; r += 4) {
        const T *m0 = matrix + r * columns + begin, *m1 = m0 + columns, *m2 = m1 + columns, *m3 = m2 + columns;
        const T x0 = x[r], x1 = x[r + 1], x2 = x[r + 2], x3 = x[r + 3];
        for (int64_t c = 0; c < end - begin; ++c)
          sums[c] = (((sums[c] + x0 * m0[c]) + x1 * m1[c]) + x2 * m2[c]) + x3 * m3[c];
      }
      for (; r < r1; ++r) {
        const T* m = matrix + r * columns + begin;
        for (int64_t c = 0; c < end - begin; ++c) sums[c] += x[r] * m[c];
      }
      for (int64_t c = 0; c < end - begin; ++c) out[begin + c] += sums[c];
    }
  }
};

template <class T, template <class> class Product>
void vector_product(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Params& p = *static_cast<const Params*>(params);
  const bool row = p.plan.m == 1;  // the vector is a
  const int64_t outputs = row ? p.plan.n : p.plan.m;
  const int64_t rows = Product<T>::kOutputPerRow ? outputs : p.plan.k;
  const int64_t columns = Product<T>::kOutputPerRow ? p.plan.k : outputs;
  const int64_t chunk = Product<T>::chunk(columns), chunks = ceil_div(outputs, chunk);
  ctx.parallel_for(p.plan.batch * chunks, [&](int64_t i) {
    const auto o = p.operands<T>(args, i / chunks);
    const int64_t begin = i % chunks * chunk;
    Product<T>::run(row ? o.b : o.a, row ? o.a : o.b, o.c, rows, columns, begin, std::min(outputs, begin + chunk));
  });
}

/// Integers: exact modulo 2^bits, so that any order gives the same. U is the unsigned type.
template <class U>
class IntegerTile {
 public:
  static constexpr int64_t kRows = 32, kColumns = 128, kDepth = 64;

  static void run(const GemmPlan& p, const GemmOperands<U>& o, int64_t m0, int64_t n0) {
    const int64_t m1 = std::min(p.m, m0 + kRows), columns = std::min(kColumns, p.n - n0);
    for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
      const int64_t depth = std::min(kDepth, p.k - k0);
      U block[kDepth][kColumns];
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t n = 0; n < columns; ++n)
          block[k][n] = p.transpose_b ? o.b[(n0 + n) * p.k + k0 + k] : o.b[(k0 + k) * p.n + n0 + n];
      for (int64_t m = m0; m < m1; ++m) {
        U sums[kColumns] = {};
        if (k0 > 0) std::copy_n(o.c + m * p.n + n0, columns, sums);
        for (int64_t k = 0; k < depth; ++k) {
          const U a = p.transpose_a ? o.a[(k0 + k) * p.m + m] : o.a[m * p.k + k0 + k];
          for (int64_t n = 0; n < columns; ++n) sums[n] += a * block[k][n];
        }
        std::copy_n(sums, columns, o.c + m * p.n + n0);
      }
    }
  }
};

template <class T>
void integer(const void* params, void* const* args, KernelContext& ctx) noexcept {
  using U = std::make_unsigned_t<T>;
  using Tile = IntegerTile<U>;
  const Params& p = *static_cast<const Params*>(params);
  const int64_t m_tiles = ceil_div(p.plan.m, Tile::kRows), tiles = m_tiles * ceil_div(p.plan.n, Tile::kColumns);
  ctx.parallel_for(p.plan.batch * tiles, [&](int64_t i) {
    const int64_t tile = i % tiles;
    Tile::run(p.plan, p.operands<U>(args, i / tiles), tile % m_tiles * Tile::kRows, tile / m_tiles * Tile::kColumns);
  });
}

template <class T>
Prepared choose(const Params& p) {
  const GemmPlan& g = p.plan;
  if (g.k == 0 || p.problem.is_empty()) return {zero<T>, p};
  if constexpr (std::is_integral_v<T>) {
    return {integer<T>, p};
  } else {
    if (g.m == 1)
      return {g.transpose_b ? vector_product<T, MatrixTimesVector> : vector_product<T, VectorTimesMatrix>, p};
    if (g.n == 1)
      return {g.transpose_a ? vector_product<T, VectorTimesMatrix> : vector_product<T, MatrixTimesVector>, p};
    if (SmallGemm<T>::fits(g.m, g.n, g.k)) return {many_small<T>, p};
    return {general<T>, p, g.workspace(sizeof(T))};
  }
}

Prepared prepare(const Signature& s) {
  const DType t = s.inputs[0].dtype;
  const MatMulProblem p(s);
  const Params params{p, GemmPlan::make(p.batch, p.m, p.n, p.k, p.transpose_a, p.transpose_b, size_of(t))};
  switch (t) {
    case DType::float32: return choose<float>(params);
    case DType::float64: return choose<double>(params);
    case DType::int32: return choose<int32_t>(params);
    case DType::int64: return choose<int64_t>(params);
    default: return {};
  }
}

constexpr KernelEntry kKernels[] = {{op_name::MatMul, prepare}};

}  // namespace

std::span<const KernelEntry> cpu_kernels_matmul();
std::span<const KernelEntry> cpu_kernels_matmul() { return kKernels; }

}  // namespace twofold
