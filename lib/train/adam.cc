#include <twofold/lib/train/adam.h>

#include <twofold/kernels/pointwise/pointwise.h>

namespace twofold::train {

Adam::Adam(std::vector<Variable> parameters, AdamOptions options, std::source_location where)
    : Adam("Adam", std::move(parameters), options, where) {}

Adam::Adam(const char* name, std::vector<Variable> parameters, AdamOptions options, std::source_location where)
    : Optimizer(name, std::move(parameters), options.lr, where), options_(options) {
  const SourceFrame frame(where);
  check_option("beta1", options_.beta1, 1);
  check_option("beta2", options_.beta2, 1);
  check_option("eps", options_.eps);
  check_option("weight_decay", options_.weight_decay);
  m_ = state_like_parameters("m");
  v_ = state_like_parameters("v");
  counts_ = counts();
}

Tensor Adam::update(size_t i, const Tensor& gradient, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  return p.assign_sub(step(i, with_decay(gradient, p, options_.weight_decay), lr));
}

Tensor Adam::step(size_t i, const Tensor& g, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  const AdamOptions& o = options_;
  const Tensor t = cast(counts_[i].assign_add(1), float64);
  const Tensor step_size = lr / (1. - pow(o.beta1, t)), correction = sqrt(1. - pow(o.beta2, t));
  const Tensor m = m_[i].assign(m_[i] * o.beta1 + g * (1 - o.beta1));
  const Tensor v = v_[i].assign(v_[i] * o.beta2 + square(g) * (1 - o.beta2));
  const Tensor deviation = sqrt(v) / as_dtype_of(correction, p) + o.eps;
  return as_dtype_of(step_size, p) * (m / deviation);
}

AdamW::AdamW(std::vector<Variable> parameters, AdamWOptions o, std::source_location where)
    : Adam("AdamW", std::move(parameters),
           {.lr = o.lr, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay}, where) {}

Tensor AdamW::update(size_t i, const Tensor& gradient, const Tensor& lr) const {
  const Variable& p = parameters()[i];
  return p.assign(p * as_dtype_of(1. - lr * options().weight_decay, p) - step(i, gradient, lr));
}

}  // namespace twofold::train
