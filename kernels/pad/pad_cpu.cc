// CPU padding with a constant. Elements are words of 1, 4 or 8 bytes.
#include <algorithm>
#include <cstring>

#include <twofold/kernels/layout/walk.h>
#include <twofold/kernels/pad/pad.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

constexpr int64_t kTaskElements = 32768;  ///< about how much one task writes

/// The output in rows: the last axis that is padded and all behind it make one.
struct Params {
  int rank = 0;  ///< of the axes before the rows
  int64_t extent[kMaxRank], before[kMaxRank], inside[kMaxRank];
  int64_t row = 1, row_before = 0, row_inside = 1;
  int64_t rows = 1;
  uint64_t value = 0;  ///< its bits
};

template <class Word>
void pad_kernel(const void* params, void* const* args, KernelContext& ctx) noexcept {
  const auto& p = *static_cast<const Params*>(params);
  const auto* x = static_cast<const Word*>(args[0]);
  auto* y = static_cast<Word*>(args[1]);
  const Word value = static_cast<Word>(p.value);
  const int64_t group = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, p.row));
  ctx.parallel_for(ceil_div(p.rows, group), [&](int64_t task) {
    for (int64_t r = task * group; r < std::min(p.rows, (task + 1) * group); ++r) {
      int64_t rest = r, from = 0, stride = 1;  // the row's number in x
      bool inside = true;
      for (int i = p.rank; i-- > 0; rest /= p.extent[i]) {
        const int64_t at = rest % p.extent[i] - p.before[i];
        inside = inside && at >= 0 && at < p.inside[i];
        from += at * stride, stride *= p.inside[i];
      }
      Word* to = y + r * p.row;
      if (!inside) {
        std::fill_n(to, p.row, value);
        continue;
      }
      to = std::fill_n(to, p.row_before, value);
      if (p.row_inside > 0) std::memcpy(to, x + from * p.row_inside, static_cast<size_t>(p.row_inside) * sizeof(Word));
      std::fill_n(to + p.row_inside, p.row - p.row_before - p.row_inside, value);
    }
  });
}

Prepared prepare_pad(const Signature& s) {
  const auto& attrs = s.attrs_as<PadConstantAttrs>();
  const Shape &x = s.inputs[0].shape, &y = s.outputs[0].shape;
  Params p;
  int last = x.rank() - 1;
  for (; last >= 0; --last) {
    p.row_before = attrs.before[last] * p.row;
    p.row *= y[last], p.row_inside *= x[last];
    if (x[last] != y[last]) break;
  }
  for (int i = 0; i < last; ++i, ++p.rank) {
    p.extent[i] = y[i], p.before[i] = attrs.before[i], p.inside[i] = x[i];
    p.rows *= y[i];
  }
  if (y.num_elements() == 0) p.rows = 0;
  dispatch(s.outputs[0].dtype, [&]<class T>(T) {
    const T element = attrs.value.as<T>();
    std::memcpy(&p.value, &element, sizeof element);
  });
  switch (size_of(s.outputs[0].dtype)) {
    case 1: return {pad_kernel<uint8_t>, p};
    case 4: return {pad_kernel<uint32_t>, p};
    default: return {pad_kernel<uint64_t>, p};
  }
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_pad();
std::span<const KernelEntry> cpu_kernels_pad() {
  static constexpr KernelEntry kTable[] = {{op_name::Pad, prepare_pad}};
  return kTable;
}

}  // namespace twofold
