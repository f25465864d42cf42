// Winograd's F(2x2, 3x3): 2x2 elements of the result from 4x4 of the source by 16 products where the definition takes
// 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016). With d a tile of the source, g the
// kernel and . the product element by element,
//
//     y = A^T [(G g G^T) . (B^T d B)] A
//
//     B^T = 1  0 -1  0     G = 1    0    0      A^T = 1 1  1  0
//           0  1  1  0         1/2  1/2  1/2          0 1 -1 -1
//           0 -1  1  0         1/2 -1/2  1/2
//           0  1  0 -1         0    0    1
//
// summed over channels before the last step: 16 matrix products. All arithmetic is float32.
//
// Its error, to first order in the unit roundoff u. A result touches no element of d but those under its kernel; let X
// be the largest magnitude of those, and W that of g. Rows of G sum to 1, 3/2, 3/2, 1 in magnitude and those of B^T to
// 2, so that element (i, j) of G g G^T is at most r_i r_j W with those r, and of B^T d B at most 4 X. A result adds up
// three by three of the 16 products, whose r sum to 4 along each axis: magnitudes of 16 W 4 X = 64 W X, where the terms
// are 9 W X at most. Each has been rounded 4 times in G g G^T, 2 in B^T d B, 4 in A^T (..) A, 32 + C / 32 times as C
// channels were summed in blocks of 32, and with the bias 1 more: hence 64 (44 + C / 32) u sum W X over channels. The
// weight's gradient, the adjoint, likewise: rows of A sum to 1, 2, 2, 1, which G^T adds up to 3 at most along each
// axis: magnitudes of 9 Y 4 X = 36 X Y for each of T tiles, here of all its elements, rounded 8 times beside the sum
// over tiles: hence 36 (12 + T) u sum X Y over tiles.
//
// What a result must not depend on cancels only up to rounding: an element whose weight is 0 changes the result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace twofold::winograd {

#if defined(__AVX512F__)
constexpr int kLanes = 16;  ///< tiles transformed together
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kPlaces = 16;  ///< elements of a transformed tile

// One lane for each tile. Vectors of the compiler, since Eigen's packets cannot shuffle out every second element.
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Mask __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }

using Lanes = std::make_integer_sequence<int, kLanes>;
/// Elements 0, 2, 4 ... of a and b, one after the other.
template <int... i>
Vector even(Vector a, Vector b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, (2 * i)...);
}
/// Elements 1, 3, 5 ...
template <int... i>
Vector odd(Vector a, Vector b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, (2 * i + 1)...);
}
/// a[0], b[0], a[1], b[1] ...
template <int... i>
void store_in_turn(float* to, Vector a, Vector b, std::integer_sequence<int, i...>) {
  store(to, __builtin_shufflevector(a, b, (i / 2 + i % 2 * kLanes)...));
  store(to + kLanes, __builtin_shufflevector(a, b, ((kLanes + i) / 2 + i % 2 * kLanes)...));
}

/// What is read of a plane's rows for kLanes tiles side by side: elements from `column`, which may lie outside, on.
struct Window {
  static constexpr int kStarts[4] = {0, kLanes, 2, kLanes + 2}, kRead = 2 * kLanes + 2;
  int64_t column;
  Mask inside[4];  ///< of the elements from kStarts on

  Window(int64_t first, int64_t w) : column(first) {
    for (int k = 0; k < 4; ++k)
      for (int i = 0; i < kLanes; ++i) {
        const int64_t at = first + kStarts[k] + i;
        inside[k][i] = at >= 0 && at < w ? -1 : 0;
      }
  }
};

/// Elements 2 t, 2 t + 1, 2 t + 2 and 2 t + 3 of a window, t being the lane.
struct Row {
  Vector d0, d1, d2, d3;
};

/// Reads rows of planes, zero outside a plane.
struct Reader {
  const float *begin, *end;  ///< of all planes
  int64_t h, w;

  Row read(const float* plane, int64_t row, const Window& window) const {
    if (row < 0 || row >= h) return {Vector{}, Vector{}, Vector{}, Vector{}};
    const int64_t at = plane - begin + row * w + window.column, size = end - begin;
    float copy[Window::kRead];
    const float* from = copy;
    if (at >= 0 && at + Window::kRead <= size) {
      from = begin + at;
    } else {  // at the ends of memory: read only what is there
      for (int i = 0; i < Window::kRead; ++i) copy[i] = at + i >= 0 && at + i < size ? begin[at + i] : 0;
    }
    Vector v[4];
    for (int k = 0; k < 4; ++k) v[k] = window.inside[k] ? load(from + Window::kStarts[k]) : Vector{};
    return {even(v[0], v[1], Lanes()), odd(v[0], v[1], Lanes()), even(v[2], v[3], Lanes()), odd(v[2], v[3], Lanes())};
  }
};

/// B^T d B of kLanes tiles from `row` on.
inline void transform_source(const Reader& reader, const float* plane, int64_t row, const Window& window, float* to,
                             int64_t step) {
  Vector half[4][4];
  for (int r = 0; r < 4; ++r) {
    const Row d = reader.read(plane, row + r, window);
    half[r][0] = d.d0 - d.d2;
    half[r][1] = d.d1 + d.d2;
    half[r][2] = d.d2 - d.d1;
    half[r][3] = d.d1 - d.d3;
  }
  for (int k = 0; k < 4; ++k) {
    store(to + k * step, half[0][k] - half[2][k]);
    store(to + (4 + k) * step, half[1][k] + half[2][k]);
    store(to + (8 + k) * step, half[2][k] - half[1][k]);
    store(to + (12 + k) * step, half[1][k] - half[3][k]);
  }
}

/// A^T m A of kLanes tiles, two rows of the result, with `bias` added.
inline void transform_result(const float* m, int64_t step, float bias, float (&y)[2][2 * kLanes]) {
  Vector half[2][4];
  for (int k = 0; k < 4; ++k) {
    const Vector m0 = load(m + k * step), m1 = load(m + (4 + k) * step), m2 = load(m + (8 + k) * step),
                 m3 = load(m + (12 + k) * step);
    half[0][k] = m0 + m1 + m2;
    half[1][k] = m1 - m2 - m3;
  }
  for (int r = 0; r < 2; ++r)
    store_in_turn(y[r], half[r][0] + half[r][1] + half[r][2] + bias, half[r][1] - half[r][2] - half[r][3] + bias,
                  Lanes());
}

/// A dy A^T, the adjoint of that.
inline void transform_gradient(const Reader& reader, const float* plane, int64_t row, const Window& window, float* to,
                               int64_t step) {
  Vector half[2][4];
  for (int r = 0; r < 2; ++r) {
    const Row dy = reader.read(plane, row + r, window);
    half[r][0] = dy.d0;
    half[r][1] = dy.d0 + dy.d1;
    half[r][2] = dy.d0 - dy.d1;
    half[r][3] = -dy.d1;
  }
  for (int k = 0; k < 4; ++k) {
    store(to + k * step, half[0][k]);
    store(to + (4 + k) * step, half[0][k] + half[1][k]);
    store(to + (8 + k) * step, half[0][k] - half[1][k]);
    store(to + (12 + k) * step, -half[1][k]);
  }
}

/// G g G^T of a kernel whose element (p, q) is g[p * step_h + q * step_w].
inline void transform_kernel(const float* g, int64_t step_h, int64_t step_w, float (&u)[kPlaces]) {
  float half[4][3];
  for (int q = 0; q < 3; ++q) {
    const float g0 = g[q * step_w], g1 = g[step_h + q * step_w], g2 = g[2 * step_h + q * step_w];
    half[0][q] = g0;
    half[1][q] = (g0 + g1 + g2) * 0.5f;
    half[2][q] = (g0 - g1 + g2) * 0.5f;
    half[3][q] = g2;
  }
  for (int r = 0; r < 4; ++r) {
    const float g0 = half[r][0], g1 = half[r][1], g2 = half[r][2];
    u[4 * r] = g0;
    u[4 * r + 1] = (g0 + g1 + g2) * 0.5f;
    u[4 * r + 2] = (g0 - g1 + g2) * 0.5f;
    u[4 * r + 3] = g2;
  }
}

/// G^T s G, the adjoint of that.
inline void transform_sum(const float (&s)[kPlaces], float* g) {
  float half[3][4];
  for (int k = 0; k < 4; ++k) {
    const float s0 = s[k], s1 = s[4 + k] * 0.5f, s2 = s[8 + k] * 0.5f, s3 = s[12 + k];
    half[0][k] = s0 + s1 + s2;
    half[1][k] = s1 - s2;
    half[2][k] = s1 + s2 + s3;
  }
  for (int p = 0; p < 3; ++p) {
    const float s0 = half[p][0], s1 = half[p][1] * 0.5f, s2 = half[p][2] * 0.5f, s3 = half[p][3];
    g[3 * p] = s0 + s1 + s2;
    g[3 * p + 1] = s1 - s2;
    g[3 * p + 2] = s1 + s2 + s3;
  }
}

}  // namespace twofold::winograd
