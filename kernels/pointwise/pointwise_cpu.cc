// The CPU kernel of every pointwise op: tile functions run over the output, inputs broadcast to it.
#include <algorithm>
#include <type_traits>
#include <vector>

#include <twofold/kernels/pointwise/dtype_class.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/pointwise_attrs.h>
#include <twofold/kernels/pointwise/tile_cpu.h>
#include <twofold/kernels/pointwise/view_cpu.h>

namespace twofold {

std::span<const KernelEntry> cpu_kernels_pointwise();
std::span<const TileEntry> cpu_tiles();
Prepared prepare_fused(const Signature& s);

namespace {

constexpr int kMaxInputs = 3;
/// A run of elements at least this long is worth a call of the tile function of its own.
constexpr int64_t kLongRun = 128;

/// Every input has the output's elements in the output's order, or one element.
struct Flat {
  TileFn tile;
  int64_t n;
  uint32_t scalar_mask;
  int inputs;
  uint8_t item[kMaxInputs + 1];  ///< bytes per element, the output's last
};

void run_one_chunk(const void* params, void* const* args, KernelContext&) noexcept {
  const Flat& p = *static_cast<const Flat*>(params);
  p.tile(args, args[p.inputs], p.n, p.scalar_mask);
}

void run_flat(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Flat& p = *static_cast<const Flat*>(params);
  ctx.parallel_for((p.n + kPointwiseChunk - 1) / kPointwiseChunk, [&](int64_t chunk) {
    const int64_t start = chunk * kPointwiseChunk;
    void* moved[kMaxInputs + 1];
    for (int i = 0; i <= p.inputs; ++i)
      moved[i] = static_cast<char*>(args[i]) + (p.scalar_mask >> i & 1 ? 0 : start * p.item[i]);
    p.tile(moved, moved[p.inputs], std::min(kPointwiseChunk, p.n - start), p.scalar_mask);
  });
}

struct Broadcast {
  TileFn tile;
  int64_t n;
  int64_t run;  ///< the shortest run of any input that is neither flat nor scalar; all others are multiples of it
  int inputs;
  uint8_t item[kMaxInputs + 1];
  View views[kMaxInputs];
};

void run_broadcast(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Broadcast& p = *static_cast<const Broadcast*>(params);
  ctx.parallel_for((p.n + kPointwiseChunk - 1) / kPointwiseChunk, [&](int64_t chunk) {
    alignas(64) char room[kMaxInputs][kGatherTile * 8];
    int64_t start = chunk * kPointwiseChunk;
    const int64_t end = std::min(start + kPointwiseChunk, p.n);
    while (start < end) {
      const int64_t wanted = p.run >= kLongRun ? p.run - start % p.run : kGatherTile;
      const int64_t n = std::min(wanted, end - start);
      void* inputs[kMaxInputs];
      uint32_t scalar_mask = 0;
      for (int i = 0; i < p.inputs; ++i) {
        bool one;
        inputs[i] = const_cast<void*>(p.views[i].read(args[i], p.item[i], start, n, room[i], &one));
        scalar_mask |= uint32_t{one} << i;
      }
      p.tile(inputs, static_cast<char*>(args[p.inputs]) + start * p.item[p.inputs], n, scalar_mask);
      start += n;
    }
  });
}

Prepared prepare_tiles(TileFn tile, const Signature& s) {
  if (!tile) return {};
  const Shape& out = s.outputs[0].shape;
  const int inputs = static_cast<int>(s.inputs.size());
  Flat flat{.tile = tile, .n = out.num_elements(), .scalar_mask = 0, .inputs = inputs, .item = {}};
  bool is_flat = true;
  for (int i = 0; i < inputs; ++i) {
    const TensorSpec& in = s.inputs[static_cast<size_t>(i)];
    const int64_t n = in.shape.num_elements();
    flat.item[i] = static_cast<uint8_t>(size_of(in.dtype));
    if (n == flat.n) continue;
    if (n == 1)
      flat.scalar_mask |= 1u << i;
    else
      is_flat = false;
  }
  flat.item[inputs] = static_cast<uint8_t>(size_of(s.outputs[0].dtype));
  if (flat.n == 0) return Prepared([](const void*, void* const*, KernelContext&) noexcept {}, flat);
  if (is_flat) return Prepared(flat.n <= kPointwiseChunk ? run_one_chunk : run_flat, flat);

  Broadcast p{.tile = tile, .n = flat.n, .run = flat.n, .inputs = inputs, .item = {}, .views = {}};
  std::copy(std::begin(flat.item), std::end(flat.item), p.item);
  for (int i = 0; i < inputs; ++i) {
    p.views[i] = View(s.inputs[static_cast<size_t>(i)].shape, out);
    if (!p.views[i].flat() && !p.views[i].scalar()) p.run = std::min(p.run, p.views[i].run());
  }
  return Prepared(run_broadcast, p);
}

// Tile functions by dtype, in the order of DType.
struct Tiles {
  TileFn of[kDTypeCount];
  TileFn operator[](DType t) const { return of[static_cast<int>(t)]; }
};
template <class F, DTypeClass kClass, class T>
constexpr TileFn tile_if_supported() {
  if constexpr (supports(kClass, dtype_of<T>))
    return &tile<F, T>;
  else
    return nullptr;
}
template <class F, DTypeClass kClass>
constexpr Tiles kTiles{{tile_if_supported<F, kClass, float>(), tile_if_supported<F, kClass, double>(),
                        tile_if_supported<F, kClass, int32_t>(), tile_if_supported<F, kClass, int64_t>(),
                        tile_if_supported<F, kClass, uint8_t>(), tile_if_supported<F, kClass, bool>()}};
constexpr Tiles kSelectTiles{
    {&select_tile<4>, &select_tile<8>, &select_tile<4>, &select_tile<8>, &select_tile<1>, &select_tile<1>}};
template <class From>
constexpr Tiles kCastTiles{{&cast_tile<From, float>, &cast_tile<From, double>, &cast_tile<From, int32_t>,
                            &cast_tile<From, int64_t>, &cast_tile<From, uint8_t>, &cast_tile<From, bool>}};

template <class F, DTypeClass kClass>
Prepared prepare_op(const Signature& s) {
  return prepare_tiles(kTiles<F, kClass>[s.inputs[0].dtype], s);
}
Prepared prepare_select(const Signature& s) { return prepare_tiles(kSelectTiles[s.inputs[1].dtype], s); }
Prepared prepare_cast(const Signature& s) {
  const DType to = s.attrs_as<CastAttrs>().to;
  return prepare_tiles(dispatch(s.inputs[0].dtype, [&](auto from) { return kCastTiles<decltype(from)>[to]; }), s);
}

void list(std::vector<TileEntry>& all, OpName op, const Tiles& tiles, DTypeClass c) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = static_cast<DType>(i);
    const bool makes_bool = c == DTypeClass::any || c == DTypeClass::boolean;
    if (tiles[dtype]) all.push_back({op, dtype, makes_bool ? bool_ : dtype, tiles[dtype]});
  }
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_pointwise() {
  static constexpr KernelEntry kEntries[] = {
#define TWOFOLD_UNARY(function, Op, dtypes, ...) {op_name::Op, prepare_op<functor::Op, DTypeClass::dtypes>},
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) {op_name::Op, prepare_op<functor::Op, DTypeClass::dtypes>},
#include <twofold/kernels/pointwise/ops.def>
      {op_name::Select, prepare_select},
      {op_name::IfArrived, prepare_select},
      {op_name::Cast, prepare_cast},
      {op_name::Fused, prepare_fused},
  };
  return kEntries;
}

std::span<const TileEntry> cpu_tiles() {
  static const std::vector<TileEntry> entries = [] {
    std::vector<TileEntry> all;
#define TWOFOLD_UNARY(function, Op, dtypes, ...) \
  list(all, op_name::Op, kTiles<functor::Op, DTypeClass::dtypes>, DTypeClass::dtypes);
#define TWOFOLD_BINARY(function, Op, node, dtypes, ...) \
  list(all, op_name::Op, kTiles<functor::Op, DTypeClass::dtypes>, DTypeClass::dtypes);
#include <twofold/kernels/pointwise/ops.def>
    list(all, op_name::Select, kSelectTiles, DTypeClass::numeric);
    list(all, op_name::IfArrived, kSelectTiles, DTypeClass::numeric);
    for (int from = 0; from < kDTypeCount; ++from) {
      dispatch(static_cast<DType>(from), [&](auto x) {
        using From = decltype(x);
        for (int to = 0; to < kDTypeCount; ++to)
          all.push_back({op_name::Cast, dtype_of<From>, static_cast<DType>(to), kCastTiles<From>.of[to]});
      });
    }
    return all;
  }();
  return entries;
}

TileFn find_cpu_tile(OpKey op, DType dtype, DType to) {
  for (const TileEntry& t : cpu_tiles())
    if (t.dtype == dtype && t.to == to && t.op == op) return t.fn;
  return nullptr;
}

}  // namespace twofold
