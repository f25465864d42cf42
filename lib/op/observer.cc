#include <twofold/lib/op/observer.h>

#include <fmt/format.h>

#include <algorithm>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/opdef.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold {

// While an observer is called the thread is as if nothing were under way on it.
class ObserverCall {
 public:
  explicit ObserverCall(const ObservedThread& observing)
      : draws_{{kSeed, 0, true, {}}, observing.draws_}, program_(t_state), in_no_unit_(nullptr) {
    hidden_.call_ = this;
    t_state = {.mode = &eager_mode(), .graph = program_.graph, .observer_levels = hidden_.level()};
  }
  ~ObserverCall() {
    program_.observing = nullptr;  // comes back with what is hidden
    program_.observer_levels = hidden_.level();
    t_state = program_;
  }
  ObserverCall(const ObserverCall&) = delete;
  ObserverCall& operator=(const ObserverCall&) = delete;

  ObserverDraws& draws() { return draws_; }

 private:
  static constexpr uint64_t kSeed = 0x6f62736572766572;  // no program's

  ObserverDraws draws_;
  ThreadState program_;
  HiddenObservers hidden_;
  const InLateUnit in_no_unit_;
};

void refuse_in_observer(const void* session, const char* use) {
  bool called = false;
  for (ObserverLevel* level = t_state.observer_levels; level; level = level->outer) {
    if (const HiddenObservers* hidden = HiddenObservers::of(level)) {
      called = called || hidden->call_;
      continue;
    }
    if (called && static_cast<ObservedRun*>(level)->session_ == session)
      fail(Code::FailedPrecondition,
           fmt::format("An observer cannot {} the session whose run it observes, which holds the session's variables",
                       use),
           "keep the tensors, as kept.push_back(op.outputs[0]), and use the session when its run has returned; or "
           "compute eagerly, or use another session");
  }
}

ObserverDraws* observer_draws() {
  for (ObserverLevel* level = t_state.observer_levels; level; level = level->outer)
    if (const HiddenObservers* hidden = HiddenObservers::of(level); hidden && hidden->call_)
      return &hidden->call_->draws();
  return nullptr;
}

Observing::Observing(Observer& observer) : thread_(std::make_unique<ObservedThread>(observer)) {}
Observing::~Observing() = default;

ObservedThread::ObservedThread(Observer& observer) : observer_(observer), outer_(t_state.observing) {
  if (executing_eagerly())  // the bodies that are under way count as begun
    for (const BodyExecution* b = t_state.body; b; b = b->outer()) bodies_[b->body()].begun = 1;
  t_state.observing = this;
}

ObservedThread::~ObservedThread() {
  // Usually the innermost; or somewhere on this thread, though hidden perhaps.
  const auto unlink = [this](ObservedThread*& first) {
    for (ObservedThread** o = &first; *o; o = &(*o)->outer_) {
      if (*o != this) continue;
      *o = outer_;
      return true;
    }
    return false;
  };
  if (unlink(t_state.observing)) return;
  for (ObserverLevel* level = t_state.observer_levels; level; level = level->outer)
    if (HiddenObservers* hidden = HiddenObservers::of(level); hidden && unlink(hidden->observing_)) return;
}

HiddenObservers* HiddenObservers::of(ObserverLevel* level) {
  return level->kind == Kind::hidden ? static_cast<HiddenObservers*>(level) : nullptr;
}

HiddenObservers::HiddenObservers()
    : ObserverLevel{Kind::hidden, t_state.observer_levels}, observing_(std::exchange(t_state.observing, nullptr)) {
  t_state.observer_levels = this;
}

HiddenObservers::~HiddenObservers() {
  // What it hides goes on, after what has begun since.
  ObservedThread** within = &t_state.observing;
  for (ObserverLevel** level = &t_state.observer_levels; *level; level = &(*level)->outer) {
    if (*level == this) {
      *level = outer;
      while (*within) within = &(*within)->outer_;
      *within = observing_;
      return;
    }
    if (HiddenObservers* hidden = of(*level)) within = &hidden->observing_;
  }
}

std::vector<ObservedThread*> ObservedThread::all() {
  std::vector<ObservedThread*> found;
  for (ObservedThread* o = t_state.observing; o; o = o->outer_) found.push_back(o);
  std::ranges::reverse(found);
  return found;
}

uint64_t ObservedThread::begin(uint64_t body) {
  Executions& executions = bodies_[body];
  executions.next.clear();
  return executions.begun++;
}

uint64_t ObservedThread::execution_of(uint64_t body) const {
  const auto known = bodies_.find(body);
  return known == bodies_.end() || known->second.begun == 0 ? 0 : known->second.begun - 1;
}

void ObservedThread::begin_execution(uint64_t body) {
  for (ObservedThread* o = t_state.observing; o; o = o->outer_) o->begin(body);
}

void ObservedThread::eager_op(const OpDef& op, std::span<const Tensor* const> inputs, std::span<const Tensor> outputs,
                              std::source_location where) {
  const ObservedRun* const run = ObservedRun::innermost();
  const ObservedRun::At* const at = run ? run->at_ : nullptr;
  Observation seen{.identity = {},
                   .node = {},
                   .where = at && where.line()      ? where
                            : t_state.source_scopes ? t_state.source
                            : where.line()          ? where
                                                    : t_state.current,
                   .device = {},
                   .inputs = {},
                   .outputs = {}};
  Views views;
  if (at) {
    views = at->run_.views(at->identity_, at->execution_);
    seen.node = at->node_;
  } else {
    OpIdentity identity{.body = current_body(), .scope = t_state.scope_path, .op = op.name};
    for (ObservedThread* o : all()) {
      identity.execution = o->execution_of(identity.body);
      identity.ordinal = o->bodies_[identity.body].next[{identity.scope, &op}]++;
      views.emplace_back(o, identity);
    }
  }
  std::vector<Tensor> given;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (op.reads_on_host(i)) continue;
    given.push_back(op.reads_shape(i) || inputs[i]->value()->is_shell() ? Tensor() : *inputs[i]);
  }
  for (const Tensor& t : outputs)
    if (t.defined()) seen.device = t.value()->device();
  seen.inputs = given;
  seen.outputs = outputs;
  show(views, seen);
}

void ObservedThread::show(const Views& views, Observation& op) {
  for (const auto& [observing, identity] : views) {
    bool observes = false;  // no more, if another observer has ended it
    for (const ObservedThread* o = t_state.observing; o; o = o->outer_) observes |= o == observing;
    if (!observes) continue;
    op.identity = identity;
    const ObserverCall call(*observing);
    observing->observer_.observe(op);
  }
}

ObservedRun* ObservedRun::innermost() {
  for (ObserverLevel* level = t_state.observer_levels; level; level = level->outer) {
    const HiddenObservers* hidden = HiddenObservers::of(level);
    if (!hidden) return static_cast<ObservedRun*>(level);
    if (hidden->call_) return nullptr;
  }
  return nullptr;
}

ObservedRun::ObservedRun(const void* session, std::span<const BuiltExecution> executions)
    : ObserverLevel{Kind::run, t_state.observer_levels}, session_(session), executions_(executions), at_(nullptr) {
  if (const ObservedRun* around = innermost()) at_ = around->at_;
  t_state.observer_levels = this;
}
ObservedRun::~ObservedRun() { t_state.observer_levels = outer; }

void ObservedRun::reach(uint32_t node) {
  for (; begun_ < executions_.size() && executions_[begun_].first <= node; ++begun_)
    for (ObservedThread* o = t_state.observing; o; o = o->outer_)
      numbers_[{o, begun_}] = o->begin(executions_[begun_].body);
}

ObservedThread::Views ObservedRun::views(const OpIdentity& identity, uint32_t execution) const {
  ObservedThread::Views all;
  for (ObservedThread* o : ObservedThread::all()) {
    const auto number = numbers_.find({o, execution});
    all.emplace_back(o, identity).second.execution = number == numbers_.end() ? 0 : number->second;
  }
  return all;
}

void ObservedRun::node(Observation op, uint32_t execution) const {
  ObservedThread::show(views(op.identity, execution), op);
}

ObservedRun::At::At(ObservedRun& run, const OpIdentity& identity, uint32_t execution, std::string node)
    : run_(run), identity_(identity), execution_(execution), node_(std::move(node)), outer_(run.at_) {
  run.at_ = this;
}
ObservedRun::At::~At() { run_.at_ = outer_; }

}  // namespace twofold
