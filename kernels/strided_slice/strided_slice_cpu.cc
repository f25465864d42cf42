// CPU kernels of strided slices and of reversal.
#include <twofold/kernels/layout/move_cpu.h>
#include <twofold/kernels/strided_slice/box.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

using namespace moves;

template <Box (*box)(const Signature&)>
Prepared prepare_box(const Signature& s) {
  return prepared_move(box(s), s);
}

}  // namespace

std::span<const KernelEntry> cpu_kernels_strided_slice();
std::span<const KernelEntry> cpu_kernels_strided_slice() {
  static constexpr KernelEntry kTable[] = {{op_name::StridedSlice, prepare_box<strided_slice_box>},
                                           {op_name::ReverseV2, prepare_box<reverse_box>}};
  return kTable;
}

}  // namespace twofold
