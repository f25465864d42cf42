#include <twofold/kernels/optimizer/optimizer.h>

#include <twofold/kernels/optimizer/rules.h>
#include <twofold/lib/op/apply.h>

namespace twofold {
namespace {

/// Inputs are p, g, the state with its count, the learning rate; outputs are p and the state.
template <class Rule>
void infer(InferContext& c) {
  const auto& attrs = c.attrs<typename Rule::Attrs>();
  const int state = Rule::num_state(attrs), lr = c.num_inputs() - 1;
  const bool counted = Rule::has_count(attrs);
  if (lr != 2 + state + counted)
    c.fail("The update takes " + std::to_string(state) + " tensors of state" + (counted ? ", a count" : "") +
           " and a rate");
  if (!is_floating(c.dtype(0))) c.fail("An update of " + std::string(name_of(c.dtype(0))) + " is not supported");
  Shape shape = c.shape(0);
  for (int i = 1; i < 2 + state; ++i) {
    if (c.dtype(i) != c.dtype(0) || !c.shape(i).compatible_with(shape))
      c.fail("Parameter, gradient and state must have one dtype and shape");
    if (!shape.has_rank()) shape = c.shape(i);
  }
  if (counted && (c.dtype(lr - 1) != int64 || !c.shape(lr - 1).compatible_with(Shape{})))
    c.fail("The count must be an int64 scalar");
  if (c.dtype(lr) != float64 || !c.shape(lr).compatible_with(Shape{})) c.fail("The rate must be a float64 scalar");
  for (int i = 0; i <= state; ++i) c.output(c.dtype(0), shape);
  if (counted) c.output(int64, Shape{});
}

/// The parameter and its state may be updated in place; the count, which every block of a GPU's kernel reads, may not.
template <template <class> class Rule>
constexpr OpDef update_op(OpName name, const char* node_name, const char* doc) {
  OpDef op{
      .key = name,
      .node_name = node_name,
      .doc = doc,
      .min_inputs = 3,
      .max_inputs = 4 + Rule<float>::kMaxState,
      .outputs = -1,
      .infer = infer<Rule<float>>,
      .differentiable = Differentiability::none,
      .attrs = &internal::kAttrsType<typename Rule<float>::Attrs>,
  };
  op.in_place[0] = 0;
  for (int8_t k = 1; k <= Rule<float>::kMaxState; ++k) op.in_place[k] = k + 1;
  return op;
}

constinit OpDef sgd_op =
    update_op<SGDRule>(op_name::SGDUpdate, "sgd_update", "one step of SGD (PyTorch torch.optim.SGD)");
constinit OpDef adam_op =
    update_op<AdamRule>(op_name::AdamUpdate, "adam_update", "one step of Adam or AdamW (PyTorch torch.optim.Adam)");
constinit OpDef rmsprop_op = update_op<RMSPropRule>(op_name::RMSPropUpdate, "rmsprop_update",
                                                    "one step of RMSProp (PyTorch torch.optim.RMSprop)");
constinit OpDef adagrad_op = update_op<AdagradRule>(op_name::AdagradUpdate, "adagrad_update",
                                                    "one step of Adagrad (PyTorch torch.optim.Adagrad)");

void infer_rows(InferContext& c) {
  const Shape &p = c.shape(0), &rows = c.shape(1), &indices = c.shape(2);
  if (!is_floating(c.dtype(0))) c.fail("An update of " + std::string(name_of(c.dtype(0))) + " is not supported");
  if (c.dtype(1) != c.dtype(0)) c.fail("Parameter and rows must have one dtype");
  if (c.dtype(2) != int32 && c.dtype(2) != int64) c.fail("Indices must be int32 or int64");
  if (c.dtype(3) != float64 || !c.shape(3).compatible_with(Shape{})) c.fail("The rate must be a float64 scalar");
  if (p.has_rank() && p.rank() == 0) c.fail("A scalar has no rows");
  if (p.has_rank() && indices.has_rank()) {
    Shape taken = indices;
    for (int i = 1; i < p.rank(); ++i) taken.push_back(p.extent(i));
    if (!rows.compatible_with(taken)) c.fail("Rows must have the shape " + taken.str() + " but have " + rows.str());
  }
  c.output(c.dtype(0), p);
}

constinit OpDef sgd_rows_op{
    .key = op_name::SGDRowsUpdate,
    .node_name = "sgd_rows_update",
    .doc = "one step of SGD for the rows of a table that were taken (TensorFlow ResourceScatterSub)",
    .min_inputs = 4,
    .max_inputs = 4,
    .infer = infer_rows,
    .differentiable = Differentiability::none,
    .in_place = {0, -1, -1, -1}};

template <class Attrs>
std::vector<Tensor> update(const OpDef& op, const Tensor& p, const Tensor& g, std::span<const Tensor> state,
                           const Tensor& lr, const Attrs& attrs) {
  std::vector<const Tensor*> inputs{&p, &g};
  for (const Tensor& s : state) inputs.push_back(&s);
  inputs.push_back(&lr);
  Outputs out = apply_all(op, inputs, attrs, std::source_location::current());
  std::vector<Tensor> results;
  for (size_t i = 0; i <= state.size(); ++i) results.push_back(out[i]);
  return results;
}

}  // namespace

std::vector<Tensor> sgd_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                               const SGDUpdateAttrs& attrs) {
  return update(sgd_op, p, g, state, lr, attrs);
}
std::vector<Tensor> adam_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                const AdamUpdateAttrs& attrs) {
  return update(adam_op, p, g, state, lr, attrs);
}
std::vector<Tensor> rmsprop_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                   const RMSPropUpdateAttrs& attrs) {
  return update(rmsprop_op, p, g, state, lr, attrs);
}
std::vector<Tensor> adagrad_update(const Tensor& p, const Tensor& g, std::span<const Tensor> state, const Tensor& lr,
                                   const AdagradUpdateAttrs& attrs) {
  return update(adagrad_op, p, g, state, lr, attrs);
}

Tensor sgd_rows_update(const Tensor& p, const Tensor& rows, const Tensor& indices, const Tensor& lr) {
  return apply(sgd_rows_op, {&p, &rows, &indices, &lr}, std::source_location::current());
}
const OpDef& sgd_rows_update_op() { return sgd_rows_op; }

const OpDef& op_of(const SGDUpdateAttrs&) { return sgd_op; }
const OpDef& op_of(const AdamUpdateAttrs&) { return adam_op; }
const OpDef& op_of(const RMSPropUpdateAttrs&) { return rmsprop_op; }
const OpDef& op_of(const AdagradUpdateAttrs&) { return adagrad_op; }

void register_optimizer() {
  for (OpDef* op : {&sgd_op, &adam_op, &rmsprop_op, &adagrad_op, &sgd_rows_op}) register_op(*op);
}

}  // namespace twofold
