// Running one kernel on concrete values: what eager execution does for every op, and a session for ops whose shapes no
// plan can know.
#pragma once

#include <chrono>
#include <memory>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/value.h>

namespace twofold {

/// Output dtypes and shapes, visible ones first, by the op's shape rule; checks the number of inputs.
void infer(const OpDef& op, std::span<const TensorSpec> inputs, AttrsView attrs, std::span<const Tensor* const> tensors,
           SmallVector<TensorSpec, 2>& outputs);

/// The kernel made ready for a signature, from a cache that the whole process shares, so that both modes run the same
/// algorithm. Throws Unimplemented if the device has no kernel for the op or the dtypes.
std::shared_ptr<const Prepared> prepare(const OpDef& op, AttrsView attrs, std::span<const TensorSpec> inputs,
                                        std::span<const TensorSpec> outputs, Device device);

/// Computes `op` now. `random_counter` counts earlier executions of a random op. `kernel_time`, if given, is set to
/// what the kernel itself took, without shape rule, preparation and allocation; on a GPU it stays 0, and this thread's
/// ledger gets the device's time. `over[i]`, if there is such and it is defined, is where output i goes: of its dtype
/// and shape, on the op's device.
void launch(const OpDef& op, Inputs inputs, AttrsView attrs, uint64_t random_counter, Outputs& outputs,
            std::chrono::nanoseconds* kernel_time = nullptr, std::span<const Tensor> over = {});

/// Throws what a kernel has reported.
void check_kernel(const OpDef& op, AttrsView attrs, const KernelContext& context);

}  // namespace twofold
