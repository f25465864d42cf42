// What a run is fed with.
#pragma once

#include <concepts>
#include <initializer_list>
#include <ranges>
#include <source_location>
#include <utility>
#include <vector>

#include <twofold/graph/fetch.h>

namespace twofold {

namespace internal {

/// What is fed: a concrete Tensor or a literal. An argument type: it may refer to the caller's memory.
class FeedValue {
 public:
  using Where = std::source_location;
  FeedValue(const Tensor& t, Where = {}) : tensor_(t), is_tensor_(true) {}
  FeedValue(std::initializer_list<Literal> v, Where where = Where::current()) : literal_(v, where) {}
  template <class T>
  requires(!std::derived_from<T, Tensor>) FeedValue(const T& v, Where where = Where::current())
      : literal_(literal_of(v, where)) {
    if constexpr (std::derived_from<T, Variable>) {
      static_assert(kNever<T>,
                    "a run is fed with values: for a Variable's write session.run(v), or v.read() if it is eager");
    } else if constexpr (!std::convertible_to<const T&, Literal>) {
      static_assert(kNever<T>, "a run is fed with values: numbers, lists or vectors of numbers, or a concrete Tensor");
    }
  }
  /// Whether it was given as a tensor, be it None; else it is a literal.
  bool is_tensor() const { return is_tensor_; }
  const Tensor& tensor() const { return tensor_; }
  const Literal& literal() const { return literal_; }
  /// The same, with a copy of what it refers to.
  FeedValue owned() const;

 private:
  template <class T>
  static Literal literal_of(const T& v, Where where) {
    if constexpr (std::convertible_to<const T&, Literal>) {
      return Literal(v, where);
    } else {
      return 0;
    }
  }

  Tensor tensor_;
  bool is_tensor_ = false;
  Literal literal_ = 0;
};

class FeedList;

struct FeedEntry {
  FeedEntry(Fetch k, FeedValue v) : key(std::move(k)), value(std::move(v)) {}
  // In place, which is less work for a run of a few nodes.
  template <std::convertible_to<Fetch> K, class V>
  requires(!std::same_as<V, FeedValue>)
      FeedEntry(const K& k, const V& v, std::source_location where = std::source_location::current())
      : key(k), value(v, where) {}
  Fetch key;
  FeedValue value;
};

}  // namespace internal

/// One feed, kept: `std::vector<tf::Feed> feeds; feeds.push_back({x, values});`. The key is a Tensor, a Variable
/// (overriding its reads in that run) or a name; the value a concrete Tensor or a literal. It owns a copy of what the
/// literal refers to.
class Feed {
 public:
  using Value = internal::FeedValue;
  Feed(Fetch key, const Value& value) : entry_(std::move(key), value.owned()) {}
  /// What is fed.
  const Fetch& key() const { return entry_.key; }
  /// With what.
  const Value& value() const { return entry_.value; }

 private:
  friend class internal::FeedList;
  internal::FeedEntry entry_;
};

/// Feeds to keep and to run with again: `tf::Feeds feeds = {{x, 3.f}, {y, values}};`.
using Feeds = std::vector<Feed>;

namespace internal {

template <class P>
concept FeedPair = requires(const P& p) {
  p.first;
  p.second;
}
&&std::convertible_to<decltype((std::declval<const P&>().first)), Fetch>;
template <class R>
concept FeedRange = std::ranges::input_range<const R&> && FeedPair<std::ranges::range_value_t<const R&>>;

/// What a run takes as feeds: `{{x, 3.f}, {y, values}}`, a vector of Feed, a map or a vector of pairs by name or
/// handle. An argument type: it refers to what it is made from.
class FeedList {
 public:
  FeedList() = default;
  FeedList(std::initializer_list<FeedEntry> feeds) { refer(feeds.begin(), feeds.size()); }
  FeedList(const std::vector<Feed>& feeds) {
    made_.reserve(feeds.size());
    for (const Feed& f : feeds) made_.push_back(f.entry_);
    refer(made_.data(), made_.size());
  }
  template <class R>
  FeedList(const R& feeds) {
    if constexpr (FeedRange<R>) {
      for (const auto& [key, value] : feeds) made_.emplace_back(Fetch(key), FeedValue(value, {}));
      refer(made_.data(), made_.size());
    } else {
      static_assert(kNever<R>,
                    "feeds are pairs of a key and a value: session.run(y, {{x, 3.f}}), or a map or a vector of pairs");
    }
  }
  template <class K, class V>
  FeedList(const K&, const V&) {
    static_assert(kNever<K>, "feeds are a list of pairs: write session.run(y, {{x, 3.f}}), with two braces");
  }
  FeedList(const FeedList&) = delete;
  FeedList& operator=(const FeedList&) = delete;

  const FeedEntry* begin() const { return begin_; }
  const FeedEntry* end() const { return begin_ + size_; }
  size_t size() const { return size_; }

 private:
  void refer(const FeedEntry* begin, size_t size) { begin_ = begin, size_ = size; }
  const FeedEntry* begin_ = nullptr;
  size_t size_ = 0;
  std::vector<FeedEntry> made_;  // where it was not given as a list
};

}  // namespace internal

}  // namespace twofold
