#include <cuda_pipeline.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include <twofold/kernels/conv2d/filter3x3_gpu.h>
#include <twofold/kernels/conv2d/shared3x3_gpu.h>

namespace twofold::direct3x3 {
namespace {

constexpr int kChunk = 8;   ///< channels of x in shared memory at once
constexpr int kPixels = 4;  ///< of a group
constexpr int kBlock = 8;   ///< channels of y that tensor cores take at once
constexpr int kStages = 2;
constexpr int kMostColumns = 60;       ///< of a strip
constexpr int kMostOutputs = 1 << 17;  ///< of a grid, in blocks of four or more
constexpr int kNone = -(1 << 30);

/// A row of x in shared memory: where it begins in channel 0, and which column that is.
struct Line {
  int offset, first;
};

/// Where a group lies.
struct Group {
  int image, row, column;
  int padded;    ///< its first row of x, counted through all strips
  int of_strip;  ///< its first column in the strip

  __device__ Group(const Sharing& s, int group) {
    const int line = group / s.row_groups, strip = line / s.strip_lines;
    image = strip / s.strips, row = line % s.strip_lines * s.group_rows, of_strip = group % s.row_groups * kPixels;
    column = strip % s.strips * s.row_groups * kPixels + of_strip;
    padded = strip * (s.out_h + 2) + row;
  }
};

/// What a thread has of a tile: kOutputs channels of y of one group of kRows rows, in float32.
template <int kOutputs, int kRows>
class Fmas {
 public:
  static constexpr int kMostThreads = 128;
  static constexpr int kResident = kOutputs * kRows > 8 ? 4 : 6;

  __device__ Fmas(const Sharing& s, int first_group, int first_padded, int warp, int lane)
      : s_(s), group_(first_group + warp / s.warps_across * kWarp + lane), output_(warp % s.warps_across * kOutputs) {
    const Group g(s, min(group_, s.groups - 1));
    at_ = (g.padded - first_padded) * s.row_step + g.of_strip;
  }

  __device__ void add(const float* x, const float* weights, int channels) {
    x += at_, weights += output_ + s_.first_tap * s_.weight_step;
#pragma unroll 1
    for (int c = 0; c < channels; ++c, x += s_.channel_step, weights += s_.weight_channel) {
      float v[kRows + 2][kPixels + 2];
      const auto read = [&](int k) {
        const float4 four = *reinterpret_cast<const float4*>(x + k * s_.row_step);
        const float2 two = *reinterpret_cast<const float2*>(x + k * s_.row_step + kPixels);
        v[k][0] = four.x, v[k][1] = four.y, v[k][2] = four.z, v[k][3] = four.w, v[k][4] = two.x, v[k][5] = two.y;
      };
#pragma unroll
      for (int k = 0; k < kRows - 1; ++k) read(k);
      const float* at = weights;
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        read(k + kRows - 1);
#pragma unroll
        for (int l = 0; l < 3; ++l, at += s_.tap_step) {
          float w[kOutputs];
#pragma unroll
          for (int o = 0; o < kOutputs; o += 4) {
            const float4 four = *reinterpret_cast<const float4*>(at + o);
            w[o] = four.x, w[o + 1] = four.y, w[o + 2] = four.z, w[o + 3] = four.w;
          }
#pragma unroll
          for (int o = 0; o < kOutputs; ++o)
#pragma unroll
            for (int r = 0; r < kRows; ++r)
#pragma unroll
              for (int p = 0; p < kPixels; ++p) sums_[o][r][p] = __fmaf_rn(w[o], v[k + r][p + l], sums_[o][r][p]);
        }
      }
    }
  }

  __device__ void store(int first_output, const float* bias, float* y) const {
    if (group_ >= s_.groups) return;
    const Group g(s_, group_);
    if (g.column >= s_.out_w) return;
    const int size = s_.out_h * s_.out_w, first = first_output + output_;
    y += (g.image * s_.outputs + first) * size + g.row * s_.out_w + g.column;
    const bool whole = s_.out_w % kPixels == 0 && reinterpret_cast<uintptr_t>(y) % sizeof(float4) == 0;
#pragma unroll
    for (int o = 0; o < kOutputs; ++o, y += size) {
      if (first + o >= s_.outputs) return;
      const float b = bias ? bias[first + o] : 0.f;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (g.row + r >= s_.out_h) continue;
        float* const to = y + r * s_.out_w;
        const auto v = [&](int p) { return bias ? sums_[o][r][p] + b : sums_[o][r][p]; };
        if (whole)
          *reinterpret_cast<float4*>(to) = {v(0), v(1), v(2), v(3)};
        else
#pragma unroll
          for (int p = 0; p < kPixels; ++p)
            if (g.column + p < s_.out_w) to[p] = v(p);
      }
    }
  }

 private:
  const Sharing& s_;
  int group_, output_, at_;
  float sums_[kOutputs][kRows][kPixels] = {};
};

__device__ uint32_t to_tf32(float v) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
}

/// What a warp has of a tile: 32 pixels of kBlocks times eight channels of y, by tensor cores that multiply 16 pixels
/// by 8 channels of x with those by 8 channels of y.
template <int kBlocks>
class Mmas {
 public:
  static constexpr int kMostThreads = 256, kResident = kBlocks > 4 ? 2 : 3;

  __device__ Mmas(const Sharing& s, int first_group, int first_padded, int warp, int lane)
      : s_(s),
        group_(first_group + warp / s.warps_across * kWarpGroups),
        output_(warp % s.warps_across * kBlocks * kBlock),
        lane_(lane) {
    for (int i = 0; i < kParts; ++i) {
      const Group g(s, min(group_ + pixel(i) / kPixels, s.groups - 1));
      at_[i] = (g.padded - first_padded) * s.row_step + g.of_strip + pixel(i) % kPixels + lane_ % 4 * s.channel_step;
    }
  }

  __device__ void add(const float* x, const float* weights, int) {
    weights += lane_ % 4 * s_.weight_channel + s_.first_tap * s_.weight_step + output_ + lane_ / 4;
#pragma unroll 1
    for (int k = 0; k < 3; ++k, x += s_.row_step)
#pragma unroll
      for (int l = 0; l < 3; ++l, weights += s_.tap_step) {
        uint32_t a[kParts][2];
#pragma unroll
        for (int i = 0; i < kParts; ++i)
#pragma unroll
          for (int c = 0; c < 2; ++c) a[i][c] = to_tf32(x[at_[i] + l + c * 4 * s_.channel_step]);
#pragma unroll
        for (int o = 0; o < kBlocks; ++o) {
          const uint32_t b0 = to_tf32(weights[o * kBlock]);
          const uint32_t b1 = to_tf32(weights[o * kBlock + 4 * s_.weight_channel]);
#pragma unroll
          for (int i = 0; i < kParts; i += 2)
            asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                "{%0, %1, %2, %3};"
                : "+f"(sums_[o][i][0]), "+f"(sums_[o][i][1]), "+f"(sums_[o][i + 1][0]), "+f"(sums_[o][i + 1][1])
                : "r"(a[i][0]), "r"(a[i + 1][0]), "r"(a[i][1]), "r"(a[i + 1][1]), "r"(b0), "r"(b1));
        }
      }
  }

  __device__ void store(int first_output, const float* bias, float* y) const {
    const int size = s_.out_h * s_.out_w, first = first_output + output_ + lane_ % 4 * 2;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const int group = group_ + pixel(i) / kPixels;
      if (group >= s_.groups) continue;
      const Group g(s_, group);
      const int column = g.column + pixel(i) % kPixels;
      if (column >= s_.out_w) continue;
      float* const to = y + (g.image * s_.outputs + first) * size + g.row * s_.out_w + column;
#pragma unroll
      for (int o = 0; o < kBlocks; ++o)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int output = o * kBlock + e;
          if (first + output < s_.outputs)
            to[output * size] = bias ? sums_[o][i][e] + bias[first + output] : sums_[o][i][e];
        }
    }
  }

 private:
  static constexpr int kWarpGroups = kWarp / kPixels;
  static constexpr int kParts = 4;  ///< of the pixels, eight in each
  __device__ int pixel(int part) const { return part * 8 + lane_ / 4; }

  const Sharing& s_;
  int group_, output_, lane_;
  int at_[kParts];
  float sums_[kBlocks][kParts][2] = {};
};

template <class Sums>
__global__ void __launch_bounds__(Sums::kMostThreads, Sums::kResident)
    filter(const __grid_constant__ Sharing s, const float* __restrict__ x, const float* __restrict__ weight,
           const float* __restrict__ bias, float* __restrict__ y) {
  extern __shared__ float4 shared4[];
  float* const shared = reinterpret_cast<float*>(shared4);
  Line* const lines = reinterpret_cast<Line*>(shared + kStages * s.stage);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int warp = thread / kWarp, lane = thread % kWarp, warps = threads / kWarp;
  const int first_group = static_cast<int>(blockIdx.x) * s.block_groups;
  const int first_output = static_cast<int>(blockIdx.y) * s.block_outputs;
  const int first_padded = Group(s, first_group).padded;

  for (int i = thread; i < s.lines; i += threads) {
    const int line = first_padded + i, strip = line / (s.out_h + 2), row = line % (s.out_h + 2) - s.top;
    const bool inside = strip < s.groups / s.row_groups / s.strip_lines && row >= 0 && row < s.h;
    const int first = strip % s.strips * s.row_groups * kPixels - s.left;
    lines[i] = inside ? Line{(strip / s.strips * s.channels * s.h + row) * s.w + first, first} : Line{0, kNone};
  }
  __syncthreads();

  const int columns = s.row_groups * kPixels + 2, channel_size = s.h * s.w;
  const auto copy_x = [&](int first_channel, int channels, float* to) {
    for (int i = warp; i < s.lines; i += warps) {
      const Line line = lines[i];
#pragma unroll 1
      for (int column = lane; column < columns; column += kWarp) {
        const bool inside = line.first + column >= 0 && line.first + column < s.w;
        const float* from = x + (first_channel * channel_size + line.offset + column);
        float* at = to + (i * s.row_step + column);
#pragma unroll
        for (int c = 0; c < kChunk; ++c, from += channel_size, at += s.channel_step)
          copy_or_clear(at, from, inside && c < channels);
      }
    }
  };
  // Read in the order of memory.
  const auto copy_weights = [&](int first_channel, int channels, float* to) {
    const int outputs = s.outputs - first_output;
    if (s.flipped) {  // for each channel of x, the taps of all of y
      for (int c = warp; c < kChunk; c += warps) {
        const float* from = weight + ((first_channel + c) * s.outputs + first_output) * kTaps;
        float* at = to + (c * s.weight_channel + lane / kTaps + lane % kTaps * s.weight_step);
        for (int i = lane, tap = lane % kTaps; i < s.block_outputs * kTaps; i += kWarp) {
          copy_or_clear(at, from + i, c < channels && i < outputs * kTaps);
          tap += kWarp % kTaps, at += kWarp / kTaps + kWarp % kTaps * s.weight_step;
          if (tap >= kTaps) tap -= kTaps, at += 1 - kTaps * s.weight_step;
        }
      }
      return;
    }
    constexpr int kRun = kChunk * kTaps, kParts = (kRun + kWarp - 1) / kWarp;
    int places[kParts];
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      const int i = p * kWarp + lane;
      places[p] = i / kTaps * s.weight_channel + i % kTaps * s.weight_step;
    }
    const float* from = weight + ((first_output + warp) * s.channels + first_channel) * kTaps + lane;
#pragma unroll 1
    for (int o = warp; o < s.block_outputs; o += warps, from += warps * s.channels * kTaps)
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        const int i = p * kWarp + lane;
        if (i < kRun) copy_or_clear(to + places[p] + o, from + p * kWarp, o < outputs && i < channels * kTaps);
      }
  };
  const auto copy = [&](int channel, float* to) {
    const int channels = min(kChunk, s.channels - channel);
    copy_x(channel, channels, to), copy_weights(channel, channels, to + kChunk * s.channel_step);
  };

  Sums sums(s, first_group, first_padded, warp, lane);
  copy(0, shared);
  __pipeline_commit();
  for (int channel = 0, stage = 0; channel < s.channels; channel += kChunk, stage ^= 1) {
    if (channel + kChunk < s.channels) copy(channel + kChunk, shared + (stage ^ 1) * s.stage);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    const float* const tile = shared + stage * s.stage;
    sums.add(tile, tile + kChunk * s.channel_step, min(kChunk, s.channels - channel));
    __syncthreads();
  }
  sums.store(first_output, bias, y);
}

/// The least number from n on whose remainder by `divisor` is `rest`.
int next_with_rest(int n, int rest, int divisor) { return n + ((rest - n) % divisor + divisor) % divisor; }

size_t shared_bytes(const Sharing& s) {
  return static_cast<size_t>(kStages * s.stage) * sizeof(float) + static_cast<size_t>(s.lines) * sizeof(Line);
}

using Kernel = decltype(&filter<Fmas<8, 2>>);

/// A kernel, the share of one of its warps, and the warps of a block.
struct Variant {
  Kernel kernel;
  int outputs, group_rows, warp_groups;
  int warps_across, warps_down;
};

/// The smallest shares that keep the multiprocessors busy, by measurements.
Variant pick(int outputs, bool tf32) {
  if (tf32) {
    constexpr int kWarpGroups = kWarp / kPixels, kWarps = 8;
    if (outputs <= kBlock) return {filter<Mmas<1>>, kBlock, 1, kWarpGroups, 1, kWarps};
    if (outputs <= 2 * kBlock) return {filter<Mmas<2>>, 2 * kBlock, 1, kWarpGroups, 1, kWarps};
    if (outputs <= 4 * kBlock) return {filter<Mmas<4>>, 4 * kBlock, 1, kWarpGroups, 1, kWarps};
    return {filter<Mmas<8>>, 8 * kBlock, 1, kWarpGroups, 1, kWarps};
  }
  if (outputs <= 4) return {filter<Fmas<4, 1>>, 4, 1, kWarp, 1, 4};
  if (outputs <= 8) return {filter<Fmas<8, 1>>, 8, 1, kWarp, 1, 4};
  if (outputs <= 16) return {filter<Fmas<8, 1>>, 8, 1, kWarp, 2, 2};
  return {filter<Fmas<8, 2>>, 8, 2, kWarp, 4, 1};
}

}  // namespace

std::optional<Filter> Filter::of(const Convolution& c, bool flipped, bool tf32) {
  constexpr int64_t kMost = 1 << 30, kMargin = 256;
  if ((c.batch * c.in_channels + kChunk) * (c.in_h + 2) * (c.in_w + 2) > kMost) return std::nullopt;
  if ((c.batch * c.out_channels + kMargin) * (c.out_h + 2) * (c.out_w + 2) > kMost) return std::nullopt;
  if ((c.in_channels + kChunk) * (c.out_channels + kMargin) * kTaps > kMost) return std::nullopt;
  if (std::max(std::abs(c.top), std::abs(c.left)) > kMost / kMargin) return std::nullopt;
  if (c.out_channels > kMostOutputs) return std::nullopt;

  Filter f;
  f.tf32_ = tf32;
  Sharing& s = f.s_;
  s.channels = static_cast<int>(c.in_channels), s.outputs = static_cast<int>(c.out_channels);
  s.h = static_cast<int>(c.in_h), s.w = static_cast<int>(c.in_w);
  s.out_h = static_cast<int>(c.out_h), s.out_w = static_cast<int>(c.out_w);
  s.top = static_cast<int>(c.top), s.left = static_cast<int>(c.left);
  s.flipped = flipped;

  const Variant v = pick(s.outputs, tf32);
  s.group_rows = v.group_rows;
  s.strips = divide_up(s.out_w, kMostColumns);
  s.strip_lines = divide_up(s.out_h, s.group_rows);
  s.row_groups = divide_up(divide_up(s.out_w, s.strips), kPixels);
  s.groups = static_cast<int>(c.batch) * s.strips * s.strip_lines * s.row_groups;
  s.block_groups = v.warp_groups * v.warps_down;
  s.block_outputs = v.outputs * v.warps_across;
  s.warps_across = v.warps_across;

  const int lines = divide_up(s.block_groups - 1, s.row_groups) + 1;
  const int strips = (lines + s.strip_lines - 2) / s.strip_lines + 1;
  s.lines = std::min(lines * s.group_rows, strips * s.out_h) + 2 * strips;
  const int width = s.row_groups * kPixels;
  if (tf32) {  // all lanes read from different banks: 8 pixels, or channels of y, of 4 channels of x
    s.row_step = next_with_rest(width + 2, width % 8, 8);
    s.channel_step = next_with_rest(s.lines * s.row_step, 8, kWarp);
    s.weight_channel = next_with_rest(s.block_outputs, 8, kWarp);
    s.weight_step = next_with_rest(kChunk * s.weight_channel, flipped ? 4 : 1, kWarp);
  } else {
    s.row_step = next_with_rest(width + 2, 0, 4);
    s.channel_step = s.lines * s.row_step;
    s.weight_step = next_with_rest(s.block_outputs, 4, kWarp);
    s.weight_channel = kTaps * s.weight_step;
  }
  s.stage = next_with_rest(kChunk * s.channel_step + std::max(kChunk * s.weight_channel, kTaps * s.weight_step), 0, 4);
  s.first_tap = flipped ? kTaps - 1 : 0;
  s.tap_step = flipped ? -s.weight_step : s.weight_step;
  if (shared_bytes(s) > static_cast<size_t>(most_shared_bytes())) return std::nullopt;
  return f;
}

cudaError_t Filter::run(const float* x, const float* weight, const float* bias, float* y, cudaStream_t stream) const {
  const Variant v = pick(s_.outputs, tf32_);
  const auto shared = shared_bytes(s_);
  if (const auto e =
          cudaFuncSetAttribute(v.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
      e != cudaSuccess)
    return e;
  const dim3 grid(static_cast<unsigned>(divide_up(s_.groups, s_.block_groups)),
                  static_cast<unsigned>(divide_up(s_.outputs, s_.block_outputs)));
  v.kernel<<<grid, static_cast<unsigned>(v.warps_across * v.warps_down * kWarp), shared, stream>>>(s_, x, weight, bias,
                                                                                                   y);
  return cudaGetLastError();
}

}  // namespace twofold::direct3x3
