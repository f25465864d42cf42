// Moving a box of elements, each side with its own strides: for kernels/*/*_cpu.cc only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <Eigen/Core>

#include <twofold/kernels/layout/box.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold::moves {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task moves
constexpr int64_t kTileElements = 4096;   ///< a tile of a transposition, read and written from the first-level cache
constexpr int64_t kTileSide = 64;

/// A box made ready: slices, broadcasts (source stride 0), transpositions, and pads, where the rest of the destination
/// becomes zero.
struct Move {
  Walk src, dst;  ///< axes outside the innermost (outside the innermost two for a transposition)
  int64_t src_base = 0, dst_base = 0;
  int64_t cleared = 0;                          ///< elements of the destination
  int64_t run = 1, src_step = 1, dst_step = 1;  ///< innermost axis of the destination
  int64_t lanes = 1, lane_step = 0;  ///< transposition: the axis along which the source is contiguous, its dst stride
  int64_t run_tile = 1, lane_tile = 1;
  int64_t output = 1;  ///< its place among the arguments
};

template <class F>
void copy_word_run(F* dst, int64_t dst_step, const F* src, int64_t src_step, int64_t n) noexcept {
  if (dst_step != 1) {
    for (int64_t i = 0; i < n; ++i) dst[i * dst_step] = src[i * src_step];
  } else if (src_step == 1) {
    if (n > 16)
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(F));
    else
      for (int64_t i = 0; i < n; ++i) dst[i] = src[i];
  } else if (src_step == 0) {
    std::fill_n(dst, n, *src);
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * src_step];
  }
}

// How many words of a size one register holds, and how a square of them is transposed there.
template <class Word>
struct Square {
  static constexpr int64_t kSide = 1;
};
template <class Word, class Scalar>
struct PacketSquare {
  using Packet = typename Eigen::internal::packet_traits<Scalar>::type;
  static constexpr int64_t kSide = Eigen::internal::packet_traits<Scalar>::size;
  static void move(const Word* src, int64_t src_step, Word* dst, int64_t dst_step) noexcept {
    Eigen::internal::PacketBlock<Packet, kSide> block;
    for (int64_t k = 0; k < kSide; ++k)
      block.packet[k] = Eigen::internal::ploadu<Packet>(reinterpret_cast<const Scalar*>(src + k * src_step));
    Eigen::internal::ptranspose(block);
    for (int64_t k = 0; k < kSide; ++k)
      Eigen::internal::pstoreu(reinterpret_cast<Scalar*>(dst + k * dst_step), block.packet[k]);
  }
};
template <>
struct Square<uint8_t> : PacketSquare<uint8_t, bool> {};
template <>
struct Square<uint32_t> : PacketSquare<uint32_t, float> {};
template <>
struct Square<uint64_t> : PacketSquare<uint64_t, double> {};

/// dst[lane * lane_step + j] = src[j * src_step + lane]
template <class Word>
void transpose_tile(const Word* src, int64_t src_step, Word* dst, int64_t lane_step, int64_t lanes,
                    int64_t n) noexcept {
  constexpr int64_t kSide = Square<Word>::kSide;
  int64_t lane = 0;
  if constexpr (kSide > 1) {
    for (; lane + kSide <= lanes; lane += kSide) {
      int64_t j = 0;
      for (; j + kSide <= n; j += kSide)
        Square<Word>::move(src + j * src_step + lane, src_step, dst + lane * lane_step + j, lane_step);
      for (; j < n; ++j)
        for (int64_t k = lane; k < lane + kSide; ++k) dst[k * lane_step + j] = src[j * src_step + k];
    }
  }
  for (; lane < lanes; ++lane)
    for (int64_t j = 0; j < n; ++j) dst[lane * lane_step + j] = src[j * src_step + lane];
}

inline void clear(void* dst, int64_t bytes, const KernelContext& ctx) noexcept {
  constexpr int64_t kPiece = kTaskElements * 4;
  ctx.parallel_for(ceil_div(bytes, kPiece), [&](int64_t i) {
    std::memset(static_cast<char*>(dst) + i * kPiece, 0, static_cast<size_t>(std::min(kPiece, bytes - i * kPiece)));
  });
}

template <class Word>
void move_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Move& m = *static_cast<const Move*>(params);
  const Word* src = static_cast<const Word*>(args[0]) + m.src_base;
  Word* out = static_cast<Word*>(args[m.output]);
  if (m.cleared) clear(out, m.cleared * static_cast<int64_t>(sizeof(Word)), ctx);
  Word* dst = out + m.dst_base;
  const int64_t run_tiles = ceil_div(m.run, m.run_tile), tiles = run_tiles * ceil_div(m.lanes, m.lane_tile);
  const int64_t units = m.src.size() * tiles;
  const int64_t group = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, m.run_tile * m.lane_tile));
  ctx.parallel_for(ceil_div(units, group), [&](int64_t task) {
    const int64_t first = task * group, last = std::min(units, first + group);
    Cursor from(m.src, first / tiles), to(m.dst, first / tiles);
    int64_t tile = first % tiles;
    for (int64_t u = first; u < last; ++u) {
      const int64_t lane = tile / run_tiles * m.lane_tile, j = tile % run_tiles * m.run_tile;
      const int64_t n = std::min(m.run_tile, m.run - j);
      if (m.lanes > 1)
        transpose_tile(src + from.offset() + j * m.src_step + lane, m.src_step,
                       dst + to.offset() + lane * m.lane_step + j, m.lane_step, std::min(m.lane_tile, m.lanes - lane),
                       n);
      else
        copy_word_run(dst + to.offset() + j * m.dst_step, m.dst_step, src + from.offset() + j * m.src_step, m.src_step,
                      n);
      if (++tile == tiles) {
        tile = 0;
        from.next(), to.next();
      }
    }
  });
}

/// Sets apart the box's innermost axis, for a transposition also the one along which the source is contiguous.
inline Move plan_move(const Box& box) {
  const int64_t *e = box.extent, *a = box.src_stride, *b = box.dst_stride;
  int n = box.rank;
  Move m;
  m.src_base = box.src_base, m.dst_base = box.dst_base, m.cleared = box.cleared;
  int lane = -1;
  if (n > 0) {
    --n;
    m.run = e[n], m.src_step = a[n], m.dst_step = b[n];
    for (int i = 0; i < n && m.src_step > 1 && m.dst_step == 1; ++i)
      if (a[i] == 1) lane = i;
  }
  for (int i = 0; i < n; ++i) {
    if (i == lane) {
      m.lanes = e[i], m.lane_step = b[i];
    } else {
      m.src.push(e[i], a[i]);
      m.dst.push(e[i], b[i]);
    }
  }
  if (m.lanes > 1) {
    m.lane_tile = std::min(m.lanes, kTileSide);
    m.run_tile = std::max<int64_t>(1, std::min(m.run, kTileElements / m.lane_tile));
    m.lane_tile = std::min(m.lanes, kTileElements / m.run_tile);
  } else {
    m.run_tile = std::max<int64_t>(1, std::min(m.run, kTaskElements));
  }
  return m;
}

inline Prepared prepared_move(const Box& box, const Signature& s) {
  Move m = plan_move(box);
  m.output = static_cast<int64_t>(s.inputs.size());
  switch (size_of(s.outputs[0].dtype)) {
    case 1: return {move_kernel<uint8_t>, m};
    case 4: return {move_kernel<uint32_t>, m};
    default: return {move_kernel<uint64_t>, m};
  }
}

}  // namespace twofold::moves
