#include <atomic>

#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/run/captured.h>
#include <twofold/session/run/executor.h>
#include <twofold/session/run/gpu_run.h>

namespace twofold {
namespace {

// The errors that feeds of a run are spoiled by; what is known of them is thrown.
Ref<LateErrors> late_errors_of(const Plan& plan, std::span<const Tensor> feeds) {
  Ref<LateErrors> all;
  for (const auto& [feed, external] : plan.feeds) {
    const LateErrors* errors = feeds[feed].value()->late_errors();
    if (!errors) continue;
    errors->check();
    all = LateErrors::joined(all.get(), errors);
  }
  return all;
}

// All that a run gives carries its errors. What lies on the host cannot, so that `waits` for them.
void spoil(std::span<Tensor> fetched, const LateErrors* errors, bool waits) {
  const Ref<LateErrors> left = LateErrors::joined(errors, nullptr);
  if (!left) return;
  bool on_host = false;
  for (Tensor& t : fetched) {
    on_host = on_host || t.value()->device().is_cpu();
    t = with_late_errors(t, left.get());
  }
  if (on_host && waits) left->wait_and_check();
}

// Memory on GPUs comes from a session's pools.
class InPools {
 public:
  explicit InPools(GpuPools& pools) : outer_(t_state.pools) { t_state.pools = &pools; }
  ~InPools() { t_state.pools = outer_; }
  InPools(const InPools&) = delete;
  InPools& operator=(const InPools&) = delete;

 private:
  GpuPools* outer_;
};

class GpuExecutor final : public Executor {
 public:
  GpuExecutor(std::unique_ptr<const Plan> plan, const SessionOptions& options, SessionContext& context)
      : Executor(std::move(plan), options, context) {}

  IdleMemory take_idle() override {
    IdleMemory idle = Executor::take_idle();
    if (auto captured = take_captured()) {
      for (const auto& entry : captured->bytes()) idle.bytes.push_back(entry);
      idle.pieces.push_back(std::move(captured));
    }
    return idle;
  }

 private:
  void execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) override {
    const InPools in_pools(context().pools);
    const GpuPlan& gpu = plan().gpu;
    Ref<LateErrors> given = late_errors_of(plan(), feeds);
    if (given && plan().writes && !locked)
      given->wait_and_check();  // which a failed run must leave variables alone for
    // What a body does is part of its run.
    LateUnit* const outer = locked ? InLateUnit::current() : nullptr;
    Ref<LateUnit> own;
    if (gpu.fails_late && !outer) {
      own = make_ref<LateUnit>(context().number);
      context().fails_late.store(true, std::memory_order_relaxed);
    }
    const InLateUnit in_unit(outer ? outer : own.get());
    LateUnit* const unit = gpu.fails_late ? InLateUnit::current() : nullptr;
    if (unit) {
      const auto errors = make_ref<LateErrors>(Ref<LateUnit>(unit));
      given = LateErrors::joined(given.get(), errors.get());
    }
    if (gpu.obstacle.empty() && !locked) {
      // A run beside one that is under way takes the usual way.
      if (run_captured(feeds, fetched, ledger, own.get())) {
        if (own) own->close();
        return spoil(fetched, given.get(), true);
      }
    } else if (ledger && gpu.launches && !gpu.obstacle.empty()) {
      ledger->add_note("not captured as a CUDA graph: " + gpu.obstacle);
    }
    auto frame = frames().take();
    GpuRun run(*frame, unit);
    run_early(feeds, *frame, &run, ledger);
    if (own && (plan().writes || locked)) {  // before values are replaced that a failed run must leave alone
      own->close_quietly();
      own->wait();
      own->check();
    }
    finish(*frame, fetched, ledger, locked);
    frames().give(std::move(frame));
    if (own && !(plan().writes || locked)) own->close();
    spoil(fetched, given.get(), !outer);
  }

  // Runs it as a captured graph, where that can be done now.
  bool run_captured(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, LateUnit* unit) {
    if (captured_taken_.exchange(true, std::memory_order_acquire)) return false;
    struct GiveBack {
      std::atomic<bool>& taken;
      ~GiveBack() { taken.store(false, std::memory_order_release); }
    };
    const GiveBack give_back{captured_taken_};
    if (!captured_) captured_ = std::make_unique<Captured>(plan(), frames());
    return captured_->run(feeds, fetched, ledger, unit);
  }

  // Null if there is none, or a run uses it.
  std::unique_ptr<Captured> take_captured() {
    if (captured_taken_.exchange(true, std::memory_order_acquire)) return nullptr;
    auto captured = std::move(captured_);
    captured_taken_.store(false, std::memory_order_release);
    if (captured) captured->count_no_more();
    return captured;
  }

  std::atomic<bool> captured_taken_{false};  // by the one run that may use captured_
  std::unique_ptr<Captured> captured_;
};

}  // namespace

std::unique_ptr<Executor> make_gpu_executor(std::unique_ptr<const Plan> plan, const SessionOptions& options,
                                            SessionContext& context) {
  return std::make_unique<GpuExecutor>(std::move(plan), options, context);
}

}  // namespace twofold
