// CUDA kernels of strided slices and of reversal.
#include <twofold/kernels/cuda/move.h>
#include <twofold/kernels/strided_slice/box.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

using namespace moves;

template <Box (*box)(const Signature&)>
Prepared prepare_box(const Signature& s) {
  return cuda::prepare_move(box(s), s);
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_strided_slice();
std::span<const KernelEntry> gpu_kernels_strided_slice() {
  static constexpr KernelEntry kTable[] = {{op_name::StridedSlice, prepare_box<strided_slice_box>},
                                           {op_name::ReverseV2, prepare_box<reverse_box>}};
  return kTable;
}

}  // namespace twofold
