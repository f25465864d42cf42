// Fetches and feed keys, resolved in a session's graph.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <twofold/lib/core/small_vector.h>
#include <twofold/session/plan/plan_key.h>
#include <twofold/session/program/program.h>

namespace twofold {

/// A fetch or a feed key, resolved in the session's graph.
struct Target {
  enum class Kind : uint8_t { edge, operation, variable, nothing } kind = Kind::nothing;
  Edge edge;
  Ref<VariableState> variable;
  TensorSpec spec;
  uint64_t word() const {
    return uint64_t(static_cast<uint8_t>(kind)) << 62 | (kind == Kind::variable ? variable->id : edge.key());
  }
};

/// The key of a run's plan: its settings, its fetches, then each feed with its value.
inline KeyWords plan_key(const RunSettings& settings, std::span<const Target> fetches, std::span<const Target> feeds,
                         std::span<const Tensor> values) {
  KeyWords words;
  words.push_back(settings.word());
  words.push_back(fetches.size());
  for (const Target& t : fetches) words.push_back(t.word());
  for (size_t i = 0; i < feeds.size(); ++i) {
    words.push_back(feeds[i].word());
    add_value(words, values[i]);
  }
  return words;
}
/// Whether it is of a run with these fetches.
inline bool is_for(const PlanKey& key, std::span<const Target> fetches) {
  const std::span words(key.words);
  return words[1] == fetches.size() &&
         std::ranges::equal(words.subspan(2, fetches.size()), fetches, {}, {}, &Target::word);
}

/// How a run's feeds go to its plan: edges first, then variables, as Request has them. A variable that is fed is
/// fetched as it is fed: no plan need be asked.
class FeedOrder {
 public:
  FeedOrder() = default;
  /// Of feeds in the order in which they are given. Fetches that are fed become nothing.
  FeedOrder(std::span<Target> fetches, std::span<const Target> feeds) {
    size_t edges = 0;
    for (const Target& t : feeds) edges += t.kind == Target::Kind::edge;
    if (edges == feeds.size()) return;  // nothing to order, and no variable
    size_t edge = 0, variable = edges;
    for (const Target& t : feeds) places_.push_back(t.kind == Target::Kind::edge ? edge++ : variable++);
    for (size_t i = 0; i < fetches.size(); ++i) {
      if (fetches[i].kind != Target::Kind::variable) continue;
      const auto fed = std::ranges::find(feeds, fetches[i].word(), &Target::word);
      if (fed == feeds.end()) continue;
      fed_fetches_.emplace_back(i, (*this)[static_cast<size_t>(fed - feeds.begin())]);
      fetches[i] = {};
    }
  }

  /// Feed i of those given is this one of the plan.
  size_t operator[](size_t i) const { return places_.empty() ? i : places_[i]; }
  /// What belongs to the feeds as they are given, as the plan has them.
  template <class T>
  void arrange(SmallVector<T, 4>& given) const {
    if (places_.empty()) return;
    SmallVector<T, 4> arranged(given.size());
    for (size_t i = 0; i < given.size(); ++i) arranged[places_[i]] = std::move(given[i]);
    given = std::move(arranged);
  }
  /// The results that are fed, `values` being as the plan has them.
  void take_fed(std::span<const Tensor> values, std::span<Tensor> results) const {
    for (const auto& [fetch, feed] : fed_fetches_) results[fetch] = retained(values[feed]);
  }

 private:
  SmallVector<size_t, 4> places_;                          // empty: as they are given
  SmallVector<std::pair<size_t, size_t>, 2> fed_fetches_;  // (fetch, feed of the plan)
};

}  // namespace twofold
