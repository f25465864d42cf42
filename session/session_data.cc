#include <twofold/session/session_data.h>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <ranges>
#include <span>

#include <twofold/graph/graph_ops.h>
#include <twofold/lib/core/log.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/convert_feed.h>
#include <twofold/session/run/guarded_run.h>

namespace twofold {

void SessionData::check_open() const {
  if (closed_.load(std::memory_order_acquire))
    fail(Code::FailedPrecondition, "Attempted to use a closed Session.", "tf::Session session;");
  if (graph_->size() == 0)
    fail(Code::FailedPrecondition, "The Session graph is empty. Add operations to the graph before calling run().");
}

Target SessionData::resolve(const Fetch& f, const char* role) const {
  Target t;
  switch (f.kind()) {
    case Fetch::Kind::tensor: {
      const Tensor& tensor = f.tensor();
      if (!tensor.defined())
        fail(Code::InvalidArgument, fmt::format("{} is None: an undefined Tensor cannot be run", role));
      if (tensor.is_concrete())
        fail(Code::InvalidArgument,
             fmt::format("{} {} is a value already, not a symbol of this graph", role, to_string(tensor)),
             "use it as it is");
      const bool of_step = tensor.owner()->closed();
      if (const GraphData& g = *tensor.graph(); g.closed() || of_step) {
        const auto made = g.node(tensor.node()).where;
        fail(Code::InvalidArgument,
             fmt::format("{} {} belongs to the body of a {} (made at {}) and has no value outside of it", role,
                         to_string(tensor), of_step ? "step" : g.label(), line_of(made)),
             "return it from the body");
      }
      if (tensor.graph() != graph_.get())
        fail(Code::InvalidArgument, fmt::format("{} {} is not an element of this graph.", role, to_string(tensor)),
             "tf::Session session(graph) on the tensor's own graph");
      t.edge = {tensor.node(), tensor.output()};
      break;
    }
    case Fetch::Kind::operation:
      if (!f.operation().defined()) return t;
      if (f.operation().graph() != graph_.get())
        fail(Code::InvalidArgument,
             fmt::format("{} '{}' is not an element of this graph.", role, f.operation().name()));
      t.kind = Target::Kind::operation;
      t.edge = {f.operation().node(), 0};
      return t;
    case Fetch::Kind::variable:
      if (!f.variable()) fail(Code::InvalidArgument, fmt::format("{} has been moved from", role));
      if (f.variable()->eager_value().defined())
        fail(Code::InvalidArgument,
             fmt::format("{} is the eager variable '{}:0', made at {}, not an element of this graph.", role,
                         f.variable()->name, line_of(f.variable()->where)));
      graph_->variable(*f.variable());  // throws if it is foreign
      t.kind = Target::Kind::variable;
      t.variable = f.variable();
      t.spec = {t.variable->dtype, t.variable->shape};
      return t;
    case Fetch::Kind::name:
      if (f.name().find(':') == std::string::npos) {
        t.kind = Target::Kind::operation;
        t.edge = {Graph::of(graph_).operation(f.name(), {}).node(), 0};
        return t;
      }
      const Tensor tensor = Graph::of(graph_).tensor(f.name(), {});
      t.edge = {tensor.node(), tensor.output()};
      break;
  }
  const Node& node = graph_->node(t.edge.node);
  t.kind = Target::Kind::edge;
  t.spec = node.outputs[t.edge.output];
  if (node.op == &variable_op) {  // "w:0" by name is the variable
    t.kind = Target::Kind::variable;
    t.variable = node.attrs_view().as<VariableAttrs>().variable;
  }
  return t;
}

std::shared_ptr<Executor> SessionData::plan(std::span<const Target> fetches, std::span<const Target> feeds,
                                            std::span<const Tensor> values, const RunSettings& settings,
                                            Ledger* ledger) {
  const KeyWords words = plan_key(settings, fetches, feeds, values);
  {
    std::lock_guard lock(mutex_);
    if (last_ && std::ranges::equal(last_->first.words, words)) {
      if (ledger) ledger->add_plan(true);
      return last_->second;
    }
    const PlanKey key(words);
    if (const auto it = plans_.find(key); it != plans_.end()) {
      order_.splice(order_.begin(), order_, it->second);
      last_ = &order_.front();
      if (ledger) ledger->add_plan(true);
      return last_->second;
    }
  }
  if (ledger) ledger->add_plan(false);
  report_growth();
  std::shared_ptr<Executor> made =
      make_executor(*graph_, request(fetches, feeds, values, settings), options_, context_, ledger);
  decltype(order_) gone;  // ends when the lock is given back
  std::lock_guard lock(mutex_);
  PlanKey key(words);
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second->second;  // another thread was first
  order_.emplace_front(key, made);
  plans_.emplace(std::move(key), order_.begin());
  last_ = &order_.front();
  while (plans_.size() > static_cast<size_t>(std::max(1, options_.max_plans))) {
    if (ledger) ledger->add_plan_given_up();
    plans_.erase(order_.back().first);
    gone.splice(gone.end(), order_, std::prev(order_.end()));
  }
  return made;
}

bool SessionData::forget(const PlanHolder* plan) {
  decltype(order_) gone;  // ends when the lock is given back
  {
    std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(order_, plan, [](const auto& entry) { return entry.second.get(); });
    if (found == order_.end()) return false;
    if (last_ == &*found) last_ = nullptr;
    plans_.erase(found->first);
    gone.splice(gone.end(), order_, found);
  }
  if (Ledger* ledger = current_ledger()) ledger->add_plan_given_up();
  return true;
}

void SessionData::forget(std::span<const Target> fetches) {
  decltype(order_) gone;  // ends when the lock is given back
  std::lock_guard lock(mutex_);
  for (auto it = order_.begin(); it != order_.end();) {
    const auto at = it++;
    if (!is_for(at->first, fetches)) continue;
    if (last_ == &*at) last_ = nullptr;
    plans_.erase(at->first);
    gone.splice(gone.end(), order_, at);
  }
}

void SessionData::check_key(const Target& t, const Fetch& key) const {
  if (t.kind != Target::Kind::operation && t.kind != Target::Kind::nothing) return;
  const bool has_output = t.kind == Target::Kind::operation && !graph_->node(t.edge.node).outputs.empty();
  fail(Code::InvalidArgument, "An Operation cannot be fed; feed one of its output tensors",
       fmt::format("\"{}:0\"", has_output ? key_name(key) : "name"));
}

Tensor SessionData::fed(const Target& t, const Fetch& key, const Feed::Value& value) const {
  check_key(t, key);
  if (value.tensor().is_symbolic())
    fail(Code::InvalidArgument,
         fmt::format("The value of a feed cannot be a symbolic Tensor: {} was given for '{}'",
                     to_string(value.tensor()), key_name(key)),
         "session.run it first, and feed the value");
  if (value.is_tensor() && !value.tensor().defined())
    fail(Code::InvalidArgument,
         fmt::format("The value fed for '{}' is None: an undefined Tensor, such as an unconnected gradient",
                     key_name(key)),
         "if (t.defined()) ...");
  return convert_feed(value, t.spec, key);
}

std::vector<Tensor> SessionData::try_out(GraphData& g, Request request, std::span<const Tensor> feeds) {
  const internal::ObservedThread::Hidden unseen;
  request.settings = RunSettings();
  request.expect(feeds);
  SessionOptions options = options_;
  options.disabled_passes.emplace_back("capture");
  const auto executor = make_executor(g, request, options, context_, nullptr);
  std::vector<Tensor> fetched(executor->num_fetches());
  const GuardedRun trial(GuardedRun::Kind::trial);
  executor->run(feeds, fetched, nullptr, false);
  return fetched;
}

void SessionData::set(const std::vector<std::pair<Variable, Tensor>>& values) {
  check_open();
  refuse_in_observer("set");
  std::map<uint64_t, std::pair<Slot*, Tensor>> ready;  // in the order in which runs lock
  for (const auto& [variable, value] : values) {
    const Fetch key(variable);
    const Target target = resolve(key, "variable");
    Slot& slot = context_.slots.slot(target.variable);
    const Tensor given = retained(fed(target, key, value));
    check_late_errors(given);
    ready[target.variable->id] = {&slot, moved_to(given, slot.device)};
  }
  std::vector<std::unique_lock<std::shared_mutex>> locks;
  for (auto& [id, entry] : ready) locks.emplace_back(entry.first->lock);
  for (auto& [id, entry] : ready) entry.first->value = std::move(entry.second);
}

bool SessionData::is_initialized(const Variable& v) {
  check_open();
  refuse_in_observer("ask");
  Slot& slot = context_.slots.slot(resolve(Fetch(v), "variable").variable);
  const std::shared_lock lock(slot.lock);
  return slot.value.defined();
}

RandomState SessionData::random_state() {
  check_open();
  RandomOrdinals ordinals = copy_of(graph_->random);
  return {ordinals, context_.slots.executions(ordinals.generation)};
}

void SessionData::set_executions(const std::map<uint64_t, uint64_t>& executions) {
  check_open();
  refuse_in_observer("set");
  context_.slots.set_executions(executions, copy_of(graph_->random).generation);
}

uint64_t SessionData::count(uint64_t key, uint32_t generation) { return context_.slots.count(key, generation); }

void SessionData::close() {
  refuse_in_observer("close");
  closed_ = true;
  {
    decltype(order_) gone;  // ends when the lock is given back
    std::lock_guard lock(mutex_);
    last_ = nullptr;
    plans_.clear();
    gone.swap(order_);
  }
  context_.slots.release_values();
  context_.pools.release_cached();
}

Request SessionData::request(std::span<const Target> fetches, std::span<const Target> feeds,
                             std::span<const Tensor> values, const RunSettings& settings) const {
  Request r{.settings = settings};
  for (const Target& t : fetches) {
    if (t.kind == Target::Kind::edge) r.fetches.push_back(t.edge);
    if (t.kind == Target::Kind::operation) r.operations.push_back(t.edge.node);
    if (t.kind == Target::Kind::variable) r.fetched_variables.push_back(t.variable);
  }
  std::vector<TensorSpec> variable_specs;
  std::vector<Device> variable_devices;
  for (size_t i = 0; i < feeds.size(); ++i) {
    const TensorSpec spec = values[i].value()->spec();
    if (feeds[i].kind == Target::Kind::variable) {
      r.fed_variables.push_back(feeds[i].variable);
      variable_specs.push_back(spec);
      variable_devices.push_back(values[i].value()->device());
    } else {
      r.feeds.push_back(feeds[i].edge);
      r.feed_specs.push_back(spec);
      r.feed_devices.push_back(values[i].value()->device());
    }
  }
  r.feed_specs.insert(r.feed_specs.end(), variable_specs.begin(), variable_specs.end());
  r.feed_devices.insert(r.feed_devices.end(), variable_devices.begin(), variable_devices.end());
  return r;
}

void SessionData::report_growth() {
  std::lock_guard lock(mutex_);
  const uint32_t size = graph_->size();
  if (planned_size_ && size > planned_size_ && ++growths_ == kGrowthsReported) {
    const auto where = graph_->node(planned_size_).where;
    warn(fmt::format(
        "The graph has grown before each of {} runs (now {} nodes; latest at {}): ops made inside a loop pile up, "
        "and each run is planned anew. Build once and feed, or call Graph::finalize() to find the line.",
        growths_, size, line_of(where)));
  }
  planned_size_ = size;
}

void SessionData::run(std::span<const Fetch> fetches, const internal::FeedList& feeds, std::span<Tensor> results) {
  const auto is_done = [](const Fetch& f) { return f.kind() == Fetch::Kind::operation && !f.operation().defined(); };
  if (!fetches.empty() && std::ranges::all_of(fetches, is_done)) return;  // eager work, whatever the graph holds
  Ledger* ledger = current_ledger();
  PhaseTimer feeding(ledger, Phase::feed);
  check_open();
  SmallVector<Target, 4> fetch_targets, feed_targets;
  SmallVector<Tensor, 4> values;
  for (const Fetch& f : fetches) fetch_targets.push_back(resolve(f, "Fetch"));
  for (const internal::FeedEntry& f : feeds) {
    feed_targets.push_back(resolve(f.key, "Feed key"));
    values.push_back(fed(feed_targets.back(), f.key, f.value));
  }
  if (feeds.size() > 1) {
    std::vector<Fetch> keys;
    for (const internal::FeedEntry& f : feeds) keys.push_back(f.key);
    check_distinct(feed_targets, keys);
  }
  if (feeds.size() != 0) {
    const FeedOrder order(fetch_targets, feed_targets);
    order.arrange(feed_targets);
    order.arrange(values);
    order.take_fed(values, results);
  }
  feeding.stop();
  const auto plan = this->plan(fetch_targets, feed_targets, values, RunSettings(), ledger);
  if (ledger) ledger->add_run();
  SmallVector<Tensor, 4> fetched(plan->num_fetches());
  plan->run(values, fetched, ledger, false);
  scatter(fetch_targets, fetched, results);
}

void scatter(std::span<const Target> fetches, std::span<Tensor> fetched, std::span<Tensor> results) {
  size_t edge = 0, variable = 0;
  for (const Target& t : fetches) variable += t.kind == Target::Kind::edge;
  for (size_t i = 0; i < fetches.size(); ++i) {
    if (fetches[i].kind == Target::Kind::edge) results[i] = std::move(fetched[edge++]);
    if (fetches[i].kind == Target::Kind::variable) results[i] = std::move(fetched[variable++]);
  }
}

void check_distinct(std::span<const Target> feeds, std::span<const Fetch> keys) {
  for (size_t i = 0; i < feeds.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (feeds[i].word() == feeds[j].word())
        fail(Code::InvalidArgument, fmt::format("'{}' is fed twice in one run", key_name(keys[i])));
}

}  // namespace twofold
