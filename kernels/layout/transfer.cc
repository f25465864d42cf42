#include <twofold/kernels/layout/transfer.h>

#include <fmt/format.h>

#include <twofold/kernels/layout/shapes.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

void transfer(AttrsView attrs, std::span<const Tensor* const> inputs, Outputs& outputs) {
  const Device to{static_cast<int8_t>(attrs.as<TransferAttrs>().device)};
  outputs.push_back(inputs[0]->value()->device() == to ? renamed(*inputs[0]) : copy_to(*inputs[0], to));
}

}  // namespace

constinit OpDef transfer_op{.key = OpKey::without_kernels("Transfer"),
                            .node_name = "transfer",
                            .doc = "Its input, copied to a device. (TensorFlow: _Send and _Recv)",
                            .infer = layout::infer_same,
                            .differentiable = Differentiability::rule,
                            .gradient = [](Backward& b) { b.dx(0, b.dy()); },
                            .attrs = &internal::kAttrsType<TransferAttrs>,
                            .run = transfer};

Tensor Tensor::to(std::string_view name, Where where) const {
  const SourceScope source_scope(where);
  if (!defined()) device(where);  // throws
  const Device wanted = parse_device(name);
  // On a tape the result is a tensor of its own, as in a graph.
  if (is_concrete() && !value()->is_shell() && value()->device() == wanted && !t_state.tape) return *this;
  return apply(transfer_op, {this}, TransferAttrs{wanted.index}, where);
}

void layout::register_transfer() { register_op(transfer_op); }

}  // namespace twofold
