#include <twofold/lib/train/sgd.h>

#include <twofold/kernels/gather/gather.h>
#include <twofold/kernels/optimizer/optimizer.h>
#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/train/update.h>

namespace twofold::train {

SGD::SGD(std::vector<Variable> parameters, SGDOptions options, std::source_location where)
    : Optimizer("SGD", std::move(parameters), options.lr, where), options_(options) {
  const SourceScope source_scope(where);
  check_option("momentum", options_.momentum);
  check_option("weight_decay", options_.weight_decay);
  if (options_.nesterov && options_.momentum == 0)
    fail(Code::InvalidArgument, "Nesterov momentum requires a momentum", "{.momentum = 0.9, .nesterov = true}");
  if (options_.momentum != 0) velocities_ = state_like_parameters("momentum");
}

Tensor SGD::update(size_t i, const Tensor& gradient, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  std::vector<Variable> state;
  if (!velocities_.empty()) state = {velocities_[i]};
  const SGDUpdateAttrs attrs{
      .momentum = options_.momentum, .weight_decay = options_.weight_decay, .nesterov = options_.nesterov};
  return update_all(op_of(attrs), p, {&gradient, 1}, state, lr, attrs);
}

bool SGD::takes_rows() const { return options_.momentum == 0 && options_.weight_decay == 0; }

Tensor SGD::update_rows(size_t i, const RowsGradient& gradient, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  const Tensor parts[] = {gradient.values, internal::checked_indices(gradient.indices, p)};
  return update_all(sgd_rows_update_op(), p, parts, {}, lr, {});
}

}  // namespace twofold::train
