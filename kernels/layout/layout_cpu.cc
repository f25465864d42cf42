// CPU kernels that move elements. Elements are words of 1, 4 or 8 bytes, whatever they mean.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/layout/move_cpu.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

using namespace moves;

template <Box (*box)(const Signature&)>
Prepared prepare_box(const Signature& s) {
  return prepared_move(box(s), s);
}

Prepared prepare_pad(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank], dst[kMaxRank];
  contiguous_strides(x, src);
  contiguous_strides(y, dst);
  Box box = box_of(x, src, dst);
  box.dst_base = x.num_elements() == 0 ? 0 : box_offset(s.attrs_as<PadAttrs>().begin, y, dst);
  if (x != y) box.cleared = y.num_elements();
  return prepared_move(box, s);
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

struct ExtentsParams {
  int count;
  int64_t numbers[kMaxRank];
  int num_inputs;
  int places[kMaxRank];
  bool wide[kMaxRank];  ///< inputs that are int64
};

void extents_kernel(const void* params, void* const* args, KernelContext&) noexcept {
  const auto& p = *static_cast<const ExtentsParams*>(params);
  auto* out = static_cast<int64_t*>(args[p.num_inputs]);
  std::copy_n(p.numbers, p.count, out);
  for (int i = 0; i < p.num_inputs; ++i)
    out[p.places[i]] = p.wide[i] ? *static_cast<const int64_t*>(args[i]) : *static_cast<const int32_t*>(args[i]);
}

Prepared prepare_extents(const Signature& s) {
  const auto& attrs = s.attrs_as<ExtentsAttrs>();
  ExtentsParams p{attrs.numbers.size(), {}, static_cast<int>(s.inputs.size()), {}, {}};
  std::ranges::copy(attrs.numbers, p.numbers);
  for (int i = 0; i < p.num_inputs; ++i) {
    p.places[i] = static_cast<int>(attrs.places[i]);
    p.wide[i] = s.inputs[static_cast<size_t>(i)].dtype == int64;
  }
  return {extents_kernel, p};
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_layout();
std::span<const KernelEntry> cpu_kernels_layout() {
  static constexpr KernelEntry kTable[] = {
      {op_name::Transpose, prepare_box<transpose_box>},
      {op_name::BroadcastTo, prepare_box<broadcast_box>},
      {op_name::BroadcastLike, prepare_box<broadcast_box>},
      {op_name::Slice, prepare_box<slice_box>},
      {op_name::PadLike, prepare_pad},
      {op_name::ConcatV2, prepare_concat},
      {op_name::ConcatPart, prepare_box<concat_part_box>},
      {op_name::Shape, prepare_shape},
      {op_name::Extents, prepare_extents},
      {op_name::ZerosLike, prepare_zeros},
      {op_name::OnesLike, prepare_ones},
  };
  return kTable;
}

}  // namespace twofold
