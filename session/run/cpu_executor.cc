#include <twofold/session/run/executor.h>

namespace twofold {
namespace {

class CpuExecutor final : public Executor {
 public:
  CpuExecutor(std::unique_ptr<const Plan> plan, const SessionOptions& options, SessionContext& context)
      : Executor(std::move(plan), options, context) {}

 private:
  void execute(std::span<const Tensor> feeds, std::span<Tensor> fetched, Ledger* ledger, bool locked) override {
    auto frame = frames().take();
    run_early(feeds, *frame, nullptr, ledger);
    finish(*frame, fetched, ledger, locked);
    frames().give(std::move(frame));
  }
};

}  // namespace

std::unique_ptr<Executor> make_cpu_executor(std::unique_ptr<const Plan> plan, const SessionOptions& options,
                                            SessionContext& context) {
  return std::make_unique<CpuExecutor>(std::move(plan), options, context);
}

}  // namespace twofold
