// Running one kernel on concrete values: what eager execution does for every op, and a session for ops whose shapes no
// plan can know.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/numerics.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// Whether input `i` of so many says where its op runs. A lone `like` does, too.
inline bool says_where(const OpDef& op, size_t i, size_t inputs) {
  return op.reads_on_device(i) || (inputs == 1 && !op.host_inputs);
}

/// Where an op runs, in both modes: on the host if it is the host's alone, else on `wanted`, the device that a guard
/// names (-1: none), else on the first GPU that an input is on. Nothing if all inputs are on the host.
/// `device_of_input(i)` tells of each; `differs(first, other)` is called for inputs on different GPUs.
template <class DeviceOfInput, class Differs>
std::optional<Device> device_of(const OpDef& op, int8_t wanted, size_t inputs, const DeviceOfInput& device_of_input,
                                const Differs& differs) {
  if (op.flags.host_only) return Device{};
  if (wanted >= 0) return Device{wanted};
  std::optional<Device> device;
  for (size_t i = 0; i < inputs; ++i) {
    if (!says_where(op, i, inputs)) continue;
    const Device d = device_of_input(i);
    if (d.is_cpu() || d == device) continue;
    if (device)
      differs(*device, d);
    else
      device = d;
  }
  return device;
}

/// Output dtypes and shapes, visible ones first, by the op's shape rule; checks the number of inputs.
void infer(const OpDef& op, std::span<const TensorSpec> inputs, AttrsView attrs, std::span<const Tensor* const> tensors,
           SmallVector<TensorSpec, 2>& outputs);

/// The kernel made ready for a signature and the switches `numerics`, from a cache that the whole process shares, so
/// that both modes run the same algorithm. Throws Unimplemented if the device has no kernel for the op or the dtypes.
std::shared_ptr<const Prepared> prepare(const OpDef& op, AttrsView attrs, std::span<const TensorSpec> inputs,
                                        std::span<const TensorSpec> outputs, Device device, uint64_t numerics);

/// Computes `op` now. `random_counter` counts earlier executions of a random op. `kernel_time`, if given, is set to
/// what the kernel itself took, without shape rule, preparation and allocation; on a GPU it stays 0, and this thread's
/// ledger gets the device's time. `over[i]`, if there is such and it is defined, is where output i goes: of its dtype
/// and shape, on the op's device. `numerics` are the switches that it is computed by.
void launch(const OpDef& op, Inputs inputs, AttrsView attrs, uint64_t random_counter, Outputs& outputs,
            std::chrono::nanoseconds* kernel_time = nullptr, std::span<const Tensor> over = {},
            uint64_t numerics = internal::numerics_word());

/// Throws what a kernel has reported.
void check_kernel(const OpDef& op, AttrsView attrs, const KernelContext& context);

}  // namespace twofold
