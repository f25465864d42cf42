// What the op's own rules say of a node, for one that comes from a file.
#include <fmt/format.h>

#include <twofold/kernels/layout/transfer.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/runtime/device.h>
#include <twofold/lib/saved/writer.h>

namespace twofold::saved {

std::string check_node(GraphData& g, const NodeRecord& node) {
  const OpDef& op = *node.op;
  const auto n = static_cast<int>(node.inputs.size());
  if (n < op.min_inputs || (op.max_inputs >= 0 && n > op.max_inputs))
    return fmt::format("'{}' has {} inputs", op.name, n);
  if (op.flags.control_flow)
    if (const std::string problem = check_bodies(g, node); !problem.empty())
      return fmt::format("'{}': {}", op.name, problem);
  if (op.flags.declared || !op.infer)
    return node.outputs.size() == 1 ? "" : fmt::format("'{}' has {} outputs", op.name, node.outputs.size());
  SmallVector<TensorSpec, 4> specs;
  SmallVector<Tensor, 4> symbols;
  SmallVector<const Tensor*, 4> pointers;
  for (Edge e : node.inputs) {
    specs.push_back(g.spec(e));
    symbols.push_back(Tensor::symbol(&g, e.node, e.output));
  }
  for (const Tensor& t : symbols) pointers.push_back(&t);
  const AttrsView attrs = node.attrs ? node.attrs->view() : AttrsView();
  try {
    if (&op == &transfer_op) {
      const int64_t device = attrs.as<TransferAttrs>().device;
      if (device < 0 || device > INT8_MAX) return fmt::format("there is no device {}", device);
      (void)parse_device(Device{static_cast<int8_t>(device)}.name(), false);
    }
    InferContext context(op, specs, attrs, pointers);
    context.check_lists();
    op.infer(context);
    const auto inferred = context.outputs();
    if (inferred.size() != node.outputs.size())
      return fmt::format("'{}' has {} outputs, not {}", op.name, inferred.size(), node.outputs.size());
    for (size_t i = 0; i < inferred.size(); ++i)
      if (inferred[i].dtype != node.outputs[i].dtype || !inferred[i].shape.compatible_with(node.outputs[i].shape))
        return fmt::format("output {} of '{}' is {} of shape {}, not {} of shape {}", i, op.name,
                           name_of(inferred[i].dtype), inferred[i].shape.str(), name_of(node.outputs[i].dtype),
                           node.outputs[i].shape.str());
  } catch (const Error& e) {
    return e.facts().message;
  }
  return {};
}

}  // namespace twofold::saved
