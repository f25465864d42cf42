// Running plans.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <twofold/session/run/frame.h>
#include <twofold/session/run/host_call.h>
#include <twofold/session/run/run_code.h>

namespace twofold {

/// Runs one plan, on several threads at once: on the CPU (cpu_executor.cc) or also on GPUs (gpu_executor.cc).
class Executor : public PlanHolder {
 public:
  virtual ~Executor() = default;

  /// `feeds` are by Request's numbers, of the planned dtypes and shapes; `fetched` gets one tensor a fetch, then one a
  /// fetched variable. With `locked`, the caller holds the slots' locks already (a body of a run). On an error
  /// variables are as before.
  void run(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked);

  size_t num_fetches() const { return plan_->num_fetches(); }
  IdleMemory take_idle() override;

 protected:
  /// Bodies of control flow are planned by `options`.
  Executor(std::unique_ptr<const Plan> plan, const SessionOptions& options, SessionContext& context);

  /// With the locks held.
  virtual void execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) = 0;

  /// What a run does until it can fail no more.
  void run_early(std::span<const Tensor> feeds, Frame& frame, GpuRun* gpu, Ledger* ledger) const {
    for (const auto& [feed, external] : plan_->feeds) frame.set_external(external, feeds[feed]);
    if (!plan_->settings.observed) [[likely]]
      run_code({plan_->code.data(), plan_->first_late}, frame, calls_, gpu, ledger);
    else
      run_observed(frame, calls_, gpu, ledger, &context_);
  }
  /// Hands out fetches and, unless `locked`, makes new values of variables the values.
  void finish(Frame& frame, std::span<Tensor> fetched, Ledger* ledger, bool locked) const;

  const Plan& plan() const { return *plan_; }
  SessionContext& context() const { return context_; }
  Frames& frames() { return frames_; }

 private:
  void run_drawing(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger);

  const std::unique_ptr<const Plan> plan_;
  SessionContext& context_;
  std::vector<std::unique_ptr<HostCall>> calls_;  // by Plan::host_ops
  Frames frames_;
};

/// Plans `request` on `g`, and what runs the plan; the session counts what it holds. Throws as make_plan does.
std::shared_ptr<Executor> make_executor(GraphData& g, const Request& request, const SessionOptions& options,
                                        SessionContext& context, Ledger* ledger);

/// Executors whose memory nobody counts.
std::unique_ptr<Executor> make_cpu_executor(std::unique_ptr<const Plan> plan, const SessionOptions& options,
                                            SessionContext& context);
std::unique_ptr<Executor> make_gpu_executor(std::unique_ptr<const Plan> plan, const SessionOptions& options,
                                            SessionContext& context);

}  // namespace twofold
