// CPU kernels that move elements. Elements are words of 1, 4 or 8 bytes: what they mean is of no matter here.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <Eigen/Core>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/walk.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task moves
constexpr int64_t kTileElements = 4096;   ///< a tile of a transposition, read and written from the first-level cache
constexpr int64_t kTileSide = 64;

/// dst[i...] = src[i...] for all indices of one box, each side with its own strides: slices, broadcasts (source stride
/// 0), transpositions, and pads, where the rest of the destination becomes zero.
struct Move {
  Walk src, dst;  ///< axes outside the innermost (outside the innermost two for a transposition)
  int64_t src_base = 0, dst_base = 0;
  int64_t zero_bytes = 0;                       ///< of the destination, cleared first
  int64_t run = 1, src_step = 1, dst_step = 1;  ///< innermost axis of the destination
  int64_t lanes = 1, lane_step = 0;  ///< transposition: the axis along which the source is contiguous, its dst stride
  int64_t run_tile = 1, lane_tile = 1;
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

void clear(void* dst, int64_t bytes, const KernelContext& ctx) noexcept {
  constexpr int64_t kPiece = kTaskElements * 4;
  ctx.parallel_for(ceil_div(bytes, kPiece), [&](int64_t i) {
    std::memset(static_cast<char*>(dst) + i * kPiece, 0, static_cast<size_t>(std::min(kPiece, bytes - i * kPiece)));
  });
}

template <class Word>
void run_move(const void* params, void* const* args, void* out, KernelContext& ctx) noexcept {
  const Move& m = *static_cast<const Move*>(params);
  const Word* src = static_cast<const Word*>(args[0]) + m.src_base;
  if (m.zero_bytes) clear(out, m.zero_bytes, ctx);
  Word* dst = static_cast<Word*>(out) + m.dst_base;
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

// The output follows the inputs in `args`, of which there are one or two.
template <class Word, int kInputs>
void move_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  run_move<Word>(params, args, args[kInputs], ctx);
}
template <class Word>
void move_part_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  struct Params {
    Move move;
    int64_t inputs;
  };
  run_move<Word>(params, args, args[static_cast<const Params*>(params)->inputs], ctx);
}

Prepared prepared_move(Move m, const Signature& s) {
  const size_t inputs = s.inputs.size(), bytes = size_of(s.outputs[0].dtype);
  const auto pick = [&]<class Word>(Word) {
    return Prepared(inputs == 1 ? move_kernel<Word, 1> : move_kernel<Word, 2>, m);
  };
  return bytes == 1 ? pick(uint8_t{}) : bytes == 4 ? pick(uint32_t{}) : pick(uint64_t{});
}

/// Plans the box of `extents` with these strides: drops axes of extent 1, merges neighbours, and sets apart the
/// innermost axis, for a transposition also the one along which the source is contiguous.
Move plan_move(std::span<const int64_t> extents, const int64_t* src, const int64_t* dst) {
  int n = 0;
  int64_t e[kMaxRank + 1] = {}, a[kMaxRank + 1] = {}, b[kMaxRank + 1] = {};
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == 1) continue;
    if (n > 0 && a[n - 1] == extents[i] * src[i] && b[n - 1] == extents[i] * dst[i]) {
      e[n - 1] *= extents[i], a[n - 1] = src[i], b[n - 1] = dst[i];
    } else {
      e[n] = extents[i], a[n] = src[i], b[n] = dst[i], ++n;
    }
  }
  Move m;
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

void contiguous_strides(const Shape& s, int64_t* strides) {
  int64_t step = 1;
  for (int i = s.rank(); i-- > 0;) {
    strides[i] = step;
    step *= s[i];
  }
}

Prepared prepare_transpose(const Signature& s) {
  const Axes& permutation = s.attrs_as<AxesAttrs>().axes;
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  const int rank = x.rank();
  int64_t in[kMaxRank], src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, in);
  contiguous_strides(y, dst);
  for (int i = 0; i < rank; ++i) {
    const int64_t from = permutation.empty() ? rank - 1 - i : permutation[i];
    src[i] = in[from < 0 ? from + rank : from];
  }
  return prepared_move(plan_move(y.dims(), src, dst), s);
}

Prepared prepare_broadcast(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t in[kMaxRank], src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, in);
  contiguous_strides(y, dst);
  const int lead = y.rank() - x.rank();
  for (int i = 0; i < y.rank(); ++i) src[i] = i < lead || x[i - lead] == 1 ? 0 : in[i - lead];
  return prepared_move(plan_move(y.dims(), src, dst), s);
}

/// Where a box that starts at `begin` lies in a tensor of `shape`.
int64_t box_offset(const Axes& begin, const Shape& shape, const int64_t* strides) {
  int64_t offset = 0;
  for (int i = 0; i < begin.size(); ++i) offset += (begin[i] < 0 ? begin[i] + shape[i] : begin[i]) * strides[i];
  return offset;
}

Prepared prepare_slice(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, src);
  contiguous_strides(y, dst);
  Move m = plan_move(y.dims(), src, dst);
  m.src_base = y.num_elements() == 0 ? 0 : box_offset(s.attrs_as<SliceAttrs>().begin, x, src);
  return prepared_move(m, s);
}

Prepared prepare_pad(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, src);
  contiguous_strides(y, dst);
  Move m = plan_move(x.dims(), src, dst);
  m.dst_base = x.num_elements() == 0 ? 0 : box_offset(s.attrs_as<PadAttrs>().begin, y, dst);
  if (x != y) m.zero_bytes = y.num_elements() * static_cast<int64_t>(size_of(s.outputs[0].dtype));
  return prepared_move(m, s);
}

Prepared prepare_concat_part(const Signature& s) {
  const auto& attrs = s.attrs_as<ConcatPartAttrs>();
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, src);
  contiguous_strides(y, dst);
  const int axis = static_cast<int>(attrs.axis < 0 ? attrs.axis + x.rank() : attrs.axis);
  int64_t offset = 0;
  for (int64_t i = 0; i < attrs.part; ++i) offset += s.inputs[static_cast<size_t>(i) + 1].shape[axis];
  struct {
    Move move;
    int64_t inputs;
  } params{plan_move(y.dims(), src, dst), static_cast<int64_t>(s.inputs.size())};
  params.move.src_base = y.num_elements() == 0 ? 0 : offset * src[axis];
  const size_t bytes = size_of(s.outputs[0].dtype);
  return {bytes == 1   ? move_part_kernel<uint8_t>
          : bytes == 4 ? move_part_kernel<uint32_t>
                       : move_part_kernel<uint64_t>,
          params};
}

/// A concatenation's output in bytes: rows, each made of one piece of every input.
struct ConcatPlan {
  int64_t total = 0, row = 0;
  std::vector<int64_t> begins;  ///< of the pieces within a row, and the row's end
};

void concat_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const ConcatPlan& plan = **static_cast<const ConcatPlan* const*>(params);
  const size_t inputs = plan.begins.size() - 1;
  char* out = static_cast<char*>(args[inputs]);
  constexpr int64_t kPiece = kTaskElements * 4;
  ctx.parallel_for(ceil_div(plan.total, kPiece), [&](int64_t task) {
    int64_t at = task * kPiece;
    const int64_t end = std::min(plan.total, at + kPiece);
    int64_t row = at / plan.row, in_row = at % plan.row;
    auto piece = static_cast<size_t>(std::ranges::upper_bound(plan.begins, in_row) - plan.begins.begin() - 1);
    while (at < end) {
      const int64_t begin = plan.begins[piece], width = plan.begins[piece + 1] - begin;
      const int64_t n = std::min(begin + width - in_row, end - at);
      if (n > 0)
        std::memcpy(out + at, static_cast<const char*>(args[piece]) + row * width + (in_row - begin),
                    static_cast<size_t>(n));
      at += n, in_row += n;
      if (++piece == inputs) piece = 0, in_row = 0, ++row;
    }
  });
}

Prepared prepare_concat(const Signature& s) {
  const Shape& y = s.outputs[0].shape;
  const int64_t given = s.attrs_as<ConcatAttrs>().axis;
  const int axis = static_cast<int>(given < 0 ? given + y.rank() : given);
  int64_t inner = static_cast<int64_t>(size_of(s.outputs[0].dtype));
  for (int i = axis + 1; i < y.rank(); ++i) inner *= y[i];
  auto plan = std::make_shared<ConcatPlan>();
  plan->begins.push_back(0);
  for (const TensorSpec& x : s.inputs) plan->begins.push_back(plan->begins.back() + x.shape[axis] * inner);
  plan->row = plan->begins.back();
  plan->total = y.num_elements() * static_cast<int64_t>(size_of(s.outputs[0].dtype));
  Prepared p(concat_kernel, static_cast<const ConcatPlan*>(plan.get()));
  p.resource = std::move(plan);
  return p;
}

struct FillParams {
  int64_t n;
  uint64_t bits;
};

template <class Word>
void fill_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const FillParams*>(params);
  auto* out = static_cast<Word*>(args[1]);
  ctx.parallel_for(ceil_div(p.n, kTaskElements), [&](int64_t i) {
    std::fill_n(out + i * kTaskElements, std::min(kTaskElements, p.n - i * kTaskElements), static_cast<Word>(p.bits));
  });
}

Prepared prepare_fill(const Signature& s, int value) {
  const TensorSpec& y = s.outputs[0];
  FillParams p{y.shape.num_elements(), 0};
  dispatch(y.dtype, [&]<class T>(T) {
    const T element = static_cast<T>(value);
    std::memcpy(&p.bits, &element, sizeof element);
  });
  const size_t bytes = size_of(y.dtype);
  return {bytes == 1 ? fill_kernel<uint8_t> : bytes == 4 ? fill_kernel<uint32_t> : fill_kernel<uint64_t>, p};
}
Prepared prepare_zeros(const Signature& s) { return prepare_fill(s, 0); }
Prepared prepare_ones(const Signature& s) { return prepare_fill(s, 1); }

struct ShapeParams {
  int rank;
  int32_t extents[kMaxRank];
};

void shape_kernel(const void* params, void* const* args, KernelContext&) noexcept {
  const auto& p = *static_cast<const ShapeParams*>(params);
  std::copy_n(p.extents, p.rank, static_cast<int32_t*>(args[1]));
}

Prepared prepare_shape(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  ShapeParams p{x.rank(), {}};
  for (int i = 0; i < x.rank(); ++i) p.extents[i] = static_cast<int32_t>(x[i]);
  return {shape_kernel, p};
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_layout();
std::span<const KernelEntry> cpu_kernels_layout() {
  static constexpr KernelEntry kTable[] = {
      {"Transpose", prepare_transpose},
      {"BroadcastTo", prepare_broadcast},
      {"BroadcastLike", prepare_broadcast},
      {"Slice", prepare_slice},
      {"PadLike", prepare_pad},
      {"ConcatV2", prepare_concat},
      {"ConcatPart", prepare_concat_part},
      {"Shape", prepare_shape},
      {"ZerosLike", prepare_zeros},
      {"OnesLike", prepare_ones},
  };
  return kTable;
}

}  // namespace twofold
