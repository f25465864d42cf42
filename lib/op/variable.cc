#include <twofold/lib/op/variable.h>

#include <fmt/format.h>

#include <atomic>
#include <ostream>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/handle_order.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/transaction.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable_state.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

VariableState::VariableState(std::string full_name, DType type, const Shape& extents, bool is_trainable,
                             std::source_location line)
    : name(std::move(full_name)),
      dtype(type),
      shape(extents),
      trainable(is_trainable),
      where(line),
      device(t_state.device),
      id(next_id()) {}

uint64_t VariableState::next_id() {
  static std::atomic<uint64_t> g_next{1};
  return g_next.fetch_add(1, std::memory_order_relaxed);
}
Tensor VariableState::eager_value() const {
  if (t_state.transaction) t_state.transaction->settle(*this);
  std::lock_guard lock(mutex_);
  return slot_;
}
bool VariableState::is_eager() const {
  std::lock_guard lock(mutex_);
  return slot_.defined();
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

// Whether code in this mode may use a variable that is eager, or one that is not.
bool may_use(const Mode& now, bool eager) { return eager == now.is_eager() || (eager && now.takes_eager_variables()); }

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

Variable::Variable(Ref<VariableState> state, Ref<RefCounted> graph)
    : state_(std::move(state)), graph_(std::move(graph)) {}

DType Variable::dtype() const { return state_->dtype; }
const Shape& Variable::shape() const { return state_->shape; }
bool Variable::trainable() const { return state_->trainable; }
std::string Variable::name() const { return state_->name + ":0"; }
Variable::operator Tensor() const { return read(state_->where); }
uint64_t internal::handle_id(const Variable& v) { return v.state() ? v.state()->id : 0; }

Tensor Variable::read(std::source_location where) const {
  Tensor value = state_->eager_value();
  Mode& now = mode();
  if (!may_use(now, value.defined())) throw_other_mode(*this, "read", "", where);
  return now.read(*this, std::move(value), where);
}

Tensor internal::assign(const Variable& v, const Operand& value, const OpDef& op) {
  const SourceScope source_scope(value.where());
  // What waits to write it is done by this, before the lock on its updates is held.
  Mode& now = mode();
  if (!may_use(now, v.state()->eager_value().defined())) throw_other_mode(v, "assign", op.name, value.where());
  return now.assign(v, value, op);
}

const Tensor& assigned_value(const Variable& v, const Operand& value, const OpDef& def) {
  const char* const op = def.name;
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

// Of the variable, whichever is this thread's.
static Mode& mode_of(const Variable& v) { return v.state()->is_eager() ? eager_mode() : deferred_mode(); }

Operation Variable::initializer() const { return mode_of(*this).initializer(*this); }
Tensor Variable::initial_value(std::source_location where) const { return mode_of(*this).initial_value(*this, where); }

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
