// The fused group's kernel: an interpreter of tile functions over tiles that fit the first-level cache.
#include <algorithm>
#include <memory>
#include <vector>

#include <twofold/kernels/pointwise/fused.h>
#include <twofold/kernels/pointwise/tile_cpu.h>
#include <twofold/kernels/pointwise/view_cpu.h>

namespace twofold {

Prepared prepare_fused(const Signature& s);

namespace {

/// Room for the values of one tile that are neither inputs in place nor outputs. Half of it is what a tile may fill if
/// it is to stay in the cache; groups that need much room get the other half.
constexpr int64_t kRoom = 64 * 1024;
constexpr int64_t kLargestTile = 512, kSmallestTile = 64;
/// Groups that touch more bytes than this read from memory: while one tile is worked on, the next one is prefetched.
constexpr int64_t kFetchAhead = 4 << 20;

struct Input {
  View view;
  size_t item;
  int64_t place;  ///< where in the room it is gathered, in bytes per element of the tile; -1: never
};

/// One fused op.
struct TileCall {
  TileFn tile;
  int16_t in[3];   ///< operands among the values: inputs, then results of calls
  int16_t inputs;  ///< how many
  int16_t output;  ///< the group's output that it is, or -1
  size_t item;
  int64_t place;  ///< where in the room its result goes, in bytes per element of the tile; -1: to an output
};

/// An argument that is walked through in order.
struct Stream {
  size_t arg;
  int64_t item;
  bool written;
};

struct Group {
  int64_t n = 0, tile = 0;
  std::vector<Stream> streams;  ///< to prefetch; empty for small groups
  std::vector<Input> inputs;
  std::vector<TileCall> calls;
};

// Values per tile kept on the stack: more are not fused.
constexpr size_t kMaxValues = 256;

/// Prefetches part `i` of the tile that begins at `start`: it has as many parts as there are calls.
TWOFOLD_INLINE void fetch_ahead(const Group& p, void* const* args, int64_t start, size_t i) {
  constexpr int64_t kLine = 64;
  const int64_t parts = static_cast<int64_t>(p.calls.size()), part = static_cast<int64_t>(i);
  const int64_t n = std::min(p.tile, p.n - start);
  for (const Stream& s : p.streams) {
    const char* next = static_cast<const char*>(args[s.arg]) + start * s.item;
    const int64_t bytes = n * s.item, end = bytes * (part + 1) / parts;
    int64_t at = bytes * part / parts / kLine * kLine;
    if (s.written) {
      for (; at < end; at += kLine) __builtin_prefetch(next + at, 1);
    } else {
      for (; at < end; at += kLine) __builtin_prefetch(next + at, 0);
    }
  }
}

void run_fused(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const Group& p = **static_cast<const Group* const*>(params);
  const size_t num_inputs = p.inputs.size();
  const int64_t chunk_size = kPointwiseChunk / p.tile * p.tile;
  ctx.parallel_for((p.n + chunk_size - 1) / chunk_size, [&](int64_t chunk) {
    alignas(64) char room[kRoom];
    void* values[kMaxValues];
    bool one[kMaxValues];
    for (size_t i = 0; i < p.calls.size(); ++i) one[num_inputs + i] = false;
    const int64_t end = std::min((chunk + 1) * chunk_size, p.n);
    for (int64_t start = chunk * chunk_size; start < end; start += p.tile) {
      const int64_t n = std::min(p.tile, end - start);
      for (size_t i = 0; i < num_inputs; ++i) {
        const Input& in = p.inputs[i];
        values[i] = const_cast<void*>(
            in.view.read(args[i], in.item, start, n, room + std::max<int64_t>(in.place, 0) * p.tile, &one[i]));
      }
      for (size_t i = 0; i < p.calls.size(); ++i) {
        const TileCall& call = p.calls[i];
        void* inputs[3];
        uint32_t scalar_mask = 0;
        for (int k = 0; k < call.inputs; ++k) {
          const size_t value = static_cast<size_t>(call.in[k]);
          inputs[k] = values[value];
          scalar_mask |= uint32_t{one[value]} << k;
        }
        void* result = call.output < 0 ? room + call.place * p.tile
                                       : static_cast<char*>(args[num_inputs + static_cast<size_t>(call.output)]) +
                                             start * static_cast<int64_t>(call.item);
        if (!p.streams.empty() && start + n < p.n) fetch_ahead(p, args, start + n, i);
        call.tile(inputs, result, n, scalar_mask);
        values[num_inputs + i] = result;
      }
    }
  });
}

/// Hands out places in the room, each 8 bytes per element of the tile, and takes them back.
class Places {
 public:
  int64_t take() {
    if (free_.empty()) return width_ += 8, width_ - 8;
    const int64_t place = free_.back();
    free_.pop_back();
    return place;
  }
  void give_back(int64_t place) { free_.push_back(place); }
  int64_t width() const { return width_; }

 private:
  std::vector<int64_t> free_;
  int64_t width_ = 0;
};

}  // namespace

Prepared prepare_fused(const Signature& s) {
  const FusedAttrs& attrs = s.attrs_as<FusedAttrs>();
  const size_t num_inputs = s.inputs.size(), num_values = num_inputs + attrs.ops.size();
  if (s.outputs.empty() || s.outputs.size() != attrs.results.size() || num_values > kMaxValues) return {};
  auto group = std::make_shared<Group>();
  const Shape& shape = s.outputs[0].shape;
  group->n = shape.num_elements();

  Places places;
  for (const TensorSpec& in : s.inputs) {
    const View view(in.shape, shape);
    group->inputs.push_back({view, size_of(in.dtype), view.flat() || view.scalar() ? -1 : places.take()});
  }
  std::vector<size_t> last_use(num_values, 0);
  for (size_t i = 0; i < attrs.ops.size(); ++i) {
    const FusedOp& from = attrs.ops[i];
    TileCall call{.tile = find_cpu_tile(from.op, from.dtype, from.to),
                  .in = {},
                  .inputs = 0,
                  .output = -1,
                  .item = size_of(from.to),
                  .place = -1};
    if (!call.tile) return {};
    for (int16_t in : from.in) {
      if (in < 0) break;
      if (static_cast<size_t>(in) >= num_inputs + i) return {};
      call.in[call.inputs++] = in;
      last_use[static_cast<size_t>(in)] = i;
    }
    group->calls.push_back(call);
  }
  for (size_t i = 0; i < attrs.results.size(); ++i) {
    const size_t result = static_cast<size_t>(attrs.results[i]);
    if (result >= group->calls.size() || group->calls[result].output >= 0) return {};
    group->calls[result].output = static_cast<int16_t>(i);
  }
  for (size_t i = 0; i < group->calls.size(); ++i) {
    TileCall& call = group->calls[i];
    // A result may take the place of an operand of its own width that nothing reads later; the places of operands of
    // other widths are given back only once the result has its own.
    const auto end_operands = [&](bool same_width) {
      for (int k = 0; k < call.inputs; ++k) {
        const size_t value = static_cast<size_t>(call.in[k]);
        const bool again = std::find(call.in, call.in + k, call.in[k]) != call.in + k;
        if (value < num_inputs || last_use[value] != i || again) continue;
        const TileCall& operand = group->calls[value - num_inputs];
        if (operand.output < 0 && (operand.item == call.item) == same_width) places.give_back(operand.place);
      }
    };
    end_operands(true);
    if (call.output < 0) call.place = places.take();
    end_operands(false);
    if (call.output < 0 && last_use[num_inputs + i] == 0) places.give_back(call.place);  // nobody reads it
  }

  // The largest tile whose values take half of the room; the smallest one where that takes more.
  const int64_t width = std::max<int64_t>(places.width(), 8);
  group->tile = std::clamp(kRoom / 2 / width / kSmallestTile * kSmallestTile, kSmallestTile, kLargestTile);
  if (width * group->tile > kRoom) return {};
  for (size_t i = 0; i < num_inputs; ++i)
    if (group->inputs[i].view.flat()) group->streams.push_back({i, static_cast<int64_t>(group->inputs[i].item), false});
  for (size_t i = 0; i < s.outputs.size(); ++i)
    group->streams.push_back({num_inputs + i, static_cast<int64_t>(size_of(s.outputs[i].dtype)), true});
  int64_t bytes = 0;
  for (const Stream& stream : group->streams) bytes += group->n * stream.item;
  if (bytes < kFetchAhead) group->streams.clear();

  const Group* p = group.get();
  Prepared prepared(run_fused, p);
  prepared.resource = std::move(group);
  return prepared;
}

}  // namespace twofold
