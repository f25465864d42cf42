#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/session/program/passes.h>

namespace twofold {
namespace {

// BatchNorm takes over the Relu that reads its y, and its BatchNormGrad the ReluGrad that makes its dy, where nobody
// else reads the value between the two. Backward does not read y: forward tells it for which x y is flat.
class BatchNormFusion {
 public:
  explicit BatchNormFusion(Program& p) : p_(p), readers_(p.values.size(), 0), moved_to_(p.values.size()) {
    for (ValueId v = 0; v < p.values.size(); ++v) moved_to_[v] = v;
    for (const ProgramNode& n : p.nodes)
      for (ValueId v : n.inputs) readers_[v] += !n.dead;
    for (ValueId v : p.fetches) ++readers_[v];
  }

  int64_t run() {
    int64_t changes = 0;
    for (ProgramNode& n : p_.nodes) {
      if (n.dead) continue;
      for (ValueId& v : n.inputs) v = moved_to_[v];
      if (n.op == relu_)
        changes += fuse_forward(n);
      else if (n.op == batch_norm_grad_)
        changes += fuse_backward(n);
    }
    for (ValueId& v : p_.fetches) v = moved_to_[v];
    return changes;
  }

 private:
  // The node that makes `v`, if `reader` is all that it is for and runs beside it; else null.
  ProgramNode* only_for(const ProgramNode& reader, ValueId v) const {
    const ProgramValue& value = p_.values[v];
    if (value.producer < 0 || value.constant.defined() || readers_[v] != 1) return nullptr;
    ProgramNode& n = p_.nodes[static_cast<size_t>(value.producer)];
    return n.dead || n.dynamic || n.device != reader.device ? nullptr : &n;
  }

  // What `v` is but another name of.
  ValueId behind(ValueId v) const {
    for (;;) {
      const int32_t producer = p_.values[v].producer;
      if (producer < 0) return v;
      const ProgramNode& n = p_.nodes[static_cast<size_t>(producer)];
      if (!n.op->flags.alias || spec(v) != spec(n.inputs[0])) return v;
      v = n.inputs[0];
    }
  }

  // The BatchNorm whose rectified y `v` is, if it has x, channels and device of `grad`; else null.
  const ProgramNode* rectified(ValueId v, const ProgramNode& grad) const {
    const ValueId y = behind(v);
    if (p_.values[y].producer < 0) return nullptr;
    const ProgramNode& n = p_.nodes[static_cast<size_t>(p_.values[y].producer)];
    if (n.op != batch_norm_ || n.first_output != y || n.device != grad.device) return nullptr;
    const auto& attrs = attrs_of(n);
    const bool fits = behind(n.inputs[0]) == behind(grad.inputs[0]) && attrs.axis == attrs_of(grad).axis;
    return fits && attrs.relu ? &n : nullptr;
  }
  static ValueId flat(const ProgramNode& norm) { return norm.first_output + norm.num_outputs - 1; }

  const TensorSpec& spec(ValueId v) const { return p_.values[v].spec; }

  bool is_known(const ProgramNode& n) const { return p_.values[n.first_output].constant.defined(); }

  static const BatchNormAttrs& attrs_of(const ProgramNode& n) { return n.attrs_view().as<BatchNormAttrs>(); }
  static void rectify(ProgramNode& n) {
    BatchNormAttrs attrs = attrs_of(n);
    attrs.relu = true;
    n.attrs = make_ref<AttrsBox>(AttrsView(attrs));
  }

  int64_t fuse_forward(ProgramNode& relu) {
    if (relu.dynamic || is_known(relu)) return 0;
    ValueId y = relu.inputs[0];
    ProgramNode* norm = only_for(relu, y);
    while (norm && norm->op->flags.alias && !norm->has_effect() && spec(y) == spec(norm->inputs[0])) {
      y = norm->inputs[0];
      norm = only_for(relu, y);
    }
    if (!norm || norm->op != batch_norm_ || y != norm->first_output || attrs_of(*norm).relu) return 0;
    rectify(*norm);
    p_.values[flat(*norm)].spec.shape = {p_.values[norm->first_output + 1].spec.shape.extent(0).value_or(-1), 2};
    norm->root = norm->root || relu.root;
    relu.dead = true;
    moved_to_[relu.first_output] = relu.inputs[0];
    return 1;
  }

  int64_t fuse_backward(ProgramNode& grad) {
    if (grad.dynamic || is_known(grad) || attrs_of(grad).relu) return 0;
    const ValueId masked = grad.inputs[2];
    ProgramNode* relu = only_for(grad, masked);
    if (!relu || relu->op != relu_grad_ || spec(relu->inputs[0]) != spec(masked)) return 0;
    const ProgramNode* norm = rectified(relu->inputs[1], grad);
    if (!norm) return 0;
    grad.inputs[2] = relu->inputs[0];
    grad.inputs.push_back(flat(*norm));
    rectify(grad);
    grad.root = grad.root || relu->root;
    relu->dead = true;
    return 1;
  }

  Program& p_;
  const OpDef *relu_ = &relu_op, *relu_grad_ = &relu_grad_op;
  const OpDef *batch_norm_ = &batch_norm_op, *batch_norm_grad_ = &batch_norm_grad_op;
  std::vector<uint32_t> readers_;  // by value: how often it is read or fetched
  std::vector<ValueId> moved_to_;  // by value: where readers find it afterwards
};

}  // namespace

int64_t fuse_batch_norm(Program& p) { return BatchNormFusion(p).run(); }

}  // namespace twofold
