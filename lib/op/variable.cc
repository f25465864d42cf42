#include <twofold/lib/op/variable.h>

#include <fmt/format.h>

#include <ostream>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/observer.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable_ops.h>

namespace twofold {

uint64_t VariableState::next_id() {
  static std::atomic<uint64_t> g_next{1};
  return g_next.fetch_add(1, std::memory_order_relaxed);
}
Tensor VariableState::eager_value() const {
  if (t_state.transaction) t_state.transaction->settle(*this);
  std::lock_guard lock(mutex_);
  return slot_;
}
void VariableState::set_eager_value(Tensor v) {
  if (t_state.transaction) return t_state.transaction->assign(*this, std::move(v));
  std::lock_guard lock(mutex_);
  initial_ = !slot_.defined();
  ++version_;
  std::swap(slot_, v);
}
Tensor VariableState::eager_initial_value() const {
  if (t_state.transaction) t_state.transaction->settle(*this);
  std::lock_guard lock(mutex_);
  return initial_ ? slot_ : Tensor();
}

namespace {

Tensor initial_tensor(const Operand& initial, const VariableOptions& options) {
  if (!options.dtype) return initial.resolve();
  if (initial.is_literal() && initial.literal().kind() != Literal::Kind::typed) {
    const Tensor value = initial.literal().to_tensor(*options.dtype);  // throws where it does not fit
    return executing_eagerly() ? value : graph_constant(value, "", initial.where());
  }
  const Tensor& t = initial.resolve();
  const DType from = t.dtype(), to = *options.dtype;
  if (!is_floating(to) && promote(from, to) != to)
    fail(Code::InvalidArgument,
         fmt::format("An initial value of dtype {} cannot become {} without loss", name_of(from), name_of(to)),
         fmt::format("tf::cast(value, {})", spelling_of(to)));
  return cast(t, to);
}

// A variable was used in the other mode than the one that it was made in.
[[noreturn]] void throw_other_mode(const Variable& v, const char* use, const char* op, std::source_location where) {
  const VariableState& s = *v.state();
  s.check_made(where);
  if (executing_eagerly())
    fail_at(where, op, Code::FailedPrecondition,
            fmt::format("The variable '{}', made at {}, belongs to a graph; eager code cannot {} it", v.name(),
                        line_of(s.where), use),
            "session.run(v) for its value");
  fail_at(where, op, Code::FailedPrecondition,
          fmt::format("The eager variable '{}', made at {}, cannot be used in a graph", v.name(), line_of(s.where)),
          "make the variable in deferred mode, or feed its value");
}

// The new value an assignment stores, checked against what the variable holds.
const Tensor& checked(const Variable& v, const Operand& value, const char* op) {
  v.state()->check_made(value.where());
  const Tensor& t = value.resolve(v.dtype());
  check_input(op, 0, t, value.where());
  if (t.dtype() != v.dtype())
    fail_at(value.where(), op, Code::InvalidArgument,
            fmt::format("{} of a {} value to the variable '{}' of dtype {}", op, name_of(t.dtype()), v.name(),
                        name_of(v.dtype())),
            fmt::format("tf::cast(value, {})", spelling_of(v.dtype())));
  return t;
}

Tensor assignment(const Variable& v, const Operand& value, const OpDef& op) {
  SourceFrame frame(value.where());
  const bool eager = executing_eagerly();
  if (v.state()->eager_value().defined() != eager) throw_other_mode(v, "assign", op.name, value.where());
  if (!eager) {
    // A concrete value assigned to a graph's variable becomes a constant of that graph.
    Tensor assigned;
    graph_call(v.graph(), [&] {
      const Tensor& given = checked(v, value, op.name);
      const Tensor symbol = given.is_symbolic() ? given : graph_constant(given, "", value.where());
      assigned = apply(op, {&symbol}, VariableAttrs{v.state()}, value.where());
    });
    return assigned;
  }
  const Tensor& given = checked(v, value, op.name);
  const std::lock_guard lock(v.state()->updating());
  const Tensor current = v.state()->eager_value();
  // A tensor of its own: no gradient flows through state, and other holders of the value are other tensors.
  const WithoutTape hidden;
  const Device device = current.value()->device();
  const Tensor next = [&] {
    const Observing::Hidden sums;  // parts of the assignment, which is observed as one
    return &op == &assign_op       ? renamed(moved_to(given, device))
           : &op == &assign_add_op ? moved_to(add(current, given), device)
                                   : moved_to(subtract(current, given), device);
  }();
  if (!next.shape().compatible_with(v.shape()))
    fail_at(value.where(), op.name, Code::InvalidArgument,
            fmt::format("{} of a value of shape {} to the variable '{}' of shape {}", op.name, next.shape().str(),
                        v.name(), v.shape().str()));
  v.state()->set_eager_value(next);
  if (t_state.observing) {
    const Tensor* const inputs[] = {&given};
    t_state.observing->eager_op(op, inputs, {&next, 1}, value.where());
  }
  return renamed(next);
}

}  // namespace

void VariableState::check_made(std::source_location line) const {
  if (name.empty())
    fail_at(line, "", Code::FailedPrecondition, "This Variable is none yet: it was declared without a value",
            "v = tf::Variable(tf::zeros({2}))");
}

Variable::Variable() {
  static const auto* const none =
      new Ref(make_ref<VariableState>("", float32, unknown_shape, false, std::source_location()));
  state_ = *none;
}

Variable::Variable(Operand initial, VariableOptions options) {
  SourceFrame frame(initial.where());
  if (t_state.random_frame)
    fail(Code::FailedPrecondition,
         fmt::format("{} is made in the body of a step or loop, at every pass",
                     options.name.empty() ? "A Variable" : "The variable '" + options.name + "'"),
         "make it before the body");
  if (initial.tensor()) check_input("Variable", 0, *initial.tensor(), initial.where());
  const Tensor value = initial_tensor(initial, options);
  if (options.shape && !value.shape().compatible_with(*options.shape))
    fail(Code::InvalidArgument, fmt::format("An initial value of shape {} is not of the variable's shape {}",
                                            value.shape().str(), options.shape->str()));
  if (executing_eagerly()) {
    state_ = make_ref<VariableState>(options.name.empty() ? "Variable" : options.name, value.dtype(),
                                     options.shape.value_or(value.shape()), options.trainable, initial.where());
    state_->set_eager_value(renamed(t_state.device < 0 ? value : moved_to(value, {t_state.device})));
  } else {
    *this = graph_variable(value, options, initial.where());
  }
}

Variable::Variable(Ref<VariableState> state, Ref<RefCounted> keeps_alive)
    : state_(std::move(state)), graph_(std::move(keeps_alive)) {}

Tensor Variable::read(std::source_location where) const {
  Tensor value = state_->eager_value();
  if (value.defined() != executing_eagerly()) throw_other_mode(*this, "read", "", where);
  if (!value.defined()) return graph_read(*this, where);
  return t_state.tape && is_floating(dtype()) ? eager_read(state_, value) : value;
}

Tensor Variable::assign(Operand value) const { return assignment(*this, value, assign_op); }
Tensor Variable::assign_add(Operand value) const { return assignment(*this, value, assign_add_op); }
Tensor Variable::assign_sub(Operand value) const { return assignment(*this, value, assign_sub_op); }

Operation Variable::initializer() const {
  return state_->eager_value().defined() ? Operation() : graph_initializer(*state_);
}
Tensor Variable::initial_value(std::source_location where) const {
  if (!state_->eager_value().defined()) return graph_initial_value(*state_);
  const Tensor initial = state_->eager_initial_value();
  if (!initial.defined())
    fail_at(where, "", Code::FailedPrecondition,
            fmt::format("The eager variable '{}' has been assigned, and its initial value is not kept", name()),
            "make the other variable before, or v.read() for the value now");
  return initial;
}

Device home_of(const Variable& v) {
  const Tensor value = v.state()->eager_value();
  if (value.defined()) return value.value()->device();
  return {v.state()->device < 0 ? t_state.device : v.state()->device};
}

std::ostream& operator<<(std::ostream& out, const Variable& v) {
  const Tensor value = v.state()->eager_value();
  out << "<tf.Variable '" << v.name() << "' shape=" << v.shape() << " dtype=" << v.dtype();
  if (value.defined()) out << " numpy=" << (v.shape().rank() ? "\n" : "") << value;
  return out << ">";
}

}  // namespace twofold
