// CUDA kernels that move elements, and those that fill.
#include <cuda_runtime.h>

#include <algorithm>
#include <memory>
#include <vector>

#include <twofold/kernels/cuda/move.h>
#include <twofold/kernels/cuda/words.h>
#include <twofold/kernels/layout/box.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

std::span<const KernelEntry> gpu_kernels_layout();

namespace {

using namespace cuda;
using namespace moves;

template <Box (*box)(const Signature&)>
Prepared prepare_box(const Signature& s) {
  return prepare_move(box(s), s);
}

Prepared prepare_pad_like(const Signature& s) {
  const Axes& begin = s.attrs_as<PadAttrs>().begin;
  const Shape& y = s.outputs[0].shape;
  int64_t before[kMaxRank] = {};
  for (int i = 0; i < begin.size(); ++i) before[i] = begin[i] < 0 ? begin[i] + y[i] : begin[i];
  return prepare_padding(before, 0, s);
}

constexpr int kPieces = 64;  ///< most inputs of a concatenation in one launch; others follow

/// Neighbouring inputs of a concatenation, whose pieces are the part of every row of the output that begins at `first`.
struct Pieces {
  int count = 0;
  int64_t row = 0, first = 0;
  const void* src[kPieces];
  int64_t end[kPieces];  ///< of each piece, from the first one's begin
};

template <class Word>
__global__ void __launch_bounds__(kThreads) concat_kernel(Pieces p, int64_t n, Word* __restrict__ dst) {
  const int64_t width = p.end[p.count - 1];
#pragma unroll 4
  for (int64_t e = first_element(); e < n; e += element_step()) {
    const int64_t row = quotient(e, width), at = e - row * width;
    int low = 0, high = p.count - 1;  // the piece is the first whose end is behind `at`
    while (low < high) {
      const int middle = (low + high) / 2;
      if (p.end[middle] > at)
        high = middle;
      else
        low = middle + 1;
    }
    const int64_t begin = low == 0 ? 0 : p.end[low - 1];
    dst[row * p.row + p.first + at] = static_cast<const Word*>(p.src[low])[row * (p.end[low] - begin) + at - begin];
  }
}

/// In bytes: rows, each made of one piece of every input.
struct ConcatPlan {
  int64_t rows = 0, row = 0;
  std::vector<int64_t> begins;  ///< of the pieces within a row, and the row's end
};

void run_concat(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const ConcatPlan& plan = **static_cast<const ConcatPlan* const*>(params);
  const size_t inputs = plan.begins.size() - 1;
  void* dst = args[inputs];
  for (size_t first = 0; first < inputs; first += kPieces) {
    Pieces p;
    p.row = plan.row, p.first = plan.begins[first];
    uint64_t bits = address(dst) | static_cast<uint64_t>(p.row | p.first);
    for (size_t i = first; i < std::min(inputs, first + kPieces); ++i) {
      if (plan.begins[i] == plan.begins[i + 1]) continue;
      p.src[p.count] = args[i], p.end[p.count] = plan.begins[i + 1] - p.first;
      bits |= address(args[i]) | static_cast<uint64_t>(p.end[p.count]);
      ++p.count;
    }
    if (p.count == 0 || plan.rows == 0) continue;
    const int word = widest_word(bits);
    p.row /= word, p.first /= word;
    for (int i = 0; i < p.count; ++i) p.end[i] /= word;
    const int64_t n = plan.rows * p.end[p.count - 1];
    with_word(word, [&]<class Word>(Word) {
      concat_kernel<<<blocks_for(n), kThreads, 0, stream_of(ctx)>>>(p, n, static_cast<Word*>(dst));
    });
  }
  check_launch(ctx);
}

Prepared prepare_concat(const Signature& s) {
  const Shape& y = s.outputs[0].shape;
  const int64_t given = s.attrs_as<ConcatAttrs>().axis;
  const int axis = static_cast<int>(given < 0 ? given + y.rank() : given);
  auto plan = std::make_shared<ConcatPlan>();
  int64_t inner = static_cast<int64_t>(size_of(s.outputs[0].dtype));
  for (int i = axis + 1; i < y.rank(); ++i) inner *= y[i];
  plan->begins.push_back(0);
  for (const TensorSpec& x : s.inputs) plan->begins.push_back(plan->begins.back() + x.shape[axis] * inner);
  plan->row = plan->begins.back();
  plan->rows = 1;
  for (int i = 0; i < axis; ++i) plan->rows *= y[i];
  Prepared p(run_concat, static_cast<const ConcatPlan*>(plan.get()));
  p.resource = std::move(plan);
  return p;
}

struct FillParams {
  int64_t n;
  int bytes;  ///< of an element
  uint64_t element;
};

template <class Word>
__global__ void __launch_bounds__(kThreads) fill_kernel(int64_t n, Word element, Word* y) {
  for (int64_t i = first_element(); i < n; i += element_step()) y[i] = element;
}

void run_fill(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const FillParams*>(params);
  if (p.n == 0) return;
  if (p.element == 0 || p.bytes == 1) {
    const auto bytes = static_cast<size_t>(p.n) * static_cast<size_t>(p.bytes);
    if (const auto e = cudaMemsetAsync(args[1], static_cast<int>(p.element), bytes, stream_of(ctx)); e != cudaSuccess)
      ctx.fail(KernelError::device_failure, e);
    return;
  }
  const auto fill = [&]<class Word>(Word element) {
    fill_kernel<<<blocks_for(p.n), kThreads, 0, stream_of(ctx)>>>(p.n, element, static_cast<Word*>(args[1]));
  };
  if (p.bytes == 4)
    fill(static_cast<uint32_t>(p.element));
  else
    fill(p.element);
  check_launch(ctx);
}

template <int kValue>
Prepared prepare_fill(const Signature& s) {
  const TensorSpec& y = s.outputs[0];
  return {run_fill, FillParams{y.shape.num_elements(), static_cast<int>(size_of(y.dtype)), bits_of(kValue, y.dtype)}};
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_layout() {
  static constexpr KernelEntry kTable[] = {
      {op_name::Transpose, prepare_box<transpose_box>},
      {op_name::BroadcastTo, prepare_box<broadcast_box>},
      {op_name::BroadcastLike, prepare_box<broadcast_box>},
      {op_name::Slice, prepare_box<slice_box>},
      {op_name::PadLike, prepare_pad_like},
      {op_name::ConcatV2, prepare_concat},
      {op_name::ConcatPart, prepare_box<concat_part_box>},
      {op_name::ZerosLike, prepare_fill<0>},
      {op_name::OnesLike, prepare_fill<1>},
  };
  return kTable;
}

}  // namespace twofold
