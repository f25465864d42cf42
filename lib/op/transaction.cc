#include <twofold/lib/op/transaction.h>

#include <algorithm>
#include <mutex>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/numerics.h>
#include <twofold/lib/runtime/plugin.h>
#include <twofold/lib/runtime/thread_state.h>

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
  if (gpu >= 0) late_gpus_.insert(gpu);
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

void Transaction::assign(VariableState& v, Tensor next) {
  Kept& kept = kept_[v.id];
  std::lock_guard lock(v.mutex_);
  if (!v.slot_.defined()) {  // a new variable
    kept_.erase(v.id);
    v.initial_ = true;
    std::swap(v.slot_, next);
    return;
  }
  if (!kept.variable || kept.put != v.version_)  // what another thread has put there meanwhile is to stay
    kept = {Ref<VariableState>(&v), v.slot_, v.initial_, v.version_, 0};
  v.initial_ = false;
  std::swap(v.slot_, next);
  kept.put = ++v.version_;
}

bool Transaction::wait(const OpDef& op, AttrsView attrs, const Variable& parameter, std::span<const Tensor> gradient,
                       std::span<const Variable> state, const Tensor& lr) {
  if (t_state.observing) return false;
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
  prepare(op, attrs, specs, out, device, internal::numerics_word());
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
  const Locks locks = lock({&update, 1}, false);
  std::vector<Tensor> now;
  std::vector<const Tensor*> values;
  for (const auto& v : update.variables) now.push_back(v->eager_value());
  for (const Tensor& t : now) values.push_back(&t);
  Outputs next;
  const CurrentOp current(update.op->name, update.where);
  const OnDevice on(update.device());
  eager_mode().apply(*update.op, update.operands(values), update.attrs_view(), update.where, next);
  for (size_t i = 0; i < now.size(); ++i) assign(*update.variables[i], next[i]);
}

// Locks the variables' updates and, with `values`, what they hold, so that nobody takes hold of a value that is to be
// written over. By order of creation: others may be locking some of them too.
Transaction::Locks Transaction::lock(std::span<const Update> updates, bool values) {
  std::vector<VariableState*> all;
  for (const Update& update : updates)
    for (const auto& v : update.variables) all.push_back(v.get());
  std::ranges::sort(all, {}, &VariableState::id);
  const auto twice = std::ranges::unique(all);
  all.erase(twice.begin(), twice.end());
  Locks locks;
  locks.reserve(2 * all.size());
  for (VariableState* v : all) locks.emplace_back(v->updating_);
  for (VariableState* v : all)
    if (values) locks.emplace_back(v->mutex_);
  return locks;
}

// Where an update's results go: over the old values or, where these are held by others, into new memory. The values are
// locked until the update is done, so that nothing is left to be allocated then, which might fail.
std::vector<Tensor> Transaction::places_for(const Update& update) {
  std::vector<Tensor> places;
  for (size_t i = 0; i < update.variables.size(); ++i) {
    const Tensor& old = update.variables[i]->slot_;
    const Value& v = *old.value();
    places.push_back(may_lie_over_old(*update.op, i) && v.is_writable()
                         ? old
                         : Tensor::adopt(Value::make(v.dtype(), v.shape(), v.device()).detach()));
  }
  return places;
}

void Transaction::run_in_place(const Update& update, std::span<const Tensor> places) {
  std::vector<const Tensor*> values;
  for (const auto& v : update.variables) values.push_back(&v->slot_);
  Outputs next;
  const CurrentOp current(update.op->name, update.where);
  const OnDevice on(update.device());
  eager_mode().apply(*update.op, update.operands(values), update.attrs_view(), update.where, next, places);
  for (size_t i = 0; i < update.variables.size(); ++i) {
    VariableState& v = *update.variables[i];
    if (const auto kept = kept_.find(v.id); kept != kept_.end() && kept->second.put == v.version_) ++kept->second.put;
    ++v.version_;
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
  if (!late_gpus_.empty()) {
    // Kernels skip what they would store if the step has failed on their own GPU. Updates elsewhere can but be undone,
    // like assignments.
    const auto knows_failures = [this](const Update& u) {
      const Device d = u.device();
      return !d.is_cpu() && late_gpus_.size() == 1 && late_gpus_.contains(d.gpu());
    };
    const auto rest = std::ranges::stable_partition(waiting_, knows_failures);
    const std::vector<Update> elsewhere(std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
    waiting_.erase(rest.begin(), rest.end());
    for (const Update& update : elsewhere) run_keeping(update);
  }
  run_waiting();
  if (!late_gpus_.empty()) commit_on_gpus();
  committed_ = true;
  if (unit_) unit_->close();
}

void Transaction::run_waiting() {
  std::vector<Update> updates = std::move(waiting_);
  waiting_.clear();  // so that reads find the variables as they are
  const Locks locks = lock(updates, true);
  std::vector<std::vector<Tensor>> places;
  for (const Update& update : updates) places.push_back(places_for(update));
  for (size_t i = 0; i < updates.size(); ++i) {
    run_in_place(updates[i], places[i]);
    updates[i].gradient.clear();
  }
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
  for (auto& [id, mine] : kept_) {
    const auto [at, is_new] = outer_->kept_.try_emplace(id, std::move(mine));
    if (is_new) continue;
    Kept& outers = at->second;
    if (outers.put == mine.before)
      outers.put = mine.put;
    else
      outers = std::move(mine);  // another thread has put something between the two
  }
  for (auto& [key, mine] : drawn_) {
    Drawn& outers = outer_->drawn_[key];
    outers.counters = std::move(mine.counters);
    outers.taken.add(mine.taken);
  }
  std::ranges::move(waiting_, std::back_inserter(outer_->waiting_));
  outer_->late_gpus_.insert(late_gpus_.begin(), late_gpus_.end());
  committed_ = true;
}

// A variable on a GPU gets its old value's memory back, with the new value copied there unless a kernel has failed by
// then. Of a variable on the host that cannot be: the GPU is waited for.
void Transaction::commit_on_gpus() {
  bool host_depends = !drawn_.empty();
  for (const auto& [id, kept] : kept_)
    if (const Device d = kept.value.value()->device(); d.is_cpu() || !late_gpus_.contains(d.gpu())) host_depends = true;
  const auto wait = [&] {
    unit_->close_quietly();
    unit_->wait();
    unit_->check();
  };
  if (host_depends || late_gpus_.size() > 1) return wait();
  const int gpu = *late_gpus_.begin();
  std::vector<void*> to;
  std::vector<const void*> from;
  std::vector<size_t> bytes;
  struct Set {
    Kept* kept;
    Tensor memory, next;
  };
  std::vector<Set> set;
  for (auto& [id, kept] : kept_) {
    VariableState& v = *kept.variable;
    std::unique_lock lock(v.mutex_);
    if (v.version_ != kept.put) continue;  // another thread's value stays
    const Tensor next = v.slot_;
    lock.unlock();
    const Tensor& old = kept.value;
    if (!(next.value()->spec() == old.value()->spec())) return wait();  // no memory serves both
    const Tensor memory = old.value()->is_writable() ? old : copy_to(old, old.value()->device());
    to.push_back(memory.value()->data());
    from.push_back(next.value()->data());
    bytes.push_back(next.value()->bytes());
    set.push_back({&kept, memory, next});
  }
  const GpuRuntime& runtime = *gpu_runtime();
  check_gpu(
      runtime.commit(runtime.stream(gpu), unit_->known_word(gpu), to.size(), to.data(), from.data(), bytes.data()),
      "new values of variables");
  for (auto& [kept, memory, next] : set) {
    memory.value()->overwrite();
    VariableState& v = *kept->variable;
    std::lock_guard lock(v.mutex_);
    if (v.version_ != kept->put) continue;
    ++v.version_;
    std::swap(v.slot_, memory);
  }
}

void Transaction::undo() noexcept {
  waiting_.clear();
  for (auto& [id, kept] : kept_) {
    VariableState& v = *kept.variable;
    std::lock_guard lock(v.mutex_);
    if (v.version_ != kept.put) continue;
    std::swap(v.slot_, kept.value);
    v.initial_ = kept.initial;
    v.version_ = kept.before;  // which an outer transaction may have put
  }
  for (const auto& [key, drawn] : drawn_) give_back_eager_counts(*drawn.counters, key.second, drawn.taken);
}

}  // namespace twofold
