#include <cuda_pipeline.h>

#include <algorithm>
#include <bit>

#include <twofold/kernels/conv2d/direct3x3_gpu.h>

namespace twofold::direct3x3 {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kTaps = 9;
constexpr int kOutputs = 8;              ///< channels of y a thread
constexpr int kSums = kOutputs * kTaps;  ///< a thread
constexpr int kPixels = 4;               ///< of a row that a thread takes at once
constexpr int kMostColumns = 28;         ///< of a tile: with the two beside it no more than a warp has threads
constexpr int kLeastLanes = 4;
constexpr int kLeastRows = 4;                ///< of a tile
constexpr int kBlocks = 256;                 ///< two on each multiprocessor of the GPUs that this is made for
constexpr int kMostTerms = 2048;             ///< of a float32 sum, about
constexpr int kMostShared = 112 * 1024 / 4;  ///< floats, so that two blocks fit
constexpr int kAdders = 8;                   ///< threads that add one weight's parts

/// Begins to copy a box of one image, whose first row and column are `top` and `left` and whose extents are (.., h, w):
/// `channels` from `from` on, zeros where the image has none.
template <class T>
__device__ void copy_box(const Box& b, T* to, const T* from, int channels, int top, int left, int h, int w) {
  const int thread = static_cast<int>(threadIdx.x), first = thread >> b.log_lanes;
  const int column = thread & ((1 << b.log_lanes) - 1);
  if (column >= b.columns) return;
  const bool inside = left + column >= 0 && left + column < w;
  to += column, from += left + column;
  for (int c = first / b.rows, r = first % b.rows; c < channels;) {
    const int row = top + r;
    const bool valid = inside && row >= 0 && row < h;
    const T* source = from + (c * h + row) * w;
    __pipeline_memcpy_async(to + c * b.channel_step + r * b.row_step, valid ? source : from - (left + column),
                            sizeof(T), valid ? 0 : sizeof(T));
    c += b.next_channel, r += b.next_row;
    if (r >= b.rows) r -= b.rows, ++c;
  }
}

/// What block (part, channels) adds up: workspace[((part * blocks of channels) + channels) * kSums + sum][thread],
/// where threads of other rows have been added to the first.
template <bool aligned>
__global__ void __launch_bounds__(kThreads, 2)
    sum_tiles(const __grid_constant__ Tiling t, const float* __restrict__ x, const float* __restrict__ dy,
              float* __restrict__ sums_of_parts) {
  extern __shared__ float4 shared4[];
  float* const shared = reinterpret_cast<float*>(shared4);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int row_lanes = kWarp / t.lanes;
  const int channel = lane % t.lanes, group = warp % t.groups, first_row = warp / t.groups * row_lanes + lane / t.lanes;

  const int part = static_cast<int>(blockIdx.x), block = static_cast<int>(blockIdx.y);
  const int first_channel = block % t.input_blocks * t.lanes;
  const int first_output = block / t.input_blocks * t.groups * kOutputs;
  const int channels = min(t.lanes, t.channels - first_channel);
  const int outputs = min(t.groups * kOutputs, t.outputs - first_output);
  // Parts with a tile more than others come first.
  const int each = t.tiles / t.parts, more = t.tiles % t.parts;
  const int begin = part * each + min(part, more), end = begin + each + (part < more ? 1 : 0);

  const auto copy = [&](int tile, int stage) {
    const int across = tile % t.tiles_across, down = tile / t.tiles_across % t.tiles_down;
    const int64_t image = tile / t.tiles_across / t.tiles_down;
    const int i = down * t.dy.rows, j = across * t.dy.columns;
    float* const to_x = shared + stage * t.stage;
    copy_box(t.x, to_x, x + (image * t.channels + first_channel) * t.h * t.w, channels, i - t.top, j - t.left, t.h,
             t.w);
    float* const to_dy = to_x + t.lanes * t.x.channel_step;
    const float* const from_dy = dy + (image * t.outputs + first_output) * t.out_h * t.out_w;
    if constexpr (aligned)
      copy_box(t.dy4, reinterpret_cast<float4*>(to_dy), reinterpret_cast<const float4*>(from_dy), outputs, i,
               j / kPixels, t.out_h, t.out_w / kPixels);
    else
      copy_box(t.dy, to_dy, from_dy, outputs, i, j, t.out_h, t.out_w);
    __pipeline_commit();
  };

  float sums[kOutputs][kTaps] = {};
  if (t.stages == 2) copy(begin, 0);
  for (int tile = begin; tile < end; ++tile) {
    const int stage = t.stages == 2 ? (tile - begin) % 2 : 0;
    if (t.stages == 1) {
      copy(tile, 0);
      __pipeline_wait_prior(0);
    } else if (tile + 1 < end) {
      copy(tile + 1, 1 - stage);
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();
    const float* const tile_x = shared + stage * t.stage + channel * t.x.channel_step;
    const float* const tile_dy =
        shared + stage * t.stage + t.lanes * t.x.channel_step + group * kOutputs * t.dy.channel_step;
    const int rows = min(t.dy.rows, t.out_h - tile / t.tiles_across % t.tiles_down * t.dy.rows);
    for (int r = first_row; r < rows; r += t.row_groups) {
      const float* window = tile_x + r * t.x.row_step;
      const float* d = tile_dy + r * t.dy.row_step;
      float v[3][kPixels + 2];
#pragma unroll
      for (int k = 0; k < 3; ++k)
#pragma unroll
        for (int l = 0; l < 2; ++l) v[k][l] = window[k * t.x.row_step + l];
#pragma unroll 1
      for (int j = 0; j < t.dy.columns; j += kPixels) {
#pragma unroll
        for (int k = 0; k < 3; ++k)
#pragma unroll
          for (int l = 2; l < kPixels + 2; ++l) v[k][l] = window[k * t.x.row_step + j + l];
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          const float4 four = *reinterpret_cast<const float4*>(d + o * t.dy.channel_step + j);
          const float g[kPixels] = {four.x, four.y, four.z, four.w};
#pragma unroll
          for (int p = 0; p < kPixels; ++p)
#pragma unroll
            for (int k = 0; k < 3; ++k)
#pragma unroll
              for (int l = 0; l < 3; ++l) sums[o][k * 3 + l] = __fmaf_rn(g[p], v[k][p + l], sums[o][k * 3 + l]);
        }
#pragma unroll
        for (int k = 0; k < 3; ++k)
#pragma unroll
          for (int l = 0; l < 2; ++l) v[k][l] = v[k][l + kPixels];
      }
    }
    __syncthreads();
  }

  const int each_sum = t.lanes * t.groups;  // threads that have one
  float* const to = sums_of_parts + (int64_t{part} * gridDim.y + block) * kSums * each_sum;
  if (t.row_groups == 1) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) to[s * kThreads + thread] = sums[s / kTaps][s % kTaps];
    return;
  }
#pragma unroll
  for (int s = 0; s < kSums; ++s) shared[s * kThreads + thread] = sums[s / kTaps][s % kTaps];
  __syncthreads();
  for (int e = thread; e < kSums * each_sum; e += kThreads) {
    const int s = e / each_sum, of_group = e / t.lanes % t.groups, of_channel = e % t.lanes;
    const float* const from = shared + s * kThreads + of_group * kWarp + of_channel;
    float sum = 0;
    for (int w = 0; w < kWarps / t.groups; ++w)
      for (int l = 0; l < row_lanes; ++l)  // from another lane on for each, as they lie in the same banks
        sum += from[w * t.groups * kWarp + (l + e / t.lanes) % row_lanes * t.lanes];
    to[e] = sum;
  }
}

/// Adds the parts. A block takes 32 sums beside each other.
__global__ void __launch_bounds__(kWarp* kAdders)
    add_parts(const __grid_constant__ Tiling t, const float* __restrict__ sums_of_parts, float* __restrict__ dweight) {
  __shared__ double shared[kAdders][kWarp];
  const int each_sum = t.lanes * t.groups, of_block = kSums * each_sum;
  const int n = t.input_blocks * t.output_blocks * of_block;  // a multiple of kWarp
  const int lane = static_cast<int>(threadIdx.x), adder = static_cast<int>(threadIdx.y);
  const int e = static_cast<int>(blockIdx.x) * kWarp + lane;
  double sum = 0;
#pragma unroll 8
  for (int part = adder; part < t.parts; part += kAdders)
    sum += static_cast<double>(sums_of_parts[int64_t{part} * n + e]);
  shared[adder][lane] = sum;
  __syncthreads();
  if (adder != 0) return;
  for (int a = 1; a < kAdders; ++a) sum += shared[a][lane];
  const int block = e / of_block, s = e % of_block / each_sum, of_group = e % each_sum / t.lanes;
  const int channel = block % t.input_blocks * t.lanes + e % t.lanes;
  const int output = (block / t.input_blocks * t.groups + of_group) * kOutputs + s / kTaps;
  if (channel < t.channels && output < t.outputs)
    dweight[(int64_t{output} * t.channels + channel) * kTaps + s % kTaps] = static_cast<float>(sum);
}

int power_of_two(int64_t n) { return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(n))); }
int divide_up(int a, int b) { return (a + b - 1) / b; }
int round_up(int n, int multiple) { return divide_up(n, multiple) * multiple; }
/// The least number from n on that leaves `rest` when divided by 32.
int up_to_rest(int n, int rest) { return n + ((rest - n) % kWarp + kWarp) % kWarp; }

Box box(int rows, int columns, int channel_step, int row_step) {
  const int lanes = power_of_two(columns), at_once = kThreads / lanes;
  return {rows,           columns,       channel_step, row_step, std::countr_zero(static_cast<unsigned>(lanes)),
          at_once / rows, at_once % rows};
}

size_t shared_bytes(const Tiling& t) {
  const int sums = t.row_groups > 1 ? kSums * kThreads : 0;
  return static_cast<size_t>(std::max(t.stages * t.stage, sums)) * sizeof(float);
}

}  // namespace

std::optional<WeightGradient> WeightGradient::of(const Convolution& c) {
  constexpr int64_t kMost = 1 << 30;
  // The room beyond the images keeps what is computed for threads that have nothing to do within 32 bits.
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
  t.row_groups = kThreads / (t.lanes * t.groups);
  t.input_blocks = divide_up(t.channels, t.lanes);
  t.output_blocks = divide_up(t.outputs, t.groups * kOutputs);

  t.tiles_down = divide_up(t.out_h, std::max(kLeastRows, t.row_groups));
  t.tiles_across = divide_up(t.out_w, kMostColumns);
  t.tiles = static_cast<int>(c.batch) * t.tiles_down * t.tiles_across;
  const int rows = divide_up(t.out_h, t.tiles_down);
  const int columns = round_up(divide_up(t.out_w, t.tiles_across), kPixels);

  // The lanes of a warp read x in banks of their own: channels beside each other, rows behind them.
  const bool one_row = t.lanes == kWarp;
  const int x_row = one_row ? columns + 2 : up_to_rest(columns + 2, t.lanes);
  t.x = box(rows + 2, columns + 2, up_to_rest((rows + 2) * x_row, 1), x_row);
  // They read dy by 16 bytes, as many as they have rows.
  const int dy_row = one_row || columns / kPixels % 2 == 1 ? columns : columns + kPixels;
  t.dy = box(rows, columns, rows * dy_row, dy_row);
  t.dy4 = box(rows, columns / kPixels, rows * dy_row / kPixels, dy_row / kPixels);
  t.stage = t.lanes * t.x.channel_step + t.groups * kOutputs * t.dy.channel_step;
  t.stages = 2 * t.stage <= kMostShared ? 2 : 1;

  const int64_t blocks = int64_t{t.input_blocks} * t.output_blocks;
  const int64_t terms = int64_t{t.tiles} * divide_up(rows, t.row_groups) * columns;
  const int64_t parts = std::max(kBlocks / blocks, (terms + kMostTerms - 1) / kMostTerms);
  t.parts = static_cast<int>(std::clamp<int64_t>(parts, 1, t.tiles));
  return w;
}

size_t WeightGradient::workspace() const {
  return sizeof(float) * kSums * static_cast<size_t>(t_.lanes * t_.groups) *
         static_cast<size_t>(t_.input_blocks * t_.output_blocks) * static_cast<size_t>(t_.parts);
}

cudaError_t WeightGradient::run(const float* x, const float* dy, float* dweight, void* workspace,
                                cudaStream_t stream) const {
  const bool aligned = t_.out_w % kPixels == 0 && reinterpret_cast<uintptr_t>(dy) % sizeof(float4) == 0;
  const auto sum = aligned ? sum_tiles<true> : sum_tiles<false>;
  const auto shared = shared_bytes(t_);
  if (const auto e = cudaFuncSetAttribute(sum, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
      e != cudaSuccess)
    return e;
  const auto blocks = static_cast<unsigned>(t_.input_blocks * t_.output_blocks);
  auto* const sums = static_cast<float*>(workspace);
  sum<<<dim3(static_cast<unsigned>(t_.parts), blocks), kThreads, shared, stream>>>(t_, x, dy, sums);
  const auto n = blocks * static_cast<unsigned>(kSums * t_.lanes * t_.groups);
  add_parts<<<n / kWarp, dim3(kWarp, kAdders), 0, stream>>>(t_, sums, dweight);
  return cudaGetLastError();
}

}  // namespace twofold::direct3x3
