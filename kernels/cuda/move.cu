// Boxes are moved in the order of the destination, by each thread one word at a time; transpositions by tiles, which
// are read along one axis and written along the other. Elements are words of 1, 4 or 8 bytes, whatever they mean.
#include <twofold/kernels/cuda/move.h>

#include <cuda_runtime.h>

#include <cstring>

#include <twofold/kernels/cuda/words.h>
#include <twofold/kernels/layout/walk.h>

namespace twofold::cuda {
namespace {

using moves::Box;

constexpr int kTile = 32;
constexpr int kTileRows = kThreads / kTile;

/// Where element `index` of a box lies on either side, the bases included.
__device__ void locate(const Box& box, int64_t index, int64_t& from, int64_t& to) {
  from = box.src_base, to = box.dst_base;
  for (int i = box.rank - 1; i >= 0; --i) {
    const int64_t next = i > 0 ? quotient(index, box.extent[i]) : 0, here = index - next * box.extent[i];
    from += here * box.src_stride[i], to += here * box.dst_stride[i];
    index = next;
  }
}

template <class Word>
__global__ void __launch_bounds__(kThreads)
    move_kernel(Box box, int64_t n, const Word* __restrict__ src, Word* __restrict__ dst) {
#pragma unroll 4
  for (int64_t i = first_element(); i < n; i += element_step()) {
    int64_t from, to;
    locate(box, i, from, to);
    dst[to] = src[from];
  }
}

/// dst[lane * lane_step + j] = src[j * run_step + lane] for all j < run and lane < lanes.
struct Plane {
  int64_t run, run_step, lanes, lane_step;
};

/// Transposes a plane at every place of `box`.
template <class Word>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(Box box, Plane plane, int64_t tiles, const Word* __restrict__ src, Word* __restrict__ dst) {
  __shared__ Word words[kTile][kTile + 1];
  const int64_t run_tiles = ceil_div(plane.run, kTile), per_plane = run_tiles * ceil_div(plane.lanes, kTile);
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t place = quotient(tile, per_plane), in_plane = tile - place * per_plane;
    const int64_t row = quotient(in_plane, run_tiles);
    const int64_t lane = row * kTile, j = (in_plane - row * run_tiles) * kTile;
    int64_t from, to;
    locate(box, place, from, to);
    for (int k = ty; k < kTile; k += kTileRows)
      if (j + k < plane.run && lane + tx < plane.lanes) words[k][tx] = src[from + (j + k) * plane.run_step + lane + tx];
    __syncthreads();
    for (int k = ty; k < kTile; k += kTileRows)
      if (j + tx < plane.run && lane + k < plane.lanes) dst[to + (lane + k) * plane.lane_step + j + tx] = words[tx][k];
    __syncthreads();
  }
}

/// The output's axes, and where in them the input begins and how much it has. Axes without padding are merged into the
/// one before them.
struct Frame {
  int rank = 0;
  int64_t extent[kMaxRank + 1], before[kMaxRank + 1], inside[kMaxRank + 1];
  uint64_t element;  ///< repeated to 8 bytes

  void push(int64_t e, int64_t b, int64_t in) {
    if (rank > 0 && e == in) {
      extent[rank - 1] *= e, before[rank - 1] *= e, inside[rank - 1] *= e;
    } else {
      extent[rank] = e, before[rank] = b, inside[rank] = in, ++rank;
    }
  }
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= extent[i];
    return n;
  }
};

template <class Word>
__device__ Word word_of(uint64_t repeated) {
  return static_cast<Word>(repeated);
}
template <>
__device__ uint4 word_of<uint4>(uint64_t repeated) {
  const auto low = static_cast<uint32_t>(repeated), high = static_cast<uint32_t>(repeated >> 32);
  return {low, high, low, high};
}

template <class Word>
__global__ void __launch_bounds__(kThreads)
    pad_kernel(Frame frame, int64_t n, const Word* __restrict__ src, Word* __restrict__ dst) {
  const Word around = word_of<Word>(frame.element);
#pragma unroll 4
  for (int64_t e = first_element(); e < n; e += element_step()) {
    int64_t rest = e, from = 0, stride = 1;
    bool inside = true;
    for (int i = frame.rank - 1; i >= 0; --i) {
      const int64_t next = i > 0 ? quotient(rest, frame.extent[i]) : 0;
      const int64_t at = rest - next * frame.extent[i] - frame.before[i];
      inside = inside && at >= 0 && at < frame.inside[i];
      from += at * stride, stride *= frame.inside[i];
      rest = next;
    }
    dst[e] = inside ? src[from] : around;
  }
}

// What follows runs on the host.

struct MoveParams {
  Box box;
  int bytes;       ///< of an element
  int64_t output;  ///< its place among the arguments
};

/// Makes the box one of the widest words whose size divides runs, strides, bases and addresses; returns a word's bytes.
int widen(Box& box, int bytes, const void* src, const void* dst) {
  const int last = box.rank - 1;
  if (last < 0 || box.src_stride[last] != 1 || box.dst_stride[last] != 1) return bytes;
  int64_t elements = box.extent[last] | box.src_base | box.dst_base;
  for (int i = 0; i < last; ++i) elements |= box.src_stride[i] | box.dst_stride[i];
  const int word = widest_word(static_cast<uint64_t>(elements * bytes) | address(src) | address(dst));
  if (word <= bytes) return bytes;
  const int64_t each = word / bytes;
  box.extent[last] /= each, box.src_base /= each, box.dst_base /= each;
  for (int i = 0; i < last; ++i) box.src_stride[i] /= each, box.dst_stride[i] /= each;
  return word;
}

void run_move(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const MoveParams*>(params);
  const void* src = args[0];
  void* dst = args[p.output];
  if (p.box.cleared > 0) {
    const auto cleared = static_cast<size_t>(p.box.cleared) * static_cast<size_t>(p.bytes);
    if (const auto e = cudaMemsetAsync(dst, 0, cleared, stream_of(ctx)); e != cudaSuccess)
      return ctx.fail(KernelError::device_failure, e);
  }
  Box box = p.box;
  const int bytes = widen(box, p.bytes, src, dst);
  const int64_t n = box.size();
  if (n == 0) return;
  with_word(bytes, [&]<class Word>(Word) {
    move_kernel<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(box, n, static_cast<const Word*>(src),
                                                                static_cast<Word*>(dst));
  });
  check_launch(ctx);
}

struct TransposeParams {
  Box box;
  Plane plane;
  int64_t tiles, output;
};

template <class Word>
void run_transpose(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const TransposeParams*>(params);
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(p.tiles, 1 << 20));
  transpose_kernel<<<blocks, dim3(kTile, kTileRows), 0, stream_of(ctx)>>>(
      p.box, p.plane, p.tiles, static_cast<const Word*>(args[0]), static_cast<Word*>(args[p.output]));
  check_launch(ctx);
}

/// Splits off the plane of the destination's last axis and of the one along which the source is contiguous; false where
/// either is too short for tiles.
bool split_plane(Box& box, Plane& plane) {
  constexpr int64_t kLeast = kTile / 2;
  const int last = box.rank - 1;
  if (last < 1 || box.dst_stride[last] != 1 || box.src_stride[last] <= 1 || box.extent[last] < kLeast) return false;
  int lane = 0;
  while (lane < last && (box.src_stride[lane] != 1 || box.extent[lane] < kLeast)) ++lane;
  if (lane == last) return false;
  plane = {box.extent[last], box.src_stride[last], box.extent[lane], box.dst_stride[lane]};
  Box rest;
  rest.src_base = box.src_base, rest.dst_base = box.dst_base;
  for (int i = 0; i < last; ++i)
    if (i != lane) rest.push(box.extent[i], box.src_stride[i], box.dst_stride[i]);
  box = rest;
  return true;
}

struct PadParams {
  Frame frame;
  int bytes;
  int64_t output;
};

void run_padding(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const PadParams*>(params);
  const void* src = args[0];
  void* dst = args[p.output];
  Frame frame = p.frame;
  const int last = frame.rank - 1;
  const int64_t elements = frame.extent[last] | frame.before[last] | frame.inside[last];
  const int word =
      std::max(p.bytes, widest_word(static_cast<uint64_t>(elements * p.bytes) | address(src) | address(dst)));
  const int64_t each = word / p.bytes;
  frame.extent[last] /= each, frame.before[last] /= each, frame.inside[last] /= each;
  const int64_t n = frame.size();
  if (n == 0) return;
  with_word(word, [&]<class Word>(Word) {
    pad_kernel<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(frame, n, static_cast<const Word*>(src),
                                                               static_cast<Word*>(dst));
  });
  check_launch(ctx);
}

}  // namespace

Prepared prepare_move(const Box& box, const Signature& s) {
  const auto output = static_cast<int64_t>(s.inputs.size());
  const size_t bytes = size_of(s.outputs[0].dtype);
  TransposeParams p{box, {}, 0, output};
  if (box.size() == 0 || box.cleared > 0 || !split_plane(p.box, p.plane))
    return {run_move, MoveParams{box, static_cast<int>(bytes), output}};
  p.tiles = p.box.size() * ceil_div(p.plane.run, kTile) * ceil_div(p.plane.lanes, kTile);
  return {bytes == 1 ? run_transpose<uint8_t> : bytes == 4 ? run_transpose<uint32_t> : run_transpose<uint64_t>, p};
}

Prepared prepare_padding(const int64_t* before, uint64_t element, const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  const size_t bytes = size_of(s.outputs[0].dtype);
  PadParams p{{}, static_cast<int>(bytes), static_cast<int64_t>(s.inputs.size())};
  p.frame.push(1, 0, 1);
  for (int i = 0; i < y.rank(); ++i) p.frame.push(y[i], before[i], x[i]);
  p.frame.element = bytes == 1 ? element * 0x0101010101010101u : bytes == 4 ? element * 0x0000000100000001u : element;
  return {run_padding, p};
}

uint64_t bits_of(const Number& value, DType dtype) {
  uint64_t bits = 0;
  dispatch(dtype, [&]<class T>(T) {
    const T element = value.as<T>();
    std::memcpy(&bits, &element, sizeof element);
  });
  return bits;
}

}  // namespace twofold::cuda
