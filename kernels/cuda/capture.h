// Graphs that streams are captured into.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace twofold::cuda {

/// The nodes that what is enqueued next will wait for; valid until the next call.
cudaError_t captured_ends(cudaStream_t stream, const cudaGraphNode_t** nodes, size_t* n);
/// Makes what is enqueued next wait for these `n` nodes alone.
cudaError_t capture_after(cudaStream_t stream, const cudaGraphNode_t* nodes, size_t n);
/// Gives the other kernels priority over those that hardly anything waits for, such as updates of variables. An
/// instance made with cudaGraphInstantiateFlagUseNodePriority heeds it.
cudaError_t give_way_to_long_chains(cudaGraph_t graph);

}  // namespace twofold::cuda
