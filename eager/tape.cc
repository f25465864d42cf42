#include <twofold/eager/tape.h>
#include <twofold/lib/op/random_key.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/variable/variable_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/vjp.h>

namespace twofold {

Tape::Tape(bool watch_variables) : watch_variables_(watch_variables), outer_(nullptr) {
  static thread_local AtThreadEnd at_thread_end;
  sweep();
  outer_ = std::exchange(t_state.tape, this);
}
Tape::Tape(const Apart& apart) : apart_(true), everything_(apart.everything), outer_(t_state.tape) {
  if (apart.after) {
    records_ = apart.after->records_;
    active_ = apart.after->active_;
    variables_ = apart.after->variables_;
    captures_ = apart.after->captures_;
  }
  t_state.tape = this;
}
Tape::~Tape() { stop(); }

uint64_t Tape::this_thread() {
  static std::atomic<uint64_t> g_next{1};
  static constinit thread_local uint64_t t_number = 0;
  if (t_number == 0) t_number = g_next.fetch_add(1, std::memory_order_relaxed);
  return t_number;
}

void Tape::destroy(Tape* tape) {
  const bool is_here = tape->is_of_this_thread();
  if (!is_here && tape->ownership_.exchange(Ownership::abandoned) != Ownership::orphaned) return;
  if (!is_here) tape->recording_ = false;              // on no thread's list any more
  if (is_here && tape->recording_ && !tape->stop()) {  // hidden, as where an observer ends it: the next sweep finds it
    tape->ownership_ = Ownership::abandoned;
    return;
  }
  delete tape;
}

void Tape::sweep() {
  for (Tape** p = &t_state.tape; *p;) {
    Tape* const tape = *p;
    if (tape->ownership_ == Ownership::abandoned) {
      *p = tape->outer_;
      tape->recording_ = false;
      delete tape;
    } else {
      p = &tape->outer_;
    }
  }
}

Tape::AtThreadEnd::~AtThreadEnd() {
  for (Tape* tape = std::exchange(t_state.tape, nullptr); tape;) {
    Tape* const outer = tape->outer_;
    if (tape->ownership_.exchange(Ownership::orphaned) == Ownership::abandoned) {
      tape->recording_ = false;
      delete tape;
    }
    tape = outer;
  }
}

bool Tape::stop() {
  if (!recording_) return true;
  // Usually the innermost; a tape may also be stopped from within a nested one.
  for (Tape** p = &t_state.tape; *p; p = &(*p)->outer_) {
    if (*p == this) {
      *p = outer_;
      recording_ = false;
      return true;
    }
  }
  return false;
}

static Tensor shell_of(const VariableState& v) { return Tensor::adopt(Value::shell(v.dtype, v.shape, {}, 0).detach()); }
static Tensor shell_of(const Tensor& t) {
  return Tensor::adopt(Value::shell(t.dtype(), t.shape(), t.value()->device(), t.id()).detach());
}

void Tape::capture(const Tensor& t) {
  captures_.push_back(shell_of(t));
  active_.insert(t.id());
}

bool Tape::depends(const Tensor& t) {
  const uint64_t id = t.id();
  if (active_.contains(id)) return true;
  if (!apart_) return false;
  for (const Tape* around = outer_; around; around = around->outer_) {
    if (!around->active_.contains(id)) continue;
    capture(t);
    return true;
  }
  return false;
}

bool Tape::watches(const VariableState& v) const {
  if (!is_floating(v.dtype)) return false;
  return everything_ || (watch_variables_ && v.trainable) || watched_variables_.contains(v.id) ||
         (apart_ && outer_ && outer_->watches(v));
}

bool Tape::depends(const Ref<VariableState>& v) {
  if (!watches(*v)) return false;
  if (apart_ && std::ranges::find(variables_, v) == variables_.end()) variables_.push_back(v);
  return true;
}

void Tape::watch_inside(const Tensor& inside, const Tensor& outside) {
  bool watched = everything_ && carries_gradient(inside.dtype());
  for (const Tape* around = outer_; around && !watched; around = around->outer_)
    watched = around->active_.contains(outside.id());
  if (watched) active_.insert(inside.id());
}

void Tape::record_read(const Ref<VariableState>& v, const Tensor& value) {
  if (!depends(v)) return;
  Record& r = records_.emplace_back();
  r.op = &read_variable_op;
  r.variables.push_back(v);
  r.watched.push_back(true);
  r.outputs.push_back(shell_of(value));
  active_.insert(value.id());
}

void Tape::record(const OpDef& op, Inputs inputs, AttrsView attrs, std::source_location where, const Outputs& outputs,
                  std::span<const Ref<VariableState>> variables) {
  const auto flows = [](const Tensor& t) { return carries_gradient(t.dtype()); };
  if (op.differentiable == Differentiability::none || std::ranges::none_of(outputs, flows)) return;
  if (ownership_.load(std::memory_order_relaxed) != Ownership::kept) return;  // nobody will ask
  // All of them, for a tape apart notes what it captures. No gradient flows where only a shape is used.
  bool any = false;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!op.reads_shape(i)) any |= depends(*inputs[i]);
  std::vector<bool> watched;
  for (const auto& v : variables) any |= watched.emplace_back(depends(v));
  if (!any) return;
  Record& r = records_.emplace_back();
  r.op = &op;
  if (attrs) r.attrs = make_ref<AttrsBox>(attrs);
  r.where = where;
  const auto kept = [](const Tensor& t, bool read) { return read ? retained(t) : shell_of(t); };
  for (size_t i = 0; i < inputs.size(); ++i) r.inputs.push_back(kept(*inputs[i], op.reads.input(i)));
  for (size_t i = 0; i < outputs.size(); ++i) {
    r.outputs.push_back(kept(outputs[i], op.reads.output(i)));
    if (flows(outputs[i])) active_.insert(outputs[i].id());
  }
  r.variables.assign(variables.begin(), variables.end());
  r.watched = std::move(watched);
}

bool Tape::is_read(size_t r) const { return records_[r].op->flags.reads_variable; }

TensorKey Tape::input_key(size_t r, size_t i) const {
  const Record& record = records_[r];
  const size_t n = record.inputs.size();
  if (i < n) return record.inputs[i].id();
  return record.watched[i - n] ? variable_key(*record.variables[i - n]) : kNoKey;
}
Tensor Tape::input(size_t r, size_t i) const {
  const Record& record = records_[r];
  const size_t n = record.inputs.size();
  return i < n ? record.inputs[i] : shell_of(*record.variables[i - n]);
}

std::vector<Tensor> Tape::gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                    std::span<const Tensor> dys, std::span<RowsGradient> rows) const {
  const ScopePath scope("gradients");  // as in graphs
  std::vector<Seed> seeds;
  for (size_t i = 0; i < ys.size(); ++i) {
    if (!dys.empty() && !dys[i].defined()) continue;
    seeds.push_back({ys[i].id(), {dys.empty() ? ones_like(ys[i]) : identity(dys[i]), {}}});
  }
  std::vector<TensorKey> keys;
  for (const Differentiable& x : xs)
    keys.push_back(x.variable()                        ? variable_key(*x.variable())
                   : active_.contains(x.tensor().id()) ? x.tensor().id()
                                                       : kNoKey);
  return differentiate(*this, seeds, keys, rows);
}

std::vector<Tensor> tape_gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs,
                                   std::span<const Tensor> dys, std::span<RowsGradient> rows) {
  if (!t_state.tape)
    fail(Code::FailedPrecondition,
         "tf.gradients is not supported when eager execution is enabled and no GradientTape is live.",
         "tf::GradientTape tape; ... tape.gradient(y, x), or a tf::step around the opt.minimize(loss)");
  return t_state.tape->gradients(ys, xs, dys, rows);
}

std::vector<Tensor> tape_vjp(const internal::TensorFunction& f, std::span<const Tensor> inputs,
                             std::span<const Tensor> dys) {
  Tape tape(false);
  // Fresh handles, so that one tensor given twice is two inputs.
  std::vector<Tensor> fresh;
  std::vector<Differentiable> xs;
  for (const Tensor& t : inputs) {
    fresh.push_back(identity(t));
    tape.watch(fresh.back());
    xs.emplace_back(fresh.back());
  }
  const std::vector<Tensor> ys = f(fresh);
  tape.stop();
  return tape.gradients(ys, xs, dys);
}

Tensor recorded_read(const Ref<VariableState>& v, const Tensor& value) {
  Tensor read = renamed(value);
  for (Tape* t = t_state.tape; t; t = t->next()) t->record_read(v, read);
  return read;
}

namespace {

class TapeRecording final : public Recording {
 public:
  explicit TapeRecording(bool watch_variables) : tape_(new Tape(watch_variables)) {}
  void check_thread() const override {
    if (!tape_->is_of_this_thread())
      fail(Code::FailedPrecondition, "A GradientTape is of the thread that made it and is used on another",
           "make the tape on the thread whose ops it is to record");
  }
  void watch(const Tensor& x) override { tape_->watch(x); }
  void watch(const Ref<VariableState>& x) override { tape_->watch(*x); }
  std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Differentiable> xs, bool last) override {
    if (last) tape_->stop();
    return tape_->gradients(ys, xs, {});
  }

 private:
  struct Destroy {
    void operator()(Tape* tape) const { Tape::destroy(tape); }
  };
  const std::unique_ptr<Tape, Destroy> tape_;
};

}  // namespace

std::unique_ptr<Recording> record_on_tape(bool watch_variables) {
  return std::make_unique<TapeRecording>(watch_variables);
}

}  // namespace twofold
