// Graphs that streams are captured into.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace twofold::cuda {

/// The nodes that what is enqueued next comes after, good until the next call.
cudaError_t captured_ends(cudaStream_t stream, const cudaGraphNode_t** nodes, size_t* n);
/// What is enqueued next comes after these `n` nodes alone.
cudaError_t capture_after(cudaStream_t stream, const cudaGraphNode_t* nodes, size_t n);
/// Kernels that hardly anything waits for, such as updates of variables, get what the others leave of the GPU: an
/// instance made with cudaGraphInstantiateFlagUseNodePriority heeds it.
cudaError_t give_way_to_long_chains(cudaGraph_t graph);

}  // namespace twofold::cuda
