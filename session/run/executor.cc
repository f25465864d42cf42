#include <twofold/session/run/executor.h>

#include <chrono>

#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/lib/runtime/thread_state.h>
#include <twofold/session/plan/planner.h>
#include <twofold/session/run/guarded_run.h>
#include <twofold/session/run/random_draws.h>

namespace twofold {
namespace {

// A run's locks on the variables that it uses.
class Locks {
 public:
  /// Null: none.
  Locks(const Plan* plan, const SessionContext& context) : plan_(plan) {
    if (!plan_) return;
    if (t_state.observer_levels) refuse_in_observer(&context, "run");
    if (plan_->uses_eager) [[unlikely]] {
      lock_eager();
      return;
    }
    for (const auto& [slot, write] : plan_->slots) write ? slot->lock.lock() : slot->lock.lock_shared();
  }
  ~Locks() {
    if (!plan_) return;
    for (const auto& [slot, write] : plan_->slots)
      if (write) slot->pending = Tensor();  // of a failed run; a successful one has moved it on
    if (plan_->uses_eager) [[unlikely]] {
      unlock_eager();
      return;
    }
    for (const auto& [slot, write] : plan_->slots) write ? slot->lock.unlock() : slot->lock.unlock_shared();
  }
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;

 private:
  // Eager code does not change a variable either that a run writes, unless an observer of the run does.
  void lock_eager() {
    updates_ = !t_state.observing;
    for (const auto& [slot, write] : plan_->slots)  // what an eager step has left to be done is done before
      if (slot->is_eager) slot->variable->eager_value();
    for (const auto& [slot, write] : plan_->slots) {
      write ? slot->lock.lock() : slot->lock.lock_shared();
      if (write && slot->is_eager && updates_) slot->variable->updating().lock();
    }
  }
  void unlock_eager() {
    for (const auto& [slot, write] : plan_->slots) {
      if (write && slot->is_eager && updates_) slot->variable->updating().unlock();
      write ? slot->lock.unlock() : slot->lock.unlock_shared();
    }
  }

  const Plan* plan_;
  bool updates_ = false;  // whether updates by eager code are locked out, too
};

// A variable's value as it is now.
Tensor snapshot(const Tensor& t) { return t.value()->device().is_cpu() ? t : copy_to(t, t.value()->device()); }

}  // namespace

Executor::Executor(std::unique_ptr<const Plan> plan, const SessionOptions& options, SessionContext& context)
    : plan_(std::move(plan)), context_(context), frames_(*plan_, *this, context.plans, context.pools) {
  for (const HostOp& op : plan_->host_ops)
    calls_.push_back(make_host_call(op, *plan_->graph, options, plan_->settings, context));
}

IdleMemory Executor::take_idle() {
  IdleMemory idle;
  for (auto& frame : frames_.take_idle()) {
    for (const auto& entry : frame_bytes(*plan_, 1)) idle.bytes.push_back(entry);
    idle.pieces.push_back(std::move(frame));
  }
  return idle;
}

void Executor::run(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) {
  if constexpr (!kLedgers) ledger = nullptr;
  use();
  if (!locked && context_.fails_late.load(std::memory_order_relaxed)) LateUnit::check_unread(context_.number);
  const Locks locks(locked || plan_->slots.empty() ? nullptr : plan_.get(), context_);
  if (plan_->draws && !locked) return run_drawing(feeds, fetched, ledger);
  execute(feeds, fetched, ledger, locked);
}

// Of plans that draw random numbers, by themselves or in bodies of control flow.
void Executor::run_drawing(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger) {
  if (t_state.observer_levels) refuse_in_observer(&context_, "run");
  RandomDraws draws;
  try {
    execute(feeds, fetched, ledger, false);
  } catch (...) {
    draws.give_back();
    throw;
  }
  if (GuardedRun::is_trial()) draws.give_back();
}

void Executor::finish(Frame& frame, std::span<Tensor> fetched, Ledger* ledger, bool locked) const {
  const Plan& plan = *plan_;
  const auto fetching = ledger ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  for (size_t i = 0; i < plan.fetches.size(); ++i) {
    fetched[i] = kept(frame.tensor_of(plan.fetches[i]));
    // Captured runs write over values of variables on a GPU.
    if (plan.gpu.gpu >= 0 && plan.fetches[i].read && !locked) fetched[i] = snapshot(fetched[i]);
  }
  for (size_t i = 0; i < plan.fetched_slots.size(); ++i)
    fetched[plan.fetches.size() + i] = snapshot(plan.fetched_slots[i]->current());
  if (ledger) ledger->add(Phase::fetch, std::chrono::steady_clock::now() - fetching);
  if (locked || !plan.writes || GuardedRun::is_trial()) return;
  if (!plan.host_ops.empty())  // what they assign may come from an op that has failed on a GPU
    for (const auto& [slot, write] : plan.slots)
      if (write && slot->pending.defined()) check_late_errors(slot->pending);
  if (plan.first_late < plan.code.size())
    run_code(std::span(plan.code).subspan(plan.first_late), frame, calls_, nullptr, ledger);
  for (const auto& [slot, write] : plan.slots)
    if (write) slot->commit();
}

std::shared_ptr<Executor> make_executor(GraphData& g, const Request& request, const SessionOptions& options,
                                        SessionContext& context, Ledger* ledger) {
  // Other threads may ask an executor for memory as long as it is whole.
  struct Counted {
    std::unique_ptr<Executor> executor;
    PlanMemory::Registration registration;
  };
  auto plan = make_plan(g, request, options, context.slots, ledger);
  const DeviceBytes constants = plan->constant_bytes;
  auto executor = plan->gpu.gpu < 0 ? make_cpu_executor(std::move(plan), options, context)
                                    : make_gpu_executor(std::move(plan), options, context);
  executor->use();
  context.plans.make_room(nullptr, constants);
  Executor& whole = *executor;
  const std::shared_ptr<Counted> counted(new Counted{std::move(executor), {context.plans, whole, constants}});
  return {counted, &whole};
}

}  // namespace twofold
