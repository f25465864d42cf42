#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/ledger.h>
#include <twofold/lib/runtime/recording.h>
#include <twofold/session/session_data.h>

namespace twofold {

struct internal::PreparedRun::State {
  /// One result a fetch.
  void call(std::span<const Feed::Value> given, std::span<Tensor> results);

  std::shared_ptr<SessionData> session;
  SmallVector<Target, 4> fetches, feeds;
  std::vector<Fetch> keys;
  std::source_location where;  ///< where it was made, for errors
  FeedOrder order;
  std::mutex mutex;
  std::shared_ptr<Executor> plan;  // of the last call, guarded by mutex
  std::vector<TensorSpec> specs;   // what it was planned for, guarded by mutex
  std::vector<Device> devices;     // likewise
  uint64_t settings_word = 0;      // likewise
};

internal::PreparedRun Session::prepare(std::span<const Fetch> fetches, const std::vector<Fetch>& feed_keys,
                                       Where where) const {
  auto state = std::make_shared<internal::PreparedRun::State>();
  state->session = data_;
  state->keys = feed_keys;
  state->where = where;
  called_at(where, *data_, [&] {
    data_->check_open();
    for (const Fetch& f : fetches) state->fetches.push_back(data_->resolve(f, "Fetch"));
    for (const Fetch& f : feed_keys) state->feeds.push_back(data_->resolve(f, "Feed key"));
    for (size_t i = 0; i < feed_keys.size(); ++i) data_->check_key(state->feeds[i], feed_keys[i]);
    check_distinct(state->feeds, feed_keys);
  });
  state->order = FeedOrder(state->fetches, state->feeds);
  return internal::PreparedRun(std::move(state));
}

size_t internal::PreparedRun::num_fetches() const { return state_->fetches.size(); }

void internal::PreparedRun::call(std::span<const FeedValue> values, std::span<Tensor> results) const {
  called_at(state_->where, *state_->session, [&] { state_->call(values, results); });
}

Tensor internal::PreparedRun::call(std::span<const FeedValue> values) const {
  SmallVector<Tensor, 4> results(state_->fetches.size());
  called_at(state_->where, *state_->session, [&] { state_->call(values, results); });
  return results.empty() ? Tensor() : std::move(results[0]);
}

void internal::PreparedRun::State::call(std::span<const Feed::Value> given, std::span<Tensor> results) {
  session->check_open();
  if (given.size() != feeds.size())
    fail(Code::InvalidArgument, fmt::format("A callable of {} feeds was given {} values", feeds.size(), given.size()));
  Ledger* ledger = current_ledger();
  const auto feeding = ledger ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  SmallVector<Tensor, 4> values(given.size());
  for (size_t i = 0; i < given.size(); ++i) values[order[i]] = session->fed(feeds[i], keys[i], given[i]);
  order.take_fed(values, results);
  const RunSettings settings;
  std::shared_ptr<Executor> used, gone;
  bool hit;
  {
    std::lock_guard lock(mutex);
    const auto fits = [&] {
      if (!plan || settings_word != settings.word()) return false;
      for (size_t i = 0; i < values.size(); ++i) {
        const Value& v = *values[i].value();
        if (devices[i] != v.device() || !(specs[i] == v.spec())) return false;
      }
      return true;
    };
    if (hit = fits(); !hit) {
      SmallVector<Target, 4> ordered = feeds;
      order.arrange(ordered);
      gone = std::exchange(plan, session->plan(fetches, ordered, values, settings, ledger));
      settings_word = settings.word();
      specs.clear(), devices.clear();
      for (const Tensor& t : values) {
        specs.push_back(t.value()->spec());
        devices.push_back(t.value()->device());
      }
    }
    used = plan;
  }
  if (ledger) {
    if (hit) {  // a call that plans spends its time there
      ledger->add_plan(true);
      ledger->add(Phase::feed, std::chrono::steady_clock::now() - feeding);
    }
    ledger->add_run();
  }
  SmallVector<Tensor, 4> fetched(used->num_fetches());
  used->run(values, fetched, ledger, false);
  scatter(fetches, fetched, results);
}

void internal::PreparedRun::forget_plans() const { state_->session->forget(state_->fetches); }

}  // namespace twofold
