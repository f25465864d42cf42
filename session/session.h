// Sessions: running graphs.
#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <map>
#include <memory>
#include <ranges>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <twofold/graph/fetch.h>
#include <twofold/graph/graph.h>
#include <twofold/session/options.h>

namespace twofold {

class Session;
class SessionData;

namespace internal {

class StepRunner;

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
  FeedValue kept() const;

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
  Feed(Fetch key, const Value& value) : entry_(std::move(key), value.kept()) {}
  /// What is fed.
  const Fetch& key() const { return entry_.key; }
  /// With what.
  const Value& value() const { return entry_.value; }
  /// Both, for the library's own floors.
  const internal::FeedEntry& entry() const { return entry_; }

 private:
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
    for (const Feed& f : feeds) made_.push_back(f.entry());
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

namespace internal {
template <class T>
concept Fetchable = std::convertible_to<const T&, Fetch>;
template <class T>
concept MapLike = requires {
  typename T::mapped_type;
};

// The type that fetching a T gives: the same nest with a Tensor at each leaf; void if T is none.
template <class T>
struct FetchedNest {
  using type = void;
};
template <class T>
using Fetched = typename FetchedNest<T>::type;
template <class T>
concept FetchNest = !std::is_void_v<Fetched<T>>;
template <Fetchable T>
struct FetchedNest<T> {
  using type = Tensor;
};
template <FetchNest T, size_t N>
struct FetchedNest<std::array<T, N>> {
  using type = std::array<Fetched<T>, N>;
};
template <FetchNest... T>
struct FetchedNest<std::tuple<T...>> {
  using type = std::tuple<Fetched<T>...>;
};
template <FetchNest A, FetchNest B>
struct FetchedNest<std::pair<A, B>> {
  using type = std::pair<Fetched<A>, Fetched<B>>;
};
template <FetchNest T, class... Rest>
struct FetchedNest<std::vector<T, Rest...>> {
  using type = std::vector<Fetched<T>>;
};
template <template <class...> class M, class K, FetchNest V, class... Rest>
requires MapLike<M<K, V, Rest...>>
struct FetchedNest<M<K, V, Rest...>> {
  using type = M<K, Fetched<V>>;
};

template <Fetchable T>
void flatten(const T& leaf, std::vector<Fetch>& out) {
  out.emplace_back(leaf);
}
template <class T>
requires(!Fetchable<T>) void flatten(const T& nest, std::vector<Fetch>& out) {
  if constexpr (MapLike<T>) {
    for (const auto& [key, value] : nest) flatten(value, out);
  } else if constexpr (requires { nest.begin(); }) {
    for (const auto& each : nest) flatten(each, out);
  } else {
    std::apply([&](const auto&... each) { (flatten(each, out), ...); }, nest);
  }
}

template <class T>
Fetched<T> rebuild(const T& nest, std::vector<Tensor>::iterator& next) {
  if constexpr (Fetchable<T>) {
    return std::move(*next++);
  } else if constexpr (MapLike<T>) {
    Fetched<T> made;
    for (const auto& [key, value] : nest) made.emplace(key, rebuild(value, next));
    return made;
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    return std::apply([&](const auto&... each) { return Fetched<T>{rebuild(each, next)...}; }, nest);
  } else {
    Fetched<T> made;
    for (const auto& each : nest) made.push_back(rebuild(each, next));
    return made;
  }
}
}  // namespace internal

namespace internal {

/// What is the same for all Callables.
class PreparedRun {
 public:
  size_t num_fetches() const;
  /// A result for each fetch.
  void call(std::initializer_list<FeedValue> values, std::span<Tensor> results) const;
  /// The first.
  Tensor call(std::initializer_list<FeedValue> values) const;
  /// It will not be called any more: the session need not keep plans for these fetches.
  void forget_plans() const;

 private:
  friend class twofold::Session;
  struct State;
  explicit PreparedRun(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace internal

/// A run prepared once: fetches and feed keys are fixed, values come with each call. A call gives what `Session::run`
/// gives for these fetches: `Results` is a Tensor, for a list in braces a std::array, else the nest that was fetched;
/// an Operation's place holds an undefined Tensor. Safe from several threads. Keeps the session alive.
template <class Results = Tensor>
class Callable {
 public:
  // Moving one copies it, so that every Callable can be called.
  Callable(const Callable&) = default;
  Callable& operator=(const Callable&) = default;

  /// @{
  /// One value for each feed key, in order. Throws InvalidArgument on another number of values.
  template <class... V>
  Results operator()(const V&... values) const {
    const std::initializer_list<Feed::Value> list = {Feed::Value(values, {})...};  // a call knows no line of its own
    return call(list);
  }
  // Where some are lists in braces: call({1.f, 2.f}).
  Results operator()(const Feed::Value& a) const { return call({a}); }
  Results operator()(const Feed::Value& a, const Feed::Value& b) const { return call({a, b}); }
  Results operator()(const Feed::Value& a, const Feed::Value& b, const Feed::Value& c) const { return call({a, b, c}); }
  /// @}
  /// All results in a row.
  [[deprecated("a call gives all that was fetched: write call(x, y)")]] std::vector<Tensor> call_all(
      std::initializer_list<Feed::Value> values) const {
    std::vector<Tensor> flat(run_.num_fetches());
    run_.call(values, flat);
    return flat;
  }

 private:
  friend class Session;
  Callable(internal::PreparedRun run, Results like) : run_(std::move(run)), like_(std::move(like)) {}
  Results call(std::initializer_list<Feed::Value> values) const {
    if constexpr (std::same_as<Results, Tensor>) {
      return run_.call(values);
    } else if constexpr (std::convertible_to<Results&, std::span<Tensor>>) {
      Results results = like_;
      run_.call(values, results);
      return results;
    } else {
      std::vector<Tensor> flat(run_.num_fetches());
      run_.call(values, flat);
      auto next = flat.begin();
      return internal::rebuild(like_, next);
    }
  }

  internal::PreparedRun run_;
  Results like_;  // the nest, of undefined tensors
};

/// Runs a graph: `session.run(y, {{x, 3.f}})`. Holds a value for each variable, which another session does not see.
/// Safe from several threads; a failed run leaves every variable as it was. What its random ops have drawn is drawn
/// again by the next run, unless others have drawn from them meanwhile: two runs that succeed never draw the same.
class Session {
 public:
  using Where = std::source_location;

  /// On the default graph. Throws InvalidArgument for options that make no sense.
  explicit Session(SessionOptions options = {}, Where where = Where::current());
  explicit Session(const Graph& graph, SessionOptions options = {}, Where where = Where::current());
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The value of a Tensor or Variable, by handle or name; a Variable's is read after the run's writes.
  template <class T>
  requires std::same_as<T, Tensor> || std::same_as<T, Variable> || std::convertible_to<const T&, std::string> Tensor
  run(const T& fetch, const internal::FeedList& feeds = {}, Where where = Where::current())
  const {
    const Fetch one(fetch);
    Tensor result;
    run_flat({&one, 1}, feeds, {&result, 1}, where);
    return result;
  }
  /// (A template, so that `run({op})` means a list.)
  template <std::same_as<Operation> T>
  void run(const T& operation, const internal::FeedList& feeds = {}, Where where = Where::current()) const {
    const Fetch one(operation);
    Tensor nothing;
    run_flat({&one, 1}, feeds, {&nothing, 1}, where);
  }
  /// `auto [_, loss] = session.run({train, loss}, feeds)`: an Operation's place holds an undefined Tensor.
  template <size_t N>
  std::array<Tensor, N> run(const Fetch (&fetches)[N], const internal::FeedList& feeds = {},
                            Where where = Where::current()) const {
    std::array<Tensor, N> results;
    run_flat(fetches, feeds, results, where);
    return results;
  }
  /// Any nesting of tuples, pairs, arrays, vectors and maps gives the same nesting.
  template <class Nest>
  requires(!internal::Fetchable<Nest>) auto run(const Nest& nest, const internal::FeedList& feeds = {},
                                                Where where = Where::current()) const {
    if constexpr (internal::FetchNest<Nest>) {
      std::vector<Fetch> flat;
      internal::flatten(nest, flat);
      std::vector<Tensor> results(flat.size());
      run_flat(flat, feeds, results, where);
      auto next = results.begin();
      return internal::rebuild(nest, next);
    } else {
      static_assert(
          kNever<Nest>,
          "a run fetches tensors, variables, operations and their names, in any nesting of tuples, pairs, arrays, "
          "vectors and maps: session.run({y, z})");
      return Tensor();
    }
  }

  /// @{
  /// A run prepared once, for calls as cheap as can be: `auto call = session.make_callable(y, {x})`, then `call(3.f)`
  /// gives a Tensor; `auto [a, b] = session.make_callable({y, z}, {x})(3.f)`. Fetches are those of `run`.
  template <internal::Fetchable T>
  Callable<> make_callable(const T& fetch, const std::vector<Fetch>& feed_keys = {},
                           Where where = Where::current()) const {
    const Fetch one(fetch);
    return {prepare({&one, 1}, feed_keys, where), Tensor()};
  }
  template <size_t N>
  Callable<std::array<Tensor, N>> make_callable(const Fetch (&fetches)[N], const std::vector<Fetch>& feed_keys = {},
                                                Where where = Where::current()) const {
    return {prepare(fetches, feed_keys, where), std::array<Tensor, N>()};
  }
  template <class Nest>
  requires(!internal::Fetchable<Nest>) auto make_callable(const Nest& nest, const std::vector<Fetch>& feed_keys = {},
                                                          Where where = Where::current()) const {
    if constexpr (internal::FetchNest<Nest>) {
      std::vector<Fetch> flat;
      internal::flatten(nest, flat);
      std::vector<Tensor> undefined(flat.size());
      auto next = undefined.begin();
      return Callable<internal::Fetched<Nest>>(prepare(flat, feed_keys, where), internal::rebuild(nest, next));
    } else {
      static_assert(kNever<Nest>,
                    "make_callable takes what to fetch and the keys to feed, not their values: "
                    "session.make_callable(y, {x}), then call(3.f)");
      return Callable<>(prepare({}, feed_keys, where), Tensor());
    }
  }
  /// @}

  /// Sets variables to values, which are converted and checked as those of feeds are. All at once: a run sees all of
  /// them or none. Of two values for one variable the last counts.
  void set(const std::vector<std::pair<Variable, Tensor>>& values, Where where = Where::current()) const;

  /// From now on run throws: "Attempted to use a closed Session." Values of variables are released.
  void close();
  /// The graph that it runs.
  Graph graph() const;
  /// Plans held now.
  int64_t num_plans() const;

 private:
  friend std::map<std::string, Tensor> read_random_state(const Session&, Where);
  friend bool is_variable_initialized(const Session&, const Variable&, Where);
  friend std::vector<std::string> report_uninitialized_variables(const Session&, const std::vector<Variable>&, Where);
  friend void load_random_state(const Session&, const std::map<std::string, Tensor>&, Where);

  friend class internal::StepRunner;
  internal::PreparedRun prepare(std::span<const Fetch> fetches, const std::vector<Fetch>& feed_keys, Where where) const;
  void run_flat(std::span<const Fetch> fetches, const internal::FeedList& feeds, std::span<Tensor> results,
                Where where) const;
  std::shared_ptr<SessionData> data_;
};

}  // namespace twofold
