// Gradients over a graph's nodes: what `Mode` asks for (lib/op/mode_interface.h).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <twofold/lib/autodiff/tape_recording.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {

struct RowsGradient;

std::vector<Tensor> graph_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                    std::span<const Tensor> dys, std::span<RowsGradient> rows);
std::vector<Tensor> graph_vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                              std::span<const Tensor> dys);
std::unique_ptr<Recording> record_in_graph(bool watch_variables);

}  // namespace twofold
