// CPU kernels of strided slices, of their adjoint, and of reversal: boxes that are moved with strides of either sign.
#include <twofold/kernels/layout/move_cpu.h>
#include <twofold/kernels/strided_slice/strided_slice.h>
#include <twofold/lib/op/kernel.h>

namespace twofold {
namespace {

using namespace moves;

/// Strides of what attrs take of a tensor of shape `whole`; returns where the first element lies.
int64_t taken_strides(const StridedSliceAttrs& attrs, const Shape& whole, int64_t* strides) {
  int64_t offset = 0;
  contiguous_strides(whole, strides);
  for (int i = 0; i < whole.rank(); ++i) {
    const StridedRange range(attrs, i, whole[i]);
    offset += range.first * strides[i];
    strides[i] *= range.count > 1 ? range.step : 1;  // a step that is never made may be beyond all bounds
  }
  return offset;
}

Prepared prepare_strided_slice(const Signature& s) {
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  int64_t src[kMaxRank] = {}, dst[kMaxRank] = {};
  const int64_t base = taken_strides(s.attrs_as<StridedSliceAttrs>(), x, src);
  contiguous_strides(y, dst);
  Move m = plan_move(y.dims(), src, dst);
  m.src_base = y.num_elements() == 0 ? 0 : base;
  return prepared_move(m, s);
}

Prepared prepare_strided_slice_grad(const Signature& s) {
  const Shape &dy = s.inputs[0].shape, &dx = s.outputs[0].shape;
  int64_t src[kMaxRank] = {}, dst[kMaxRank] = {};
  contiguous_strides(dy, src);
  const int64_t base = taken_strides(s.attrs_as<StridedSliceAttrs>(), dx, dst);
  Move m = plan_move(dy.dims(), src, dst);
  m.dst_base = dy.num_elements() == 0 ? 0 : base;
  if (dx != dy) m.zero_bytes = dx.num_elements() * static_cast<int64_t>(size_of(s.outputs[0].dtype));
  return prepared_move(m, s);
}

Prepared prepare_reverse(const Signature& s) {
  const Shape& x = s.inputs[0].shape;
  int64_t src[kMaxRank] = {}, dst[kMaxRank] = {}, base = 0;
  contiguous_strides(x, src);
  contiguous_strides(x, dst);
  for (int64_t axis : s.attrs_as<ReverseAttrs>().axes) {
    const auto i = static_cast<int>(axis < 0 ? axis + x.rank() : axis);
    base += (x[i] - 1) * src[i];
    src[i] = -src[i];
  }
  Move m = plan_move(x.dims(), src, dst);
  m.src_base = x.num_elements() == 0 ? 0 : base;
  return prepared_move(m, s);
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_strided_slice();
std::span<const KernelEntry> cpu_kernels_strided_slice() {
  static constexpr KernelEntry kTable[] = {{"StridedSlice", prepare_strided_slice},
                                           {"StridedSliceGrad", prepare_strided_slice_grad},
                                           {"ReverseV2", prepare_reverse}};
  return kTable;
}

}  // namespace twofold
