#include <cuda_pipeline.h>

#include <algorithm>
#include <bit>

#include <twofold/kernels/conv2d/direct3x3_gpu.h>
#include <twofold/kernels/conv2d/shared3x3_gpu.h>

namespace twofold::direct3x3 {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kOutputs = 8;              ///< channels of y per thread
constexpr int kSums = kOutputs * kTaps;  ///< per thread
constexpr int kPixels = 4;               ///< of a row that a thread takes at once
constexpr int kMostColumns = 28;         ///< of a tile: with the two beside it no more than a warp has threads
constexpr int kLeastLanes = 4;
constexpr int kMostBlocks = 65535;       ///< along a grid's second axis
constexpr int kBlocks = 256;             ///< two on each multiprocessor of the GPUs that this is made for
constexpr int kMostTerms = 2048;         ///< of a float32 sum, about
constexpr int kMostShared = 112 * 1024;  ///< bytes, so that two blocks fit
constexpr int kSumsAtOnce = 32;          ///< that a block adds up over parts: a divisor of a block's sums

/// Begins to copy a box of one image, whose first row and column are `top` and `left` and whose extents are (.., h, w):
/// `channels` from `from` on, zeros where the image has none. Each of `at_once` channels has warps of its own.
template <int at_once, class T>
__device__ void copy_box(const Box& b, T* to, const T* from, int channels, int top, int left, int h, int w) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int column = lane & ((1 << b.log_lanes) - 1);
  if (column >= b.columns) return;
  const int first = ((warp / at_once * kWarp) + lane) >> b.log_lanes, step = (kThreads / at_once) >> b.log_lanes;
  const bool inside = left + column >= 0 && left + column < w;
  for (int r = first; r < b.rows; r += step) {
    const bool valid = inside && top + r >= 0 && top + r < h;
    const T* source = from + ((warp % at_once * h + top + r) * w + left + column);
    T* target = to + (warp % at_once * b.channel_step + r * b.row_step + column);
    for (int c = warp % at_once; c < channels; c += at_once) {
      copy_or_clear(target, source, valid);
      source += at_once * h * w, target += at_once * b.channel_step;
    }
  }
}

/// A tile's place.
struct Place {
  int image, down, across;

  __device__ Place(const Tiling& t, int tile)
      : image(tile / t.tiles_across / t.tiles_down),
        down(tile / t.tiles_across % t.tiles_down),
        across(tile % t.tiles_across) {}
  __device__ void advance(const Tiling& t) {
    if (++across < t.tiles_across) return;
    across = 0;
    if (++down < t.tiles_down) return;
    down = 0, ++image;
  }
};

// Steps in shared memory. The lanes of a warp read x from different banks: neighbours take neighbouring channels and,
// where channels are fewer than lanes, the next rows. They read dy by 16 bytes, from as many rows.
constexpr int x_row_step(int lanes) { return lanes == kWarp ? kMostColumns + 2 : kWarp + lanes; }
constexpr int x_channel_step(int rows, int lanes) {
  return (rows * x_row_step(lanes) + kWarp - 2) / kWarp * kWarp + 1;  // 1 more than a multiple of the number of banks
}
constexpr int kOutputStep = kMostColumns;
constexpr int dy_row_step(int groups) { return groups * kOutputs * kOutputStep + kPixels; }

/// Writes what block (part, channels) has summed, four sums at a time, to
/// sums_of_parts[part][channels][sum / 4][thread]. The sums of threads that took other rows have been added to those of
/// the threads that took the first.
template <int lanes, bool aligned>
__global__ void __launch_bounds__(kThreads, 2)
    sum_tiles(const __grid_constant__ Tiling t, const float* __restrict__ x, const float* __restrict__ dy,
              float4* __restrict__ sums_of_parts) {
  extern __shared__ float4 shared4[];
  float* const shared = reinterpret_cast<float*>(shared4);
  constexpr int row_lanes = kWarp / lanes, x_row = x_row_step(lanes);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int channel = lane % lanes, group = warp % t.groups, first_row = warp / t.groups * row_lanes + lane / lanes;
  const int row_groups = kWarps / t.groups * row_lanes;

  const int part = static_cast<int>(blockIdx.x), block = static_cast<int>(blockIdx.y);
  const int first_channel = block % t.input_blocks * lanes;
  const int first_output = block / t.input_blocks * t.groups * kOutputs;
  const int channels = min(lanes, t.channels - first_channel);
  const int outputs = min(t.groups * kOutputs, t.outputs - first_output);
  // The first `more` parts have one tile more than the others.
  const int each = t.tiles / t.parts, more = t.tiles % t.parts;
  const int begin = part * each + min(part, more), n = each + (part < more ? 1 : 0);
  const int dy_place = lanes * t.x.channel_step;

  const auto copy = [&](const Place& at, int stage) {
    const int i = at.down * t.dy.rows, j = at.across * t.dy.columns;
    float* const to = shared + stage * t.stage;
    copy_box<std::max(lanes / kWarps, 1)>(t.x, to, x + (int64_t{at.image} * t.channels + first_channel) * t.h * t.w,
                                          channels, i - t.top, j - t.left, t.h, t.w);
    const float* const from = dy + (int64_t{at.image} * t.outputs + first_output) * t.out_h * t.out_w;
    if constexpr (aligned)
      copy_box<kWarps>(t.dy4, reinterpret_cast<float4*>(to + dy_place), reinterpret_cast<const float4*>(from), outputs,
                       i, j / kPixels, t.out_h, t.out_w / kPixels);
    else
      copy_box<kWarps>(t.dy, to + dy_place, from, outputs, i, j, t.out_h, t.out_w);
  };

  float sums[kOutputs][kTaps] = {};
  Place next(t, begin), at = next;
  int copied = 0;
  const auto copy_next = [&] {
    if (copied < n) copy(next, copied % t.stages);
    next.advance(t), ++copied;
    __pipeline_commit();
  };
  if (t.stages == 2) copy_next();
  for (int tile = 0; tile < n; ++tile, at.advance(t)) {
    copy_next();
    if (t.stages == 2)
      __pipeline_wait_prior(1);
    else
      __pipeline_wait_prior(0);
    __syncthreads();
    const int rows = min(t.dy.rows, t.out_h - at.down * t.dy.rows);
    const float* const tile_x = shared + tile % t.stages * t.stage + channel * t.x.channel_step;
    const float* const tile_dy = shared + tile % t.stages * t.stage + dy_place + group * kOutputs * kOutputStep;
    for (int r = first_row; r < rows; r += row_groups) {
      const float* window = tile_x + r * x_row;
      const float* d = tile_dy + r * t.dy.row_step;
      float v[3][kPixels + 2];
#pragma unroll
      for (int k = 0; k < 3; ++k)
#pragma unroll
        for (int l = 0; l < 2; ++l) v[k][l] = window[k * x_row + l];
#pragma unroll 1
      for (const float* const end = d + t.dy.columns; d < end; d += kPixels, window += kPixels) {
#pragma unroll
        for (int k = 0; k < 3; ++k)
#pragma unroll
          for (int l = 2; l < kPixels + 2; ++l) v[k][l] = window[k * x_row + l];
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          const float4 four = *reinterpret_cast<const float4*>(d + o * kOutputStep);
          const float g[kPixels] = {four.x, four.y, four.z, four.w};
#pragma unroll
          for (int p = 0; p < kPixels; ++p)
#pragma unroll
            for (int l = 0; l < 3; ++l)  // in the order in which the compiler makes most use of operands read before
#pragma unroll
              for (int k = 2; k >= 0; --k) sums[o][k * 3 + l] = __fmaf_rn(g[p], v[k][p + l], sums[o][k * 3 + l]);
        }
#pragma unroll
        for (int k = 0; k < 3; ++k)
#pragma unroll
          for (int l = 0; l < 2; ++l) v[k][l] = v[k][l + kPixels];
      }
    }
    __syncthreads();
  }

  const auto four_sums = [&](int s) {
    const auto sum = [&](int e) { return sums[e / kTaps][e % kTaps]; };
    return float4{sum(s), sum(s + 1), sum(s + 2), sum(s + 3)};
  };
  const int threads = lanes * t.groups;  // whose sums are written
  float4* const to = sums_of_parts + (int64_t{part} * gridDim.y + block) * (kSums / 4 * threads);
  if (row_groups == 1) {
#pragma unroll
    for (int s = 0; s < kSums / 4; ++s) to[s * kThreads + thread] = four_sums(4 * s);
    return;
  }
#pragma unroll
  for (int s = 0; s < kSums / 4; ++s) shared4[s * kThreads + thread] = four_sums(4 * s);
  __syncthreads();
  for (int e = thread; e < kSums / 4 * threads; e += kThreads) {
    const int s = e / threads, rest = e % threads, of_group = rest / lanes, of_channel = rest % lanes;
    const float4* const from = shared4 + s * kThreads + of_group * kWarp + of_channel;
    float4 sum{};
    for (int w = 0; w < kWarps; w += t.groups)
#pragma unroll
      for (int l = 0; l < row_lanes; ++l) {  // each group begins at another lane, as equal lanes lie in one bank
        const float4 v = from[w * kWarp + (l + of_group) % row_lanes * lanes];
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
      }
    to[e] = sum;
  }
}

/// Adds the parts. A block takes kSumsAtOnce neighbouring sums, a thread four of them from some of the parts.
__global__ void __launch_bounds__(kThreads)
    add_parts(const __grid_constant__ Tiling t, const float4* __restrict__ sums_of_parts, float* __restrict__ dweight) {
  constexpr int kLanes = kSumsAtOnce / 4;
  __shared__ double shared[kWarps][kSumsAtOnce];
  const int threads = t.lanes * t.groups, of_block = kSums * threads;
  const int n = t.input_blocks * t.output_blocks * of_block;
  const int thread = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * kSumsAtOnce;
  double sum[4] = {};
#pragma unroll 8
  for (int part = thread / kLanes; part < t.parts; part += kThreads / kLanes) {
    const float4 v = sums_of_parts[int64_t{part} * (n / 4) + first / 4 + thread % kLanes];
    sum[0] += static_cast<double>(v.x), sum[1] += static_cast<double>(v.y);
    sum[2] += static_cast<double>(v.z), sum[3] += static_cast<double>(v.w);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    for (int lanes = kLanes; lanes < kWarp; lanes *= 2) sum[i] += __shfl_down_sync(~0u, sum[i], lanes);
    if (thread % kWarp < kLanes) shared[thread / kWarp][thread % kWarp * 4 + i] = sum[i];
  }
  __syncthreads();
  if (thread >= kSumsAtOnce) return;
  double all = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) all += shared[w][thread];
  const int e = first + thread, block = e / of_block, of_thread = e / 4 % threads;
  const int s = e % of_block / (4 * threads) * 4 + e % 4;
  const int channel = block % t.input_blocks * t.lanes + of_thread % t.lanes;
  const int output = (block / t.input_blocks * t.groups + of_thread / t.lanes) * kOutputs + s / kTaps;
  if (channel < t.channels && output < t.outputs)
    dweight[(int64_t{output} * t.channels + channel) * kTaps + s % kTaps] = static_cast<float>(all);
}

int power_of_two(int64_t n) { return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(n))); }
int round_up(int n, int multiple) { return divide_up(n, multiple) * multiple; }

Box box(int rows, int columns, int channel_step, int row_step) {
  return {rows, columns, channel_step, row_step, std::countr_zero(static_cast<unsigned>(power_of_two(columns)))};
}

size_t shared_bytes(const Tiling& t) {
  const int sums = t.lanes * t.groups < kThreads ? kSums * kThreads : 0;
  return static_cast<size_t>(std::max(t.stages * t.stage, sums)) * sizeof(float);
}

using SumTiles = decltype(&sum_tiles<kWarp, true>);
template <int lanes>
SumTiles pick(int of_lanes, bool aligned) {
  if constexpr (lanes < kWarp)
    if (of_lanes > lanes) return pick<2 * lanes>(of_lanes, aligned);
  return aligned ? sum_tiles<lanes, true> : sum_tiles<lanes, false>;
}

}  // namespace

std::optional<WeightGradient> WeightGradient::of(const Convolution& c) {
  constexpr int64_t kMost = 1 << 30;
  // The margins beside the extents keep the indices that idle threads compute within 32 bits.
  if ((c.in_channels + kWarp) * (c.in_h + kThreads) * c.in_w > kMost) return std::nullopt;
  if ((c.out_channels + kWarp) * (c.out_h + kThreads) * c.out_w > kMost) return std::nullopt;
  if ((c.in_channels + kWarp) * (c.out_channels + 2 * kWarp) * kSums > kMost) return std::nullopt;
  if (c.batch * c.out_h * c.out_w > kMost || std::max(c.top, c.left) > kMost) return std::nullopt;

  WeightGradient w;
  Tiling& t = w.t_;
  t.channels = static_cast<int>(c.in_channels), t.outputs = static_cast<int>(c.out_channels);
  t.h = static_cast<int>(c.in_h), t.w = static_cast<int>(c.in_w);
  t.out_h = static_cast<int>(c.out_h), t.out_w = static_cast<int>(c.out_w);
  t.top = static_cast<int>(c.top), t.left = static_cast<int>(c.left);

  t.lanes = std::clamp(power_of_two(c.in_channels), kLeastLanes, kWarp);
  t.groups = std::min(power_of_two(divide_up(t.outputs, kOutputs)), kWarps);
  const int row_groups = kThreads / (t.lanes * t.groups);
  t.input_blocks = divide_up(t.channels, t.lanes);
  t.output_blocks = divide_up(t.outputs, t.groups * kOutputs);

  // The height of a tile for which the busiest threads have the least to do.
  const int64_t blocks = int64_t{t.input_blocks} * t.output_blocks;
  if (blocks > kMostBlocks) return std::nullopt;
  t.tiles_across = divide_up(t.out_w, kMostColumns);
  const int columns = round_up(divide_up(t.out_w, t.tiles_across), kPixels);
  int rows = 0;
  for (int64_t least = kMost; const int most : {4, 3, 2}) {
    const int down = divide_up(t.out_h, std::max(most, row_groups)), these = divide_up(t.out_h, down);
    const int64_t tiles = c.batch * down * t.tiles_across, each = divide_up(these, row_groups);
    const int64_t terms = tiles * each * columns;
    const int64_t parts = std::max(kBlocks / blocks, (terms + kMostTerms - 1) / kMostTerms);
    const int parts_here = static_cast<int>(std::clamp<int64_t>(parts, 1, tiles));
    const int64_t work = (tiles + parts_here - 1) / parts_here * each;
    if (work >= least) continue;
    least = work, rows = these;
    t.tiles_down = down, t.tiles = static_cast<int>(tiles), t.parts = parts_here;
  }

  const int dy_row = dy_row_step(t.groups);
  t.x = box(rows + 2, columns + 2, x_channel_step(rows + 2, t.lanes), x_row_step(t.lanes));
  t.dy = box(rows, columns, kOutputStep, dy_row);
  t.dy4 = box(rows, columns / kPixels, kOutputStep / kPixels, dy_row / kPixels);
  t.stage = t.lanes * t.x.channel_step + rows * dy_row;
  const int most_shared = most_shared_bytes();
  t.stages = 2 * t.stage * static_cast<int>(sizeof(float)) <= std::min(kMostShared, most_shared) ? 2 : 1;
  if (shared_bytes(t) > static_cast<size_t>(most_shared)) return std::nullopt;
  return w;
}

size_t WeightGradient::workspace() const {
  return sizeof(float) * kSums * static_cast<size_t>(t_.lanes * t_.groups) *
         static_cast<size_t>(t_.input_blocks * t_.output_blocks) * static_cast<size_t>(t_.parts);
}

cudaError_t WeightGradient::run(const float* x, const float* dy, float* dweight, void* workspace,
                                cudaStream_t stream) const {
  const bool aligned = t_.out_w % kPixels == 0 && reinterpret_cast<uintptr_t>(dy) % sizeof(float4) == 0;
  const SumTiles sum = pick<kLeastLanes>(t_.lanes, aligned);
  const auto shared = shared_bytes(t_);
  if (const auto e = cudaFuncSetAttribute(sum, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
      e != cudaSuccess)
    return e;
  const auto blocks = static_cast<unsigned>(t_.input_blocks * t_.output_blocks);
  auto* const sums = static_cast<float4*>(workspace);
  sum<<<dim3(static_cast<unsigned>(t_.parts), blocks), kThreads, shared, stream>>>(t_, x, dy, sums);
  const auto n = blocks * static_cast<unsigned>(kSums * t_.lanes * t_.groups);
  add_parts<<<n / kSumsAtOnce, kThreads, 0, stream>>>(t_, sums, dweight);
  return cudaGetLastError();
}

}  // namespace twofold::direct3x3
