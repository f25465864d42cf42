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
  /// What is asked of `graph`; feed_specs and feed_devices follow from what is fed.
  BodyExecutors(GraphData& graph, Request request, const SessionOptions& options, SessionContext& context)
      : graph_(graph), request_(std::move(request)), options_(options), context_(context) {}

  /// `feeds`: by request, fed variables behind the others.
  BodyResults call(std::span<const Tensor> feeds, Ledger* ledger);

 private:
  static constexpr size_t kMost = 64;

  std::shared_ptr<Executor> executor_for(std::span<const Tensor> feeds);

  GraphData& graph_;
  const Request request_;
  const SessionOptions options_;
  SessionContext& context_;
  std::mutex mutex_;  // guards all below
  std::unordered_map<PlanKey, std::shared_ptr<Executor>, PlanKeyHash> executors_;
  decltype(executors_)::value_type* last_ = nullptr;
};

/// Those of one node, for all its runs.
class PlannedBodies {
 public:
  PlannedBodies(const HostOp& op, const SessionOptions& options, const RunSettings& settings, SessionContext& context);

  /// One body of the node.
  struct Planned {
    Planned(GraphData& graph, Request request, const SessionOptions& options, SessionContext& context, size_t number,
            std::shared_ptr<const BodyKept> kept)
        : executors(graph, std::move(request), options, context), number(number), kept(std::move(kept)) {}
    BodyExecutors executors;
    const size_t number;                         ///< among the node's differentiable_bodies
    const std::shared_ptr<const BodyKept> kept;  ///< null: nothing
  };
  const Planned& of(const Body& body) const { return bodies_.at(&body); }
  const HostOp& op() const { return op_; }
  /// The body's outputs, then what is kept of it.
  BodyResults call(const Body& body, std::span<const Tensor> state, std::span<const Tensor> inputs, Ledger* ledger);
  /// Does an If or While node of which nothing is kept.
  BodyResults run(std::span<const Tensor> inputs, Ledger* ledger);

 private:
  const HostOp& op_;
  std::map<const Body*, Planned> bodies_;
};

}  // namespace twofold
