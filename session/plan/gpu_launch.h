// What a kernel on a GPU touches beside the memory of its arguments, and how much of that.
#pragma once

#include <span>

#include <twofold/lib/core/small_vector.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/runtime/device.h>

namespace twofold {

struct GpuLaunch {
  GpuLaunch() = default;
  GpuLaunch(const OpDef& op, Device device, std::span<const TensorSpec> inputs, std::span<const TensorSpec> outputs,
            size_t workspace_bytes);

  Device device;  ///< the CPU: none
  size_t num_inputs = 0;
  SmallVector<size_t, 4> arg_bytes;  ///< of inputs, then outputs
  bool reports_errors = false;       ///< writes the word for late errors
  bool reads_errors = false;         ///< looks at it, since it updates state
  size_t workspace_bytes = 0;
  size_t workspace = 0;  ///< offset in the room for workspaces
};

/// Alignment of workspaces.
constexpr size_t kGpuAlignment = 256;
constexpr size_t gpu_aligned(size_t bytes) { return (bytes + kGpuAlignment - 1) / kGpuAlignment * kGpuAlignment; }

/// Gives the kernels on `device` workspaces in turn, over and over, in `room` bytes, of which as many are used as is
/// returned: the larger the room, the more of them may run side by side. It is at least that of the largest.
size_t place_workspaces(std::span<GpuLaunch> kernels, Device device, size_t room);

}  // namespace twofold
