// What a graph knows of its symbols, but for known_values.cc.
#include <twofold/graph/graph_data.h>
#include <twofold/graph/graph_ops.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/lib/runtime/device.h>

namespace twofold {

const TensorSpec& GraphSymbols::symbol_spec(uint32_t node, uint16_t output) const {
  return graph()->spec({node, output});
}
std::string GraphSymbols::symbol_name(uint32_t node, uint16_t output) const {
  return graph()->edge_name({node, output});
}
std::string GraphSymbols::symbol_device(uint32_t id) const {
  const Node& node = graph()->node(id);
  const int8_t device =
      node.op == &transfer_op ? static_cast<int8_t>(node.attrs_view().as<TransferAttrs>().device) : node.device;
  return device < 0 ? "" : Device{device}.name();
}
uint64_t GraphSymbols::symbol_id(uint32_t node, uint16_t output) const {
  // Values count up from 1; symbols have the top bit.
  return uint64_t{1} << 63 | mix(graph()->id(), Edge{node, output}.key()) >> 1;
}
std::source_location GraphSymbols::symbol_where(uint32_t node) const { return graph()->node(node).where; }

Tensor GraphSymbols::symbol_arrived(uint32_t node) const {
  const Node& n = graph()->node(node);
  return n.op == &if_arrived_op || n.op == &list_if_arrived_op
             ? Tensor::symbol(graph(), n.inputs[0].node, n.inputs[0].output)
             : Tensor();
}

}  // namespace twofold
