#include <twofold/kernels/batch_norm/batch_norm.h>
#include <twofold/kernels/batch_norm/batch_norm_ops.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/session/program/passes.h>
#include <twofold/session/program/pattern.h>

namespace twofold {
namespace {

const BatchNormAttrs& attrs_of(const ProgramNode& n) { return n.attrs_view().as<BatchNormAttrs>(); }
bool is_plain(const ProgramNode& n) { return !attrs_of(n).relu; }
bool is_rectified(const ProgramNode& n) { return attrs_of(n).relu; }
void rectify(ProgramNode& n) {
  BatchNormAttrs attrs = attrs_of(n);
  attrs.relu = true;
  n.attrs = make_ref<AttrsBox>(AttrsView(attrs));
}

// Backward does not read y: forward tells it for which x y is flat.
ValueId flat(const ProgramNode& norm) { return norm.first_output + norm.num_outputs - 1; }

void rectify_forward(Program& p, const Match& m) {
  const auto [relu, norm] = m.nodes<2>();
  rectify(*norm);
  p.values[flat(*norm)].spec.shape = {p.spec(norm->first_output + 1).shape.extent(0).value_or(-1), 2};
  p.replace(relu->first_output, relu->inputs[0]);
  p.remove(*relu, norm);
}

bool are_of_one(const Program& p, const Match& m) {
  const auto [grad, mask, norm] = m.nodes<3>();
  return p.behind(norm->inputs[0]) == p.behind(grad->inputs[0]) && attrs_of(*norm).axis == attrs_of(*grad).axis &&
         p.spec(mask->inputs[0]) == p.spec(mask->first_output);
}

void rectify_backward(Program& p, const Match& m) {
  const auto [grad, mask, norm] = m.nodes<3>();
  auto inputs = grad->inputs;
  inputs[2] = mask->inputs[0];
  inputs.push_back(flat(*norm));
  p.set_inputs(*grad, std::move(inputs));
  p.remove(*mask, grad);
  rectify(*grad);
}

}  // namespace

// BatchNorm takes over the Relu that reads its y, and its BatchNormGrad the ReluGrad that makes its dy, where nobody
// else reads the value between the two.
int64_t fuse_batch_norm(Program& p) {
  static const Pattern any;
  static const Pattern plain = {
      .op = &batch_norm_op, .only_reader = true, .through_aliases = true, .same_device = true, .when = is_plain};
  static const Pattern rectified = {
      .op = &batch_norm_op, .through_aliases = true, .same_device = true, .when = is_rectified};
  static const Pattern mask = {
      .op = &relu_grad_op, .inputs = {any, rectified}, .only_reader = true, .same_device = true};
  static const Rule rules[] = {
      {.pattern = {.op = &relu_op, .inputs = {plain}}, .rewrite = rectify_forward},
      {.pattern = {.op = &batch_norm_grad_op, .inputs = {any, any, mask}, .when = is_plain},
       .fits = are_of_one,
       .rewrite = rectify_backward},
  };
  return rewrite(p, rules);
}

}  // namespace twofold
