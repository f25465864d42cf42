// CPU kernels that move elements. Elements are words of 1, 4 or 8 bytes: what they mean is of no matter here.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/move_cpu.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {
namespace {

using namespace moves;

template <class Word>
void move_part_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  struct Params {
    Move move;
    int64_t inputs;
  };
  run_move<Word>(params, args, args[static_cast<const Params*>(params)->inputs], ctx);
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
