// What a session holds: its graph, its plans, its slots.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <source_location>
#include <span>
#include <unordered_map>
#include <vector>

#include <twofold/lib/core/error.h>
#include <twofold/lib/op/observed_thread.h>
#include <twofold/lib/op/random_key.h>
#include <twofold/session/run/executor.h>
#include <twofold/session/session.h>
#include <twofold/session/target.h>

namespace twofold {

/// Safe from several threads.
class SessionData {
 public:
  SessionData(Ref<GraphData> graph, SessionOptions options)
      : graph_(std::move(graph)), options_(std::move(options)), context_(options_, graph_->takes_eager_variables()) {
    context_.plans.on_given_up([this](const PlanHolder* plan) { return forget(plan); });
  }
  ~SessionData() { context_.plans.stop(); }

  const Ref<GraphData>& graph() const { return graph_; }

  /// Throws FailedPrecondition if the session is closed or its graph has no nodes.
  void check_open() const;

  /// Throws InvalidArgument or NotFound, calling `f` by its `role`, if it is not of this session's graph.
  Target resolve(const Fetch& f, const char* role) const;
  /// Throws InvalidArgument if `t`, which `key` is, is nothing to feed.
  void check_key(const Target& t, const Fetch& key) const;

  void run(std::span<const Fetch> fetches, const internal::FeedList& feeds, std::span<Tensor> results);

  /// What `request` fetches of `g`, a body that need not be whole yet, by a run with this session's variables that
  /// leaves them, what draws and what was printed as they were. `feeds` by request.feeds.
  std::vector<Tensor> try_out(GraphData& g, Request request, std::span<const Tensor> feeds);

  void set(const std::vector<std::pair<Variable, Tensor>>& values);

  /// The plan for these targets, fed values and settings, made if need be.
  std::shared_ptr<Executor> plan(std::span<const Target> fetches, std::span<const Target> feeds,
                                 std::span<const Tensor> values, const RunSettings& settings, Ledger* ledger);

  /// Keeps no plan for these fetches any more; a run that needs one makes it anew.
  void forget(std::span<const Target> fetches);

  /// A value for feed key `t`, of its dtype; throws InvalidArgument where it does not fit.
  Tensor fed(const Target& t, const Fetch& key, const Feed::Value& value) const;

  /// Throws as resolve does.
  bool is_initialized(const Variable& v);

  /// The graph's ordinals and this session's counts.
  RandomState random_state();
  /// How often a random op of that key and generation has run.
  uint64_t count(uint64_t key, uint32_t generation);
  void set_executions(const std::map<uint64_t, uint64_t>& executions);

  void close();
  /// Throws FailedPrecondition in an observer that a run of this session calls.
  void refuse_in_observer(const char* use) const { twofold::refuse_in_observer(&context_, use); }
  int64_t num_plans() const {
    std::lock_guard lock(mutex_);
    return static_cast<int64_t>(plans_.size());
  }

 private:
  Request request(std::span<const Target> fetches, std::span<const Target> feeds, std::span<const Tensor> values,
                  const RunSettings& settings) const;

  // Holds a plan no more that has given up its memory. False if it did not hold it: a body's.
  bool forget(const PlanHolder* plan);

  // A graph that grows between runs is the classic leak: ops made inside the training loop.
  void report_growth();

  static constexpr int kGrowthsReported = 16;

  const Ref<GraphData> graph_;
  const SessionOptions options_;
  SessionContext context_;
  std::atomic<bool> closed_{false};

  mutable std::mutex mutex_;                                        // guards all below
  std::list<std::pair<PlanKey, std::shared_ptr<Executor>>> order_;  // most recent first
  std::unordered_map<PlanKey, decltype(order_)::iterator, PlanKeyHash> plans_;
  const std::pair<PlanKey, std::shared_ptr<Executor>>* last_ = nullptr;
  uint32_t planned_size_ = 0;
  int growths_ = 0;
};

/// Puts a plan's results in the places of its fetches: operations have none.
void scatter(std::span<const Target> fetches, std::span<Tensor> fetched, std::span<Tensor> results);

/// Throws InvalidArgument if two of the feeds are one.
void check_distinct(std::span<const Target> feeds, std::span<const Fetch> keys);

/// Errors that know no line of their own, unlike a node's, get that of the call. What fails since the session was
/// closed meanwhile says so.
template <class F>
decltype(auto) called_at(std::source_location where, const SessionData& session, F&& f) {
  try {
    try {
      return std::forward<F>(f)();
    } catch (const Error&) {
      session.check_open();
      throw;
    }
  } catch (const Error& e) {
    if (e.facts().where.line() != 0) throw;
    ErrorFacts facts = e.facts();
    facts.where = where;
    throw Error(e.code(), std::move(facts));
  }
}

/// What a Session is made of, for the library's own sources.
struct internal::SessionParts {
  static SessionData& data(const Session& session) { return *session.data_; }
  static PreparedRun prepare(const Session& session, std::span<const Fetch> fetches,
                             const std::vector<Fetch>& feed_keys, std::source_location where) {
    return session.prepare(fetches, feed_keys, where);
  }
};

}  // namespace twofold
