#include <twofold/lib/train/optimizer.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/graph/control_flow.h>
#include <twofold/graph/graph.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/autodiff/backward.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/constant.h>

namespace twofold::train {

static std::string names_of(const std::vector<Variable>& variables) {
  std::vector<std::string> names;
  for (const Variable& v : variables) names.push_back(fmt::format("'{}'", v.name()));
  return fmt::format("[{}]", fmt::join(names, ", "));
}

Optimizer::Optimizer(const char* name, std::vector<Variable> parameters, double lr, std::source_location where)
    : name_(name), parameters_(std::move(parameters)), lr_(lr) {
  const SourceFrame frame(where);
  if (parameters_.empty())
    fail(Code::InvalidArgument, fmt::format("{} was given no parameters", name),
         fmt::format("train::{} opt(net.parameters())", name));
  for (const Variable& p : parameters_) {
    if (!is_floating(p.dtype()))
      fail(Code::InvalidArgument,
           fmt::format("{} was given '{}' of dtype {}, which has no gradients", name, p.name(), name_of(p.dtype())));
    if (!p.shape().is_known())
      fail(Code::InvalidArgument,
           fmt::format("{} was given '{}' of the partly unknown shape {}", name, p.name(), p.shape().str()));
  }
  check_option("lr", lr);
}

void Optimizer::check_option(const char* option, double value, double bound) const {
  if (!(value >= 0))
    fail(Code::InvalidArgument, fmt::format("Invalid {} value: {}; it must not be negative", option, value));
  if (!(value < bound))
    fail(Code::InvalidArgument, fmt::format("Invalid {} value: {}; it must be below {}", option, value, bound));
}

std::vector<Variable> Optimizer::state_like_parameters(const char* name, double value) const {
  const NameScope scope(name_);
  std::vector<Variable> state;
  for (const Variable& p : parameters_)
    state.emplace_back(full(p.shape(), value, {.dtype = p.dtype()}), VariableOptions{.name = name, .trainable = false});
  return state;
}

std::vector<Variable> Optimizer::counts() const {
  const NameScope scope(name_);
  std::vector<Variable> state;
  for (size_t i = 0; i < parameters_.size(); ++i)
    state.emplace_back(zeros({}, int64), VariableOptions{.name = "step", .trainable = false});
  return state;
}

void Optimizer::set_schedule(Schedule schedule, std::source_location where) {
  const SourceFrame frame(where);
  schedule_ = std::move(schedule);
  if (!schedule_ || !steps_done_.empty()) return;
  const NameScope scope(name_);
  steps_done_.emplace_back(zeros({}, int64), VariableOptions{.name = "steps_done", .trainable = false});
}

Operation Optimizer::minimize(const Tensor& loss, std::source_location where) {
  const SourceFrame frame(where);
  return apply_gradients(compute_gradients(loss, where), where);
}

std::vector<Tensor> Optimizer::compute_gradients(const Tensor& loss, std::source_location where) const {
  const SourceFrame frame(where);
  return gradients(loss, {parameters_.begin(), parameters_.end()}, where);
}

Operation Optimizer::apply_gradients(const std::vector<Tensor>& gradients, std::source_location where) {
  const SourceFrame frame(where);
  if (gradients.size() != parameters_.size())
    fail(Code::InvalidArgument,
         fmt::format("{} gradients were given for {} parameters", gradients.size(), parameters_.size()));
  if (std::ranges::none_of(gradients, &Tensor::defined))
    fail(Code::InvalidArgument, fmt::format("No gradients provided for any variable: {}", names_of(parameters_)),
         "a loss computed from the parameters by differentiable ops");
  const NameScope scope(name_);
  Tensor lr = tensor(lr_, {.dtype = float64});
  if (schedule_) lr = cast(schedule_(cast(steps_done_[0].assign_add(1) - 1, float64)), float64) * lr;
  std::vector<Fetch> updates;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    // One that a branch not taken leaves out is no reason to move on by momentum or decay.
    const Tensor arrived = gradient_of(gradients[i]).arrived;
    updates.emplace_back(arrived.defined() ? Fetch(cond(
                                                 arrived, [&] { update(i, gradients[i], lr); }, [] {}))
                                           : Fetch(update(i, gradients[i], lr)));
  }
  return group(updates, where);
}

Tensor with_decay(const Tensor& gradient, const Variable& parameter, double weight_decay) {
  return weight_decay != 0 ? gradient + parameter * weight_decay : gradient;
}

Tensor as_dtype_of(const Tensor& scalar, const Variable& like) { return cast(scalar, like.dtype()); }

}  // namespace twofold::train
