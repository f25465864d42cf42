#include <twofold/lib/op/transaction.h>

#include <algorithm>
#include <bit>
#include <mutex>

#include <twofold/lib/core/error.h>
#include <twofold/lib/core/plugin.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/thread_state.h>

namespace twofold {
namespace {

// Of an update op, whose outputs are the new parameter and state: the operand that output i may be written over.
bool may_lie_over_old(const OpDef& op, size_t i) { return i < std::size(op.in_place) && op.in_place[i] >= 0; }

}  // namespace

Transaction::Transaction() : outer_(t_state.transaction) { t_state.transaction = this; }

Transaction::~Transaction() {
  if (!committed_) {
    undo();
    if (unit_) unit_->close_quietly();  // whoever gets the exception has been told
  }
  t_state.transaction = outer_;
}

LateUnit* Transaction::late_unit(int gpu) {
  if (gpu >= 0) late_gpus_ |= uint64_t{1} << gpu;
  Transaction* outermost = this;
  while (outermost->outer_) outermost = outermost->outer_;
  if (!outermost->unit_) outermost->unit_ = make_ref<LateUnit>(0);
  return outermost->unit_.get();
}

bool Transaction::Update::writes(const VariableState& v) const {
  return std::ranges::any_of(variables, [&](const auto& mine) { return mine.get() == &v; });
}

Device Transaction::Update::device() const { return gradient[0].value()->device(); }

std::vector<const Tensor*> Transaction::Update::operands(std::span<const Tensor* const> values) const {
  std::vector<const Tensor*> all{values[0]};
  for (const Tensor& g : gradient) all.push_back(&g);
  all.insert(all.end(), values.begin() + 1, values.end());
  all.push_back(&lr);
  return all;
}

void Transaction::keep(VariableState& v, const Tensor& value) {
  kept_.try_emplace(v.id, Ref<VariableState>(&v), value, v.eager_initial_value().defined());
}

bool Transaction::wait(const OpDef& op, AttrsView attrs, const Variable& parameter, std::span<const Tensor> gradient,
                       std::span<const Variable> state, const Tensor& lr) {
  const Device device = parameter.state()->eager_value().value()->device();  // what waited for it is done by this
  if (t_state.device >= 0 && t_state.device != device.index) return false;
  Update update{&op,
                attrs ? make_ref<AttrsBox>(attrs) : nullptr,
                {parameter.state()},
                {gradient.begin(), gradient.end()},
                lr,
                t_state.current};
  SmallVector<TensorSpec, 8> specs;
  const auto add = [&](const Tensor& t) {
    specs.push_back(t.value()->spec());
    return t.value()->device() == device;
  };
  bool together = add(parameter.state()->eager_value());
  for (const Tensor& g : gradient) together &= add(g);
  for (const Variable& v : state) {
    update.variables.push_back(v.state());
    together &= add(v.state()->eager_value());
  }
  add(lr);
  if (!together) return false;
  SmallVector<TensorSpec, 2> out;  // whatever can be wrong is said here, at the line that asks for the update
  infer(op, specs, attrs, {}, out);
  prepare(op, attrs, specs, out, device);
  waiting_.push_back(std::move(update));
  return true;
}

void Transaction::settle_own(const VariableState& v) {
  const auto found = std::ranges::find_if(waiting_, [&](const Update& u) { return u.writes(v); });
  if (found == waiting_.end()) return;
  const Update update = std::move(*found);
  waiting_.erase(found);
  run_keeping(update);
}

void Transaction::run_keeping(const Update& update) {
  const WithoutTape hidden;
  std::vector<std::unique_lock<std::mutex>> locks;
  std::vector<Tensor> now;
  std::vector<const Tensor*> values;
  for (const auto& v : update.variables) locks.emplace_back(v->updating());
  for (const auto& v : update.variables) now.push_back(v->eager_value());
  for (const Tensor& t : now) values.push_back(&t);
  Outputs next;
  const CurrentOp current(update.op->name, update.where);
  const OnDevice on(update.device());
  eager_apply(*update.op, update.operands(values), update.attrs_view(), update.where, next);
  for (size_t i = 0; i < now.size(); ++i) {
    keep(*update.variables[i], now[i]);
    update.variables[i]->set_eager_value(next[i]);
  }
}

// Memory for what cannot lie over the old values, so that nothing is left that may throw.
std::vector<Tensor> Transaction::places_for(const Update& update) {
  std::vector<Tensor> places;
  for (size_t i = 0; i < update.variables.size(); ++i) {
    VariableState& v = *update.variables[i];
    std::lock_guard lock(v.mutex_);
    const Value& old = *v.slot_.value();
    const bool fits = may_lie_over_old(*update.op, i) && old.is_writable();
    places.push_back(fits ? Tensor() : Tensor::adopt(Value::make(old.dtype(), old.shape(), old.device()).detach()));
  }
  return places;
}

// The variables' locks are held, so that no other thread takes hold of a value while it is written over.
void Transaction::run_in_place(const Update& update, std::vector<Tensor> places) {
  std::vector<std::unique_lock<std::mutex>> locks;
  for (const auto& v : update.variables) locks.emplace_back(v->updating_);
  for (const auto& v : update.variables) locks.emplace_back(v->mutex_);
  std::vector<const Tensor*> values;
  for (const auto& v : update.variables) values.push_back(&v->slot_);
  for (size_t i = 0; i < places.size(); ++i) {
    const Tensor& old = update.variables[i]->slot_;
    if (!places[i].defined() && old.value()->is_writable()) places[i] = old;
  }
  Outputs next;
  const CurrentOp current(update.op->name, update.where);
  const OnDevice on(update.device());
  eager_apply(*update.op, update.operands(values), update.attrs_view(), update.where, next, places);
  for (size_t i = 0; i < update.variables.size(); ++i) {
    VariableState& v = *update.variables[i];
    v.initial_ = false;
    if (next[i].same_as(v.slot_))
      v.slot_.value()->overwrite();
    else
      v.slot_ = next[i];
  }
}

void Transaction::commit() {
  if (outer_) return hand_to_outer();
  const WithoutTape hidden;
  check_operands();
  if (late_gpus_) {  // updates on the host of a step that may yet fail on a GPU are undone like assignments
    const auto on_gpu = [](const Update& u) { return !u.device().is_cpu(); };
    const auto on_host = std::ranges::stable_partition(waiting_, on_gpu);
    for (const Update& update : on_host) run_keeping(update);
    waiting_.erase(on_host.begin(), on_host.end());
  }
  std::vector<std::vector<Tensor>> places;
  for (const Update& update : waiting_) places.push_back(places_for(update));
  std::vector<Update> updates = std::move(waiting_);
  waiting_.clear();  // so that reads find the variables as they are
  for (size_t i = 0; i < updates.size(); ++i) {
    run_in_place(updates[i], std::move(places[i]));
    updates[i].gradient.clear();
  }
  if (late_gpus_) commit_on_gpus();
  committed_ = true;
  if (unit_) unit_->close();
}

// Kernels skip what they store where the step itself has failed. What others may have spoiled is waited for.
void Transaction::check_operands() const {
  if (unit_) unit_->check();
  const auto check = [&](const Tensor& t) {
    const LateErrors* errors = t.value()->late_errors();
    if (errors && !(unit_ && errors->is_only(*unit_))) errors->wait_and_check();
  };
  for (const Update& update : waiting_) {
    for (const Tensor& g : update.gradient) check(g);
    check(update.lr);
  }
  for (const auto& [id, kept] : kept_) {
    std::unique_lock lock(kept.variable->mutex_);
    const Tensor now = kept.variable->slot_;
    lock.unlock();
    check(now);
  }
}

void Transaction::hand_to_outer() {
  for (auto& [id, kept] : kept_) outer_->kept_.try_emplace(id, std::move(kept));
  for (auto& [key, count] : drawn_) outer_->drawn_.try_emplace(key, std::move(count));
  std::ranges::move(waiting_, std::back_inserter(outer_->waiting_));
  outer_->late_gpus_ |= late_gpus_;
  committed_ = true;
}

// A variable on a GPU gets its old value's memory back, with the new value copied there unless a kernel has failed by
// then. Of a variable on the host that cannot be: the GPU is waited for.
void Transaction::commit_on_gpus() {
  bool host_depends = !drawn_.empty();
  for (const auto& [id, kept] : kept_)
    if (const Device d = kept.value.value()->device(); d.is_cpu() || !(late_gpus_ >> d.gpu() & 1)) host_depends = true;
  const auto wait = [&] {
    unit_->close_quietly();
    unit_->wait();
    unit_->check();
  };
  if (host_depends || (late_gpus_ & (late_gpus_ - 1))) return wait();
  const int gpu = std::countr_zero(late_gpus_);
  std::vector<void*> to;
  std::vector<const void*> from;
  std::vector<size_t> bytes;
  std::vector<std::pair<VariableState*, Tensor>> set;
  for (auto& [id, kept] : kept_) {
    VariableState& v = *kept.variable;
    const Tensor next = v.eager_value();
    if (!(next.value()->spec() == kept.value.value()->spec())) return wait();  // no memory serves both
    const Tensor old = std::move(kept.value);
    const Tensor memory = old.value()->is_writable() ? old : copy_to(old, old.value()->device());
    kept.value = old;
    to.push_back(memory.value()->data());
    from.push_back(next.value()->data());
    bytes.push_back(next.value()->bytes());
    set.emplace_back(&v, memory);
  }
  const GpuRuntime& runtime = *gpu_runtime();
  check_gpu(
      runtime.commit(runtime.stream(gpu), unit_->known_word(gpu), to.size(), to.data(), from.data(), bytes.data()),
      "new values of variables");
  for (auto& [v, memory] : set) {
    memory.value()->overwrite();
    v->set_eager_value(std::move(memory));
  }
}

void Transaction::undo() noexcept {
  waiting_.clear();
  for (auto& [id, kept] : kept_) {
    std::lock_guard lock(kept.variable->mutex_);
    kept.variable->slot_ = std::move(kept.value);
    kept.variable->initial_ = kept.initial;
  }
  for (const auto& [key, count] : drawn_) set_eager_random_counter(*count.first, key.second, count.second);
}

}  // namespace twofold
