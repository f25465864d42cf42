#include <algorithm>

#include <twofold/kernels/conv2d/accuracy_gpu.h>

namespace twofold::cudnn {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kPlaces = 512;
constexpr int64_t kSpread = 1000003;  ///< a prime, so that places differ along every axis

/// Extents along four axes, the last one inner, and what an index is along each.
struct Indices {
  int64_t at[4];

  __device__ Indices(int64_t index, const int64_t (&extents)[4]) {
    for (int a = 3; a >= 0; --a) at[a] = index % extents[a], index /= extents[a];
  }
};

struct Geometry {
  Pass pass;
  bool channels_last;
  int64_t x[4], weight[4], y[4];
  int64_t before[2], stride[2], dilation[2];

  explicit Geometry(const Convolution& c) : pass(c.pass), channels_last(c.channels_last) {
    std::ranges::copy(c.x, x), std::ranges::copy(c.weight, weight), std::ranges::copy(c.y, y);
    std::ranges::copy(c.before, before), std::ranges::copy(c.stride, stride), std::ranges::copy(c.dilation, dilation);
  }
  __host__ __device__ const int64_t (&result() const)[4] {
    return pass == Pass::output ? y : pass == Pass::input_gradient ? x : weight;
  }
  __device__ int64_t image_offset(const int64_t (&extents)[4], int64_t n, int64_t c, int64_t h, int64_t w) const {
    const int64_t channels = extents[1], pixel = h * extents[3] + w;
    return channels_last ? (n * extents[2] * extents[3] + pixel) * channels + c
                         : (n * channels + c) * extents[2] * extents[3] + pixel;
  }
};

/// Where a term's three operands lie.
struct Term {
  bool exists;
  int64_t x, weight, y;

  /// Of the result's element `e`, the term `t`.
  __device__ Term(const Geometry& g, const int64_t (&e)[4], int64_t t) : exists(false) {
    const int64_t outputs = g.y[1] / (g.x[1] / g.weight[1]), inputs = g.weight[1];  // of a group
    int64_t n, o, c, tap[2], in[2]{}, out[2]{};
    if (g.pass == Pass::weight_gradient) {
      const Indices i(t, {1, g.y[0], g.y[2], g.y[3]});
      o = e[0], c = e[1], tap[0] = e[2], tap[1] = e[3], n = i.at[1], out[0] = i.at[2], out[1] = i.at[3];
    } else {
      const bool forward = g.pass == Pass::output;
      const Indices i(t, {1, forward ? inputs : outputs, g.weight[2], g.weight[3]});
      n = e[0], tap[0] = i.at[2], tap[1] = i.at[3];
      if (forward)
        o = e[1], c = i.at[1], out[0] = e[2], out[1] = e[3];
      else
        o = e[1] / inputs * outputs + i.at[1], c = e[1] % inputs, in[0] = e[2], in[1] = e[3];
    }
    for (int a = 0; a < 2; ++a) {
      const int64_t shift = tap[a] * g.dilation[a] - g.before[a];
      if (g.pass == Pass::input_gradient) {
        if ((in[a] - shift) % g.stride[a] != 0) return;
        out[a] = (in[a] - shift) / g.stride[a];
      } else {
        in[a] = out[a] * g.stride[a] + shift;
      }
      if (in[a] < 0 || in[a] >= g.x[2 + a] || out[a] < 0 || out[a] >= g.y[2 + a]) return;
    }
    exists = true;
    x = g.image_offset(g.x, n, o / outputs * inputs + c, in[0], in[1]);
    weight = ((o * inputs + c) * g.weight[2] + tap[0]) * g.weight[3] + tap[1];
    y = g.image_offset(g.y, n, o, out[0], out[1]);
  }
};

/// A block for each of gridDim.x places.
template <class T>
__global__ void measure(Geometry g, int64_t elements, int64_t terms, const T* x, const T* weight, const T* y,
                        float* worst) {
  __shared__ double sums[kThreads], magnitudes[kThreads];
  const Indices e(elements <= kPlaces ? blockIdx.x : blockIdx.x * kSpread % elements, g.result());
  double sum = 0, magnitude = 0;
  for (int64_t t = threadIdx.x; t < terms; t += kThreads) {
    const Term at(g, e.at, t);
    if (!at.exists) continue;
    const double a = g.pass == Pass::input_gradient ? y[at.y] : x[at.x];
    const double b = g.pass == Pass::weight_gradient ? y[at.y] : weight[at.weight];
    sum += a * b, magnitude += abs(a * b);
  }
  sums[threadIdx.x] = sum, magnitudes[threadIdx.x] = magnitude;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x >= half) continue;
    sums[threadIdx.x] += sums[threadIdx.x + half], magnitudes[threadIdx.x] += magnitudes[threadIdx.x + half];
  }
  if (threadIdx.x != 0) return;
  const double got = g.pass == Pass::output ? y[g.image_offset(g.y, e.at[0], e.at[1], e.at[2], e.at[3])]
                     : g.pass == Pass::input_gradient
                         ? x[g.image_offset(g.x, e.at[0], e.at[1], e.at[2], e.at[3])]
                         : weight[((e.at[0] * g.weight[1] + e.at[1]) * g.weight[2] + e.at[2]) * g.weight[3] + e.at[3]];
  const auto error = static_cast<float>(abs(got - sums[0]) / max(1.0, magnitudes[0]));
  // Floats that are not negative are ordered as their bits are.
  atomicMax(reinterpret_cast<int*>(worst), __float_as_int(isnan(error) ? INFINITY : error));
}

}  // namespace

cudaError_t measure_error(const Convolution& c, const void* x, const void* weight, const void* y, float* error,
                          cudaStream_t stream) {
  const Geometry g(c);
  const auto& r = g.result();
  const int64_t elements = r[0] * r[1] * r[2] * r[3];
  const int64_t taps = c.weight[2] * c.weight[3], groups = c.x[1] / c.weight[1];
  const int64_t terms = c.pass == Pass::output           ? c.weight[1] * taps
                        : c.pass == Pass::input_gradient ? c.y[1] / groups * taps
                                                         : c.y[0] * c.y[2] * c.y[3];
  if (const cudaError_t e = cudaMemsetAsync(error, 0, sizeof *error, stream); e != cudaSuccess) return e;
  const auto blocks = static_cast<unsigned>(std::min(elements, kPlaces));
  const auto launch = [&]<class T>(T) {
    measure<<<blocks, kThreads, 0, stream>>>(g, elements, terms, static_cast<const T*>(x),
                                             static_cast<const T*>(weight), static_cast<const T*>(y), error);
  };
  c.float64 ? launch(double{}) : launch(float{});
  return cudaGetLastError();
}

}  // namespace twofold::cudnn
