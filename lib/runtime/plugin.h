// Kernel plugins: found, loaded and asked.
#pragma once

#include <cstdint>
#include <string>

#include <twofold/lib/runtime/device.h>
#include <twofold/lib/runtime/gpu_runtime.h>
#include <twofold/lib/runtime/kernel.h>

namespace twofold {

/// What a plugin's table must hold: a hash of the headers that both are built from, written by kernels/generate.py.
uint64_t plugin_abi();

/// The number by which an op's kernels are looked up: the next one. Called once for each op, before main().
int number_op(OpKey op);

/// The kernel of op `id` on `device`; null if that device has none for it.
PrepareFn find_kernel(int op_id, Device device);
/// The CPU tile function of op `id` for operands of `dtype` and results of `to`; null if none.
TileFn find_tile(int op_id, DType dtype, DType to);

/// The instruction set of the loaded CPU kernels, "x86-64-v4". TWOFOLD_ISA=v2|v3|v4 in the environment overrides the
/// choice. Throws InvalidArgument for another word, FailedPrecondition where the processor lacks the level or no
/// kernels are found.
const std::string& cpu_isa();
/// Null, and `why` says why, if no GPU can be used.
const GpuRuntime* gpu_runtime(std::string* why = nullptr);

}  // namespace twofold
