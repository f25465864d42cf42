#include <fmt/format.h>

#include <cstdlib>
#include <unordered_map>

#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/plugin.h>

namespace twofold {

namespace {
struct Registry {
  std::vector<OpDef*> ops;
  std::unordered_map<std::string_view, OpDef*> by_name;
};
Registry& registry() {
  static Registry r;
  return r;
}
}  // namespace

std::span<OpDef* const> all_ops() { return registry().ops; }

const OpDef* find_op(std::string_view name) {
  const auto it = registry().by_name.find(name);
  return it == registry().by_name.end() ? nullptr : it->second;
}

void register_op(OpDef& op) {
  op.id = number_op(op.key);
  registry().ops.push_back(&op);
  if (!registry().by_name.emplace(op.name, &op).second) {
    fmt::print(stderr, "twofold: two ops are called {}\n", op.name);  // a build's mistake, never a user's
    std::abort();
  }
}

void InferContext::output(DType dtype, const Shape& shape) {
  if (shape.is_known()) checked_bytes(dtype, shape);
  outputs_.push_back({dtype, shape});
}

void InferContext::check_lists() const {
  if (op_.flags.lists || op_.flags.session) return;
  for (const TensorSpec& s : inputs_)
    if (s.dtype == DType::list)
      twofold::fail(Code::InvalidArgument, fmt::format("'{}' takes tensors, not the list of a TensorArray", op_.name),
                    "array.stack()");
}

std::optional<PartialValues> InferContext::known_values(int i) const {
  const Tensor* t = static_cast<size_t>(i) < tensors_.size() ? tensors_[static_cast<size_t>(i)] : nullptr;
  if (!t || !t->defined()) return std::nullopt;
  if (t->is_symbolic()) return t->owner()->symbol_known_values(t->node(), t->output());
  if (!is_integer(t->dtype())) return std::nullopt;
  return dispatch(t->dtype(), [&](auto zero) {
    const auto* p = static_cast<const decltype(zero)*>(t->value()->on_host().data());
    return PartialValues(p, p + t->value()->num_elements());
  });
}

void InferContext::fail(std::string message, std::string hint) const {
  std::string shapes;
  for (const auto& s : inputs_) shapes += (shapes.empty() ? "" : ", ") + s.shape.brackets();
  twofold::fail(Code::InvalidArgument,
                fmt::format("{} for '{}' (op: '{}'){}{}.", message, op_.node_name, op_.name,
                            inputs_.empty() ? "" : " with input shapes: ", shapes),
                std::move(hint));
}

int InferContext::axis(int64_t axis, int rank) const {
  if (rank == 0) fail(fmt::format("Axis {} is out of range: a scalar has no axes", axis));
  if (axis < -rank || axis >= rank)
    fail(fmt::format("Axis {} is out of range for rank {}, which has axes {}..{}", axis, rank, -rank, rank - 1));
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace twofold
