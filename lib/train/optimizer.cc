#include <twofold/lib/train/optimizer.h>

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include <twofold/graph/control_flow.h>
#include <twofold/graph/graph.h>
#include <twofold/kernels/array/array.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/autodiff/engine.h>
#include <twofold/lib/autodiff/gradient_sum.h>
#include <twofold/lib/autodiff/gradients.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/switch.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/op/variable_state.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/lib/train/update.h>

namespace twofold::train {

static std::string names_of(const std::vector<Variable>& variables) {
  std::vector<std::string> names;
  for (const Variable& v : variables) names.push_back(fmt::format("'{}'", v.name()));
  return fmt::format("[{}]", fmt::join(names, ", "));
}

Optimizer::Optimizer(const char* name, std::vector<Variable> parameters, double lr, std::source_location where)
    : name_(name), parameters_(std::move(parameters)), lr_(lr), schedule_setting_(std::make_shared<Setting>()) {
  const SourceScope source_scope(where);
  if (parameters_.empty())
    fail(Code::InvalidArgument, fmt::format("{} was given no parameters", name),
         fmt::format("train::{} opt(net.parameters())", name));
  std::map<const VariableState*, size_t> seen;
  for (const Variable& p : parameters_) {
    p.state()->check_made(where);
    if (const auto [first, fresh] = seen.emplace(p.state().get(), seen.size()); !fresh)
      fail(Code::InvalidArgument,
           fmt::format("{} was given '{}' twice, as its parameters {} and {}: each step would change it twice", name,
                       p.name(), first->second, seen.size()),
           fmt::format("train::{} opt(net.parameters()), net being one module that holds all: it names shared "
                       "parameters once",
                       name));
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

std::vector<Variable> Optimizer::state_like_parameters(const char* name, double value) {
  const NameScope scope(name_);
  std::vector<Variable> made;
  for (const Variable& p : parameters_) {
    const OnDevice on(home_of(p));
    made.push_back(
        add_state(fmt::format("{}.{}", name, made.size()), name, full(p.shape(), value, {.dtype = p.dtype()})));
  }
  return made;
}

std::vector<Variable> Optimizer::counts() {
  const NameScope scope(name_);
  std::vector<Variable> made;
  for (const Variable& p : parameters_) {
    const OnDevice on(home_of(p));
    made.push_back(add_state(fmt::format("step.{}", made.size()), "step", zeros({}, int64)));
  }
  return made;
}

Variable Optimizer::add_state(std::string path, const char* name, const Tensor& initial) {
  const Variable v(initial, {.name = name, .trainable = false});
  state_.emplace(std::move(path), v);
  return v;
}

void Optimizer::set_schedule(Schedule schedule, std::source_location where) {
  const SourceScope source_scope(where);
  schedule_setting_->change("A schedule cannot be set in the body of a step", "opt.set_schedule(...) before the step");
  schedule_ = std::move(schedule);
  if (!schedule_ || !steps_done_.empty()) return;
  const NameScope scope(name_);
  steps_done_.push_back(add_state("steps_done", "steps_done", zeros({}, int64)));
}

Operation Optimizer::initializer(std::source_location where) const { return variables_initializer(state_, where); }

Operation Optimizer::minimize(const Tensor& loss, std::source_location where) {
  const SourceScope source_scope(where);
  std::vector<RowsGradient> rows(takes_rows() ? parameters_.size() : 0);
  const std::vector<Tensor> gradients = gradients_but_rows(loss, parameters_, rows);
  return apply(gradients, rows, where);
}

std::vector<Tensor> Optimizer::compute_gradients(const Tensor& loss, std::source_location where) const {
  const SourceScope source_scope(where);
  return gradients(loss, parameters_, {}, where);
}

Operation Optimizer::apply_gradients(const std::vector<Tensor>& gradients, std::source_location where) {
  const SourceScope source_scope(where);
  if (gradients.size() != parameters_.size())
    fail(Code::InvalidArgument,
         fmt::format("{} gradients were given for {} parameters", gradients.size(), parameters_.size()));
  return apply(gradients, {}, where);
}

Operation Optimizer::apply(const std::vector<Tensor>& gradients, std::span<const RowsGradient> rows,
                           std::source_location where) {
  const auto is_rows = [&](size_t i) { return !rows.empty() && rows[i].values.defined(); };
  const auto has_gradient = [&](size_t i) { return gradients[i].defined() || is_rows(i); };
  if (std::ranges::none_of(std::views::iota(size_t{0}, parameters_.size()), has_gradient))
    fail(Code::InvalidArgument, fmt::format("No gradients provided for any variable: {}", names_of(parameters_)),
         "a loss computed from the parameters by differentiable ops");
  const NameScope scope(name_);
  Tensor lr = tensor(lr_, {.dtype = float64});
  schedule_setting_->read();
  if (schedule_) lr = cast(schedule_(cast(steps_done_[0].assign_add(1) - 1, float64)), float64) * lr;
  std::vector<Fetch> updates;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (is_rows(i)) updates.emplace_back(update_rows(i, rows[i], lr));
    if (!gradients[i].defined()) continue;
    // One that a branch not taken leaves out is no reason to move on by momentum or decay.
    const Tensor arrived = gradient_of(gradients[i]).arrived;
    updates.emplace_back(arrived.defined() ? Fetch(cond(
                                                 arrived, [&] { update(i, gradients[i], lr); }, [] {}))
                                           : Fetch(update(i, gradients[i], lr)));
  }
  return group(updates, where);
}

Tensor Optimizer::update_rows(size_t, const RowsGradient&, const Tensor&) const {
  fail(Code::Internal, fmt::format("{} takes no gradients of rows", name_));
}

Tensor update_all(const OpDef& op, const Variable& parameter, std::span<const Tensor> gradient,
                  const std::vector<Variable>& state, const Tensor& lr, AttrsView attrs) {
  const CurrentOp current(op.name, t_state.source);
  if (executing_eagerly() && t_state.transaction &&
      t_state.transaction->wait(op, attrs, parameter, gradient, state, lr))
    return {};
  const Tensor p = parameter;
  const std::vector<Tensor> old = read_all(state);
  std::vector<const Tensor*> inputs{&p};
  for (const Tensor& g : gradient) inputs.push_back(&g);
  for (const Tensor& s : old) inputs.push_back(&s);
  inputs.push_back(&lr);
  const Outputs next = apply_all(op, inputs, attrs, t_state.source);
  return assign_all(parameter, state, {next.begin(), next.begin() + 1 + static_cast<std::ptrdiff_t>(state.size())});
}

std::vector<Tensor> read_all(const std::vector<Variable>& variables) {
  std::vector<Tensor> values;
  for (const Variable& v : variables) values.push_back(v);
  return values;
}

Tensor assign_all(const Variable& parameter, const std::vector<Variable>& state, const std::vector<Tensor>& next) {
  if (state.empty()) return parameter.assign(next[0]);  // an empty list would lift the caller's own dependencies
  std::vector<Fetch> moved;
  for (size_t k = 0; k < state.size(); ++k) moved.emplace_back(state[k].assign(next[k + 1]));
  const auto after = control_dependencies(moved);  // a run that asks for the parameter's update alone is to make all
  return parameter.assign(next[0]);
}

}  // namespace twofold::train
