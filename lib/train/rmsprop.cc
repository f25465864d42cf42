#include <twofold/lib/train/rmsprop.h>

#include <twofold/kernels/optimizer/optimizer.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/train/update.h>

namespace twofold::train {

RMSProp::RMSProp(std::vector<Variable> parameters, RMSPropOptions options, std::source_location where)
    : Optimizer("RMSProp", std::move(parameters), options.lr, where), options_(options) {
  const SourceScope source_scope(where);
  check_option("alpha", options_.alpha);
  check_option("eps", options_.eps);
  check_option("weight_decay", options_.weight_decay);
  check_option("momentum", options_.momentum);
  squares_ = state_like_parameters("square_average");
  if (options_.centered) averages_ = state_like_parameters("average");
  if (options_.momentum != 0) velocities_ = state_like_parameters("momentum");
}

Tensor RMSProp::update(size_t i, const Tensor& gradient, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  const RMSPropOptions& o = options_;
  std::vector<Variable> state{squares_[i]};
  if (o.centered) state.push_back(averages_[i]);
  if (o.momentum != 0) state.push_back(velocities_[i]);
  const RMSPropUpdateAttrs attrs{
      .alpha = o.alpha, .eps = o.eps, .weight_decay = o.weight_decay, .momentum = o.momentum, .centered = o.centered};
  return update_all(op_of(attrs), p, {&gradient, 1}, state, lr, attrs);
}

Adagrad::Adagrad(std::vector<Variable> parameters, AdagradOptions options, std::source_location where)
    : Optimizer("Adagrad", std::move(parameters), options.lr, where), options_(options) {
  const SourceScope source_scope(where);
  check_option("lr_decay", options_.lr_decay);
  check_option("weight_decay", options_.weight_decay);
  check_option("initial_accumulator_value", options_.initial_accumulator_value);
  check_option("eps", options_.eps);
  squares_ = state_like_parameters("sum", options_.initial_accumulator_value);
  if (options_.lr_decay != 0) counts_ = counts();
}

Tensor Adagrad::update(size_t i, const Tensor& gradient, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  const AdagradOptions& o = options_;
  std::vector<Variable> state{squares_[i]};
  if (o.lr_decay != 0) state.push_back(counts_[i]);
  const AdagradUpdateAttrs attrs{.weight_decay = o.weight_decay, .eps = o.eps, .lr_decay = o.lr_decay};
  return update_all(op_of(attrs), p, {&gradient, 1}, state, lr, attrs);
}

}  // namespace twofold::train
