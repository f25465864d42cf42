#include <twofold/kernels/optimizer/optimizer.h>

#include <twofold/kernels/optimizer/rules.h>
#include <twofold/lib/op/apply.h>

namespace twofold {
namespace {

/// Inputs are p, g, the state, the scalars; outputs are as p, one for it and one for each of the state.
template <class Rule>
void infer(InferContext& c) {
  const int state = Rule::num_state(c.attrs<typename Rule::Attrs>()), scalars = Rule::kScalars;
  if (c.num_inputs() != 2 + state + scalars)
    c.fail("The update takes " + std::to_string(state) + " tensors of state and " + std::to_string(scalars) +
           " scalars");
  if (!is_floating(c.dtype(0))) c.fail("An update of " + std::string(name_of(c.dtype(0))) + " is not supported");
  Shape shape = c.shape(0);
  for (int i = 1; i < 2 + state; ++i) {
    if (c.dtype(i) != c.dtype(0) || !c.shape(i).compatible_with(shape))
      c.fail("Parameter, gradient and state must have one dtype and shape");
    if (!shape.has_rank()) shape = c.shape(i);
  }
  for (int i = 2 + state; i < c.num_inputs(); ++i)
    if (c.dtype(i) != float64 || !c.shape(i).compatible_with(Shape{})) c.fail("Rates must be float64 scalars");
  for (int i = 0; i <= state; ++i) c.output(c.dtype(0), shape);
}

template <template <class> class Rule>
constexpr OpDef update_op(const char* name, const char* node_name, const char* doc) {
  return {
      .name = name,
      .node_name = node_name,
      .doc = doc,
      .min_inputs = 2 + Rule<float>::kScalars,
      .max_inputs = 2 + Rule<float>::kMaxState + Rule<float>::kScalars,
      .outputs = -1,
      .infer = infer<Rule<float>>,
      .differentiable = Differentiability::none,
      .attrs = &internal::kAttrsType<typename Rule<float>::Attrs>,
  };
}

OpDef sgd_op = update_op<SGDRule>("SGDUpdate", "sgd_update", "one step of SGD (PyTorch torch.optim.SGD)");
OpDef adam_op =
    update_op<AdamRule>("AdamUpdate", "adam_update", "one step of Adam or AdamW (PyTorch torch.optim.Adam)");
OpDef rmsprop_op =
    update_op<RMSPropRule>("RMSPropUpdate", "rmsprop_update", "one step of RMSProp (PyTorch torch.optim.RMSprop)");
OpDef adagrad_op =
    update_op<AdagradRule>("AdagradUpdate", "adagrad_update", "one step of Adagrad (PyTorch torch.optim.Adagrad)");

template <class Attrs>
std::vector<Tensor> update(const OpDef& op, const Tensor& p, const Tensor& g, std::span<const Tensor> state,
                           std::initializer_list<const Tensor*> scalars, const Attrs& attrs) {
  std::vector<const Tensor*> inputs{&p, &g};
  for (const Tensor& s : state) inputs.push_back(&s);
  inputs.insert(inputs.end(), scalars.begin(), scalars.end());
  Outputs out = apply_all(op, inputs, attrs, std::source_location::current());
  std::vector<Tensor> results;
  for (size_t i = 0; i <= state.size(); ++i) results.push_back(out[i]);
  return results;
}

}  // namespace

std::vector<Tensor> sgd_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                               const SGDUpdateAttrs& attrs) {
  return update(sgd_op, p, g, state, {&lr}, attrs);
}
std::vector<Tensor> adam_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state,
                                const Tensor& step_size, const Tensor& correction, const Tensor& shrink,
                                const AdamUpdateAttrs& attrs) {
  return update(adam_op, p, g, state, {&step_size, &correction, &shrink}, attrs);
}
std::vector<Tensor> rmsprop_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                   const RMSPropUpdateAttrs& attrs) {
  return update(rmsprop_op, p, g, state, {&lr}, attrs);
}
std::vector<Tensor> adagrad_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                   const AdagradUpdateAttrs& attrs) {
  return update(adagrad_op, p, g, state, {&lr}, attrs);
}

void register_optimizer() {
  for (OpDef* op : {&sgd_op, &adam_op, &rmsprop_op, &adagrad_op}) register_op(*op);
}

}  // namespace twofold
