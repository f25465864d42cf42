// Immediate execution, a mode: the thin shell around `launch`.
#include <fmt/format.h>

#include <chrono>

#include <twofold/eager/execute.h>
#include <twofold/eager/tape.h>
#include <twofold/eager/trace.h>
#include <twofold/kernels/variable/assignment.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>

namespace twofold {

void execute_now(const OpDef& op, Inputs inputs, AttrsView attrs, uint64_t random_counter, std::source_location where,
                 Outputs& outputs, std::span<const Tensor> over) {
  if (t_state.tape) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i]->value()->is_shell() && !op.flags.alias && !op.reads_shape(i))
        fail(Code::Internal,
             fmt::format("'{}' reads input {} that the tape did not keep: the gradient rule's op does not list it "
                         "under `reads`",
                         op.name, i));
    }
  }
  if (Ledger* ledger = current_ledger()) {
    const auto start = std::chrono::steady_clock::now();
    std::chrono::nanoseconds kernel;
    launch(op, inputs, attrs, random_counter, outputs, &kernel, over);
    ledger->add_op(op.name, kernel);
    ledger->add(Phase::dispatch, std::chrono::steady_clock::now() - start - kernel);
  } else {
    launch(op, inputs, attrs, random_counter, outputs, nullptr, over);
  }
  if (t_state.observing) t_state.observing->eager_op(op, inputs, outputs, where);
  for (Tape* tape = t_state.tape; tape; tape = tape->next()) tape->record(op, inputs, attrs, where, outputs);
}

namespace {

// Tensors of their own.
std::vector<Tensor> apart(std::span<const Tensor> values) {
  std::vector<Tensor> all;
  for (const Tensor& t : values) all.push_back(carries_gradient(t.dtype()) ? renamed(t) : t);
  return all;
}

class EagerExecution final : public Mode {
 public:
  constexpr EagerExecution() : Mode(true) {}

  void apply(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, Outputs& outputs,
             std::span<const Tensor> over) override {
    execute_now(op, inputs, attrs, op.flags.random ? next_eager_random_counter(random_key_of(attrs)) : 0, where,
                outputs, over);
  }

  Tensor source(const Tensor& value, const std::string&, std::source_location) override {
    return t_state.device < 0 ? value : moved_to(value, {t_state.device});
  }
  RandomOrdinals& random_ordinals() override { return eager_random_ordinals(); }

  Variable variable(const Tensor& initial, const VariableOptions& options, std::source_location where) override {
    auto state = make_ref<VariableState>(options.name.empty() ? "Variable" : options.name, initial.dtype(),
                                         options.shape.value_or(initial.shape()), options.trainable, where);
    state->set_eager_value(renamed(source(initial, "", where)));
    return Variable::of(std::move(state));
  }
  Tensor read(const Variable& v, Tensor value, std::source_location) override {
    return t_state.tape && is_floating(v.dtype()) ? recorded_read(v.state(), value) : value;
  }
  Tensor assign(const Variable& v, const Operand& value, const OpDef& op) override {
    const Tensor& given = assigned_value(v, value, op);
    std::unique_lock lock(v.state()->updating());
    const Tensor current = v.state()->eager_value();
    return assign_now(
        op, v.state(), current.value()->device(), given, value.where(), [&]() -> const Tensor& { return current; },
        [&](const Tensor& next) {
          v.state()->set_eager_value(next);
          lock.unlock();  // whoever observes may use the variable
        });
  }
  Operation initializer(const Variable&) override { return {}; }
  Tensor initial_value(const Variable& v, std::source_location where) override {
    const Tensor initial = v.state()->eager_initial_value();
    if (!initial.defined())
      fail_at(where, "", Code::FailedPrecondition,
              fmt::format("The eager variable '{}' has been assigned, and its initial value is not kept", v.name()),
              "make the other variable before, or v.read() for the value now");
    return initial;
  }

  std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                std::span<const Tensor> dys, std::span<RowsGradient> rows) override {
    return tape_gradients(ys, xs, dys, rows);
  }
  std::vector<Tensor> vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                          std::span<const Tensor> dys) override {
    return tape_vjp(f, inputs, dys);
  }
  std::vector<Tensor> call_body(std::span<const Tensor> inputs, const internal::TensorFunction& body, bool goes_on,
                                std::source_location where) override {
    return t_state.tape ? run_traced(inputs, body, {.where = where, .goes_on = goes_on}).outputs
                        : apart(body(apart(inputs)));
  }
  std::unique_ptr<Recording> record(bool watch_variables) override { return record_on_tape(watch_variables); }

  bool has_begun() const override { return false; }
};
constinit EagerExecution g_eager;
__attribute__((constructor(101))) void register_eager() { register_mode(g_eager); }

}  // namespace
}  // namespace twofold
