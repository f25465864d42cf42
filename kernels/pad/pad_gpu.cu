// CUDA padding with a constant.
#include <twofold/kernels/cuda/move.h>
#include <twofold/kernels/pad/pad.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {
namespace {

Prepared prepare_pad(const Signature& s) {
  const auto& attrs = s.attrs_as<PadConstantAttrs>();
  return cuda::prepare_padding(attrs.before.begin(), cuda::bits_of(attrs.value, s.outputs[0].dtype), s);
}

}  // namespace

std::span<const KernelEntry> gpu_kernels_pad();
std::span<const KernelEntry> gpu_kernels_pad() {
  static constexpr KernelEntry kTable[] = {{op_name::Pad, prepare_pad}};
  return kTable;
}

}  // namespace twofold
