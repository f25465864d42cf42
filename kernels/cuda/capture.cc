#include <twofold/kernels/cuda/capture.h>

#include <set>
#include <utility>
#include <vector>

namespace twofold::cuda {
namespace {

using Edges = std::vector<std::pair<cudaGraphNode_t, cudaGraphNode_t>>;  // from, to

cudaError_t read_edges(cudaGraph_t graph, Edges& edges) {
  std::vector<cudaGraphNode_t> from, to;
#if CUDART_VERSION >= 13000
  std::vector<cudaGraphEdgeData> data;
  const auto get = [&](size_t* n) {
    data.resize(*n);
    return cudaGraphGetEdges(graph, from.data(), to.data(), data.data(), n);
  };
#else
  const auto get = [&](size_t* n) { return cudaGraphGetEdges(graph, from.data(), to.data(), n); };
#endif
  size_t n = 0;
  if (const cudaError_t e = get(&n); e != cudaSuccess || n == 0) return e;
  from.resize(n), to.resize(n);
  const cudaError_t e = get(&n);
  for (size_t i = 0; e == cudaSuccess && i < n; ++i) edges.emplace_back(from[i], to[i]);
  return e;
}

}  // namespace

cudaError_t captured_ends(cudaStream_t stream, const cudaGraphNode_t** nodes, size_t* n) {
  cudaStreamCaptureStatus status{};
#if CUDART_VERSION >= 13000
  const cudaError_t e = cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, nodes, nullptr, n);
#else
  const cudaError_t e = cudaStreamGetCaptureInfo_v2(stream, &status, nullptr, nullptr, nodes, n);
#endif
  return e == cudaSuccess && status != cudaStreamCaptureStatusActive ? cudaErrorStreamCaptureInvalidated : e;
}

cudaError_t capture_after(cudaStream_t stream, const cudaGraphNode_t* nodes, size_t n) {
  auto* const before = const_cast<cudaGraphNode_t*>(nodes);
#if CUDART_VERSION >= 13000
  return cudaStreamUpdateCaptureDependencies(stream, before, nullptr, n, cudaStreamSetCaptureDependencies);
#else
  return cudaStreamUpdateCaptureDependencies(stream, before, n, cudaStreamSetCaptureDependencies);
#endif
}

cudaError_t give_way_to_long_chains(cudaGraph_t graph) {
  int low = 0, high = 0;
  cudaError_t e = cudaDeviceGetStreamPriorityRange(&low, &high);
  Edges edges;
  if (e == cudaSuccess) e = read_edges(graph, edges);
  std::set<cudaGraphNode_t> waited_for, chained;  // by some node; by a node that is waited for itself
  for (const auto& [from, to] : edges) waited_for.insert(from);
  for (const auto& [from, to] : edges)
    if (waited_for.contains(to)) chained.insert(from);
  for (const cudaGraphNode_t node : chained) {
    cudaGraphNodeType type{};
    if (e == cudaSuccess) e = cudaGraphNodeGetType(node, &type);
    if (e != cudaSuccess || type != cudaGraphNodeTypeKernel) continue;
    cudaLaunchAttributeValue value{};
    value.priority = high;
    e = cudaGraphKernelNodeSetAttribute(node, cudaLaunchAttributePriority, &value);
  }
  return e;
}

}  // namespace twofold::cuda
