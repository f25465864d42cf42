#include <twofold/session/plan/gpu_launch.h>

#include <algorithm>

namespace twofold {

GpuLaunch::GpuLaunch(const OpDef& op, Device device, std::span<const TensorSpec> inputs,
                     std::span<const TensorSpec> outputs, size_t workspace_bytes)
    : device(device),
      num_inputs(inputs.size()),
      reports_errors(op.flags.can_fail),
      reads_errors(std::ranges::any_of(op.in_place, [](int8_t input) { return input >= 0; })),
      workspace_bytes(workspace_bytes) {
  for (const auto& specs : {inputs, outputs})
    for (const TensorSpec& s : specs)
      arg_bytes.push_back(static_cast<size_t>(s.shape.num_elements()) * size_of(s.dtype));
}

size_t place_workspaces(std::span<GpuLaunch> kernels, Device device, size_t room) {
  size_t used = 0, most = 0;
  for (GpuLaunch& s : kernels) {
    if (s.device != device) continue;
    const size_t bytes = gpu_aligned(s.workspace_bytes);
    if (used + bytes > room) used = 0;
    s.workspace = used;
    used += bytes;
    most = std::max(most, used);
  }
  return most;
}

}  // namespace twofold
