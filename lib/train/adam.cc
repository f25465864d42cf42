#include <twofold/lib/train/adam.h>

#include <twofold/kernels/optimizer/optimizer.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/train/update.h>

namespace twofold::train {

Adam::Adam(std::vector<Variable> parameters, AdamOptions options, std::source_location where)
    : Adam("Adam", std::move(parameters), options, where) {}

Adam::Adam(const char* name, std::vector<Variable> parameters, AdamOptions options, std::source_location where)
    : Optimizer(name, std::move(parameters), options.lr, where), options_(options) {
  const SourceScope source_scope(where);
  check_option("beta1", options_.beta1, 1);
  check_option("beta2", options_.beta2, 1);
  check_option("eps", options_.eps);
  check_option("weight_decay", options_.weight_decay);
  m_ = state_like_parameters("m");
  v_ = state_like_parameters("v");
  counts_ = counts();
}

Tensor Adam::update(size_t i, const Tensor& gradient, const Tensor& lr) const { return step(i, gradient, lr, false); }

Tensor Adam::step(size_t i, const Tensor& gradient, const Tensor& lr, bool decoupled) const {
  const Variable& p = parameters()[i];
  const AdamOptions& o = options_;
  const std::vector<Variable> state{m_[i], v_[i], counts_[i]};
  const AdamUpdateAttrs attrs{
      .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay, .decoupled = decoupled};
  return update_all(op_of(attrs), p, {&gradient, 1}, state, lr, attrs);
}

AdamW::AdamW(std::vector<Variable> parameters, AdamWOptions o, std::source_location where)
    : Adam("AdamW", std::move(parameters),
           {.lr = o.lr, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay}, where) {}

Tensor AdamW::update(size_t i, const Tensor& gradient, const Tensor& lr) const { return step(i, gradient, lr, true); }

}  // namespace twofold::train
