// Gradients over a graph's nodes: what `Mode` asks for (lib/op/mode_interface.h).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <twofold/graph/graph_data.h>
#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/autodiff/tape_recording.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {

/// The tensor that eager code would have there: a check of shapes, or a name, hands on what came to it.
Edge eager_edge(const GraphData& g, Edge e);
/// For each key, the sum of its gradients through the first `size` nodes of `g`, the current graph, which is a body's.
std::vector<GradientSum> graph_gradient_sums(GraphData& g, uint32_t size, std::span<const Seed> seeds,
                                             std::span<const TensorKey> keys);

std::vector<Tensor> graph_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                    std::span<const Tensor> dys, std::span<RowsGradient> rows);
std::vector<Tensor> graph_vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                              std::span<const Tensor> dys);
std::unique_ptr<Recording> record_in_graph(bool watch_variables);

}  // namespace twofold
