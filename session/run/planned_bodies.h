// Bodies of control flow by plans of their own.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <twofold/session/plan/plan_key.h>
#include <twofold/session/run/control_flow.h>
#include <twofold/session/run/executor.h>

namespace twofold {

/// The executors of one body, by the shapes that it is called with. Safe from several threads.
class BodyExecutors {
 public:
  /// `fed` are the fed variables that the node has inputs for.
  BodyExecutors(const Body& body, const SessionOptions& options, const RunSettings& settings, SessionContext& context,
                const std::vector<FedVariable>& fed)
      : body_(body), options_(options), settings_(settings), context_(context), fed_(fed) {}

  BodyResults call(std::span<const Tensor> parameters, std::span<const Tensor> inputs, Ledger* ledger);

 private:
  static constexpr size_t kMost = 64;

  std::shared_ptr<Executor> executor_for(std::span<const Tensor> feeds);

  const Body& body_;
  const SessionOptions options_;
  const RunSettings settings_;  // of the plan that it is a body of
  SessionContext& context_;
  const std::vector<FedVariable>& fed_;
  std::mutex mutex_;  // guards all below
  std::unordered_map<PlanKey, std::shared_ptr<Executor>, PlanKeyHash> executors_;
  decltype(executors_)::value_type* last_ = nullptr;
};

/// Those of one node, for all its runs.
class PlannedBodies {
 public:
  PlannedBodies(const HostOp& op, const SessionOptions& options, const RunSettings& settings, SessionContext& context);

  BodyResults run(AttrsView attrs, std::span<const Tensor> inputs, Ledger* ledger);

 private:
  std::map<const Body*, BodyExecutors> executors_;
};

}  // namespace twofold
