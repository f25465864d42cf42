#include <twofold/lib/train/sgd.h>

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
namespace {

std::string names_of(const std::vector<Variable>& variables) {
  std::vector<std::string> names;
  for (const Variable& v : variables) names.push_back(fmt::format("'{}'", v.name()));
  return fmt::format("[{}]", fmt::join(names, ", "));
}

void check(const std::vector<Variable>& parameters, const SGDOptions& o) {
  if (parameters.empty())
    fail(Code::InvalidArgument, "SGD was given no parameters", "train::SGD opt(net.parameters())");
  for (const Variable& p : parameters) {
    if (!is_floating(p.dtype()))
      fail(Code::InvalidArgument,
           fmt::format("SGD was given '{}' of dtype {}, which has no gradients", p.name(), name_of(p.dtype())));
    if (!p.shape().is_known())
      fail(Code::InvalidArgument,
           fmt::format("SGD was given '{}' of the partly unknown shape {}", p.name(), p.shape().str()));
  }
  const auto check_number = [](const char* name, double value) {
    if (!(value >= 0))
      fail(Code::InvalidArgument, fmt::format("Invalid {} value: {}; it must not be negative", name, value));
  };
  check_number("lr", o.lr);
  check_number("momentum", o.momentum);
  check_number("weight_decay", o.weight_decay);
  if (o.nesterov && o.momentum == 0)
    fail(Code::InvalidArgument, "Nesterov momentum requires a momentum", "{.momentum = 0.9, .nesterov = true}");
}

}  // namespace

SGD::SGD(std::vector<Variable> parameters, SGDOptions options, std::source_location where)
    : parameters_(std::move(parameters)), options_(options) {
  const SourceFrame frame(where);
  check(parameters_, options_);
  if (options_.momentum == 0) return;
  const NameScope scope("SGD");
  for (const Variable& p : parameters_)
    velocities_.emplace_back(zeros(p.shape(), p.dtype()), VariableOptions{.name = "momentum", .trainable = false});
}

Operation SGD::minimize(const Tensor& loss, std::source_location where) {
  const SourceFrame frame(where);
  return apply_gradients(compute_gradients(loss, where), where);
}

std::vector<Tensor> SGD::compute_gradients(const Tensor& loss, std::source_location where) const {
  const SourceFrame frame(where);
  return gradients(loss, {parameters_.begin(), parameters_.end()}, where);
}

Tensor SGD::update(size_t i, Tensor g) const {
  const Variable& p = parameters_[i];
  if (options_.weight_decay != 0) g = g + p * options_.weight_decay;
  if (options_.momentum != 0) {
    const Tensor v = velocities_[i].assign(velocities_[i] * options_.momentum + g);
    g = options_.nesterov ? g + v * options_.momentum : v;
  }
  return p.assign_sub(g * options_.lr);
}

Operation SGD::apply_gradients(const std::vector<Tensor>& gradients, std::source_location where) {
  const SourceFrame frame(where);
  if (gradients.size() != parameters_.size())
    fail(Code::InvalidArgument,
         fmt::format("{} gradients were given for {} parameters", gradients.size(), parameters_.size()));
  if (std::ranges::none_of(gradients, &Tensor::defined))
    fail(Code::InvalidArgument, fmt::format("No gradients provided for any variable: {}", names_of(parameters_)),
         "a loss computed from the parameters by differentiable ops");
  const NameScope scope("SGD");
  std::vector<Fetch> updates;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    // One that a branch not taken leaves out is no reason to move on by momentum or decay.
    const Tensor arrived = gradient_of(gradients[i]).arrived;
    updates.emplace_back(arrived.defined() ? Fetch(cond(
                                                 arrived, [&] { update(i, gradients[i]); }, [] {}))
                                           : Fetch(update(i, gradients[i])));
  }
  return group(updates, where);
}

}  // namespace twofold::train
