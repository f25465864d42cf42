#include <twofold/lib/op/apply.h>

#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/tensor_parts.h>
#include <twofold/lib/op/vjp.h>

#include <atomic>

#include <fmt/format.h>

namespace twofold {

namespace {
// By Mode::is_eager. Filled when the library is loaded.
constinit Mode* g_modes[2] = {};
std::atomic<bool> g_base_is_eager{false};
}  // namespace

void register_mode(Mode& mode) { g_modes[mode.is_eager()] = &mode; }
Mode& deferred_mode() { return *g_modes[0]; }
Mode& eager_mode() { return *g_modes[1]; }
Mode& mode() { return t_state.mode ? *t_state.mode : *g_modes[g_base_is_eager.load(std::memory_order_relaxed)]; }

bool executing_eagerly() { return mode().is_eager(); }

internal::ModeGuard::ModeGuard(Mode& mode) : outer_(t_state.mode) { t_state.mode = &mode; }
internal::ModeGuard::~ModeGuard() { t_state.mode = outer_; }
EagerMode::EagerMode() : guard_(eager_mode()) {}
DeferredMode::DeferredMode() : guard_(deferred_mode()) {}

void enable_eager_execution(std::source_location where) {
  if (g_base_is_eager) return;
  if (deferred_mode().has_begun())
    fail_at(where, "", Code::FailedPrecondition, "tf.enable_eager_execution must be called at program startup.",
            "call tf::enable_eager_execution() before the first op, or use tf::EagerMode for a scope");
  g_base_is_eager = true;
}

void compat::v1::disable_eager_execution() { g_base_is_eager = false; }

void check_input(const char* op, size_t i, const Tensor& t, std::source_location where) {
  if (!t.defined())
    fail_at(where, op, Code::InvalidArgument,
            fmt::format("Input {} of '{}' is None: an undefined Tensor, such as an unconnected gradient", i, op),
            "if (t.defined()) ...");
  if (!t.is_symbolic() || !executing_eagerly()) return;
  const auto made = t.owner()->symbol_where(t.node());
  fail_at(where, op, Code::FailedPrecondition,
          fmt::format("{} is a symbol of a graph, made at {}; eager code computes with values", to_string(t),
                      line_of(made)),
          "session.run(t) for its value, or leave eager mode");
}

std::vector<Tensor> vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                        std::span<const Tensor> dys) {
  return mode().vjp(f, inputs, dys);
}

SourceScope::SourceScope(std::source_location where) : outermost_(t_state.source_scopes++ == 0) {
  if (outermost_) t_state.source = where;
}
SourceScope::~SourceScope() { --t_state.source_scopes; }

Outputs apply_all(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where) {
  if (t_state.source_scopes) where = t_state.source;
  const CurrentOp current(op.name, where);
  const bool eager = executing_eagerly();
  bool symbolic = inputs.empty() && !eager;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& t = *inputs[i];
    if (!t.defined() || (t.is_symbolic() && eager)) check_input(op.name, i, t, where);
    symbolic |= t.is_symbolic();
  }
  Outputs outputs;
  g_modes[!symbolic]->apply(op, inputs, attrs, where, outputs);
  return outputs;
}

Tensor apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where) {
  Outputs outputs = apply_all(op, inputs, attrs, where);
  return std::move(outputs[0]);
}

}  // namespace twofold
