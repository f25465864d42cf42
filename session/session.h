// Sessions: running graphs.
#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <twofold/graph/fetch.h>
#include <twofold/graph/graph.h>
#include <twofold/session/options.h>

namespace twofold {

class SessionData;
class Plan;

/// One entry of a feed list: `{x, 3.f}`. The key is a Tensor, a Variable (overriding its reads in that run) or a name;
/// the value a concrete Tensor or a literal. Floating values round to the key's dtype; integers become floating, and
/// floating integers, only when exact. Memory of the caller's that a literal refers to is used in place during the
/// call.
class Feed {
 public:
  class Value {
   public:
    using Where = std::source_location;
    Value(const Tensor& t, Where = {}) : tensor_(t), is_tensor_(true) {}
    Value(std::initializer_list<Literal> v, Where where = Where::current()) : literal_(v, where) {}
    template <class T>
      requires(!std::derived_from<T, Tensor> && std::convertible_to<const T&, Literal>)
    Value(const T& v, Where where = Where::current()) : literal_(v, where) {}
    /// Whether it was given as a tensor, be it None; else it is a literal.
    bool is_tensor() const { return is_tensor_; }
    const Tensor& tensor() const { return tensor_; }
    const Literal& literal() const { return literal_; }

   private:
    Tensor tensor_;
    bool is_tensor_ = false;
    Literal literal_ = 0;
  };
  Feed(Fetch key, Value value) : key_(std::move(key)), value_(std::move(value)) {}
  const Fetch& key() const { return key_; }
  const Value& value() const { return value_; }

 private:
  Fetch key_;
  Value value_;
};

/// `{{x, 3.f}, {y, values}}`, or a vector of Feed. An argument type: it refers to the list it is made from.
class Feeds {
 public:
  Feeds() = default;
  Feeds(std::initializer_list<Feed> feeds) { refer_to(feeds.begin(), feeds.size()); }
  Feeds(const std::vector<Feed>& feeds) { refer_to(feeds.data(), feeds.size()); }
  const Feed* begin() const { return begin_; }
  const Feed* end() const { return begin_ + size_; }
  size_t size() const { return size_; }

 private:
  void refer_to(const Feed* begin, size_t size) { begin_ = begin, size_ = size; }
  const Feed* begin_ = nullptr;
  size_t size_ = 0;
};

namespace internal {
template <class T>
concept Fetchable = std::convertible_to<const T&, Fetch>;
template <class T>
concept MapLike = requires { typename T::mapped_type; };

// The type that fetching a T gives: the same nest with a Tensor at each leaf.
template <class T>
struct FetchedNest;
template <class T>
using Fetched = typename FetchedNest<T>::type;
template <Fetchable T>
struct FetchedNest<T> {
  using type = Tensor;
};
template <class T, size_t N>
struct FetchedNest<std::array<T, N>> {
  using type = std::array<Fetched<T>, N>;
};
template <class... T>
struct FetchedNest<std::tuple<T...>> {
  using type = std::tuple<Fetched<T>...>;
};
template <class A, class B>
struct FetchedNest<std::pair<A, B>> {
  using type = std::pair<Fetched<A>, Fetched<B>>;
};
template <class T, class... Rest>
struct FetchedNest<std::vector<T, Rest...>> {
  using type = std::vector<Fetched<T>>;
};
template <template <class...> class M, class K, class V, class... Rest>
  requires MapLike<M<K, V, Rest...>>
struct FetchedNest<M<K, V, Rest...>> {
  using type = M<K, Fetched<V>>;
};

template <Fetchable T>
void flatten(const T& leaf, std::vector<Fetch>& out) {
  out.emplace_back(leaf);
}
template <class T>
  requires(!Fetchable<T>)
void flatten(const T& nest, std::vector<Fetch>& out) {
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

/// A run prepared once: fetches and feed keys are fixed, values come with each call. Safe from several threads. Keeps
/// the session alive.
class Callable {
 public:
  // Moving one copies it, so that every Callable can be called.
  Callable(const Callable&) = default;
  Callable& operator=(const Callable&) = default;

  /// One value for each feed key, in order. Throws InvalidArgument on another number of values.
  template <class... V>
  Tensor operator()(const V&... values) const {
    const std::initializer_list<Feed::Value> list = {Feed::Value(values, {})...};  // a call knows no line of its own
    return call(list);
  }
  /// The same for several fetches.
  std::vector<Tensor> call_all(std::initializer_list<Feed::Value> values) const;

 private:
  friend class Session;
  struct State;
  explicit Callable(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Tensor call(std::initializer_list<Feed::Value> values) const;
  std::shared_ptr<State> state_;
};

/// Runs a graph: `session.run(y, {{x, 3.f}})`. Holds a value for each variable, which another session does not see.
/// Safe from several threads; a failed run leaves every variable as it was.
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
    requires std::same_as<T, Tensor> || std::same_as<T, Variable> || std::convertible_to<const T&, std::string>
  Tensor run(const T& fetch, Feeds feeds = {}, Where where = Where::current()) const {
    const Fetch one(fetch);
    Tensor result;
    run_flat({&one, 1}, feeds, {&result, 1}, where);
    return result;
  }
  /// (A template, so that `run({op})` means a list.)
  template <std::same_as<Operation> T>
  void run(const T& operation, Feeds feeds = {}, Where where = Where::current()) const {
    const Fetch one(operation);
    Tensor nothing;
    run_flat({&one, 1}, feeds, {&nothing, 1}, where);
  }
  /// `auto [_, loss] = session.run({train, loss}, feeds)`: an Operation's place holds an undefined Tensor.
  template <size_t N>
  std::array<Tensor, N> run(const Fetch (&fetches)[N], Feeds feeds = {}, Where where = Where::current()) const {
    std::array<Tensor, N> results;
    run_flat(fetches, feeds, results, where);
    return results;
  }
  /// Any nesting of tuples, pairs, arrays, vectors and maps gives the same nesting.
  template <class Nest>
    requires(!internal::Fetchable<Nest>)
  internal::Fetched<Nest> run(const Nest& nest, Feeds feeds = {}, Where where = Where::current()) const {
    std::vector<Fetch> flat;
    internal::flatten(nest, flat);
    std::vector<Tensor> results(flat.size());
    run_flat(flat, feeds, results, where);
    auto next = results.begin();
    return internal::rebuild(nest, next);
  }

  /// A run prepared once, for calls as cheap as can be.
  Callable make_callable(const std::vector<Fetch>& fetches, const std::vector<Fetch>& feed_keys = {},
                         Where where = Where::current()) const;
  template <internal::Fetchable T>
  Callable make_callable(const T& fetch, const std::vector<Fetch>& feed_keys = {},
                         Where where = Where::current()) const {
    return make_callable(std::vector<Fetch>{Fetch(fetch)}, feed_keys, where);
  }

  /// Sets variables to values, which are converted and checked as those of feeds are. All at once: a run sees all of
  /// them or none. Of two values for one variable the last counts.
  void set(const std::vector<std::pair<Variable, Tensor>>& values, Where where = Where::current()) const;

  /// From now on run throws: "Attempted to use a closed Session." Values of variables are released.
  void close();
  Graph graph() const;
  /// Plans held now.
  int64_t num_plans() const;

 private:
  friend std::map<std::string, Tensor> read_random_state(const Session&, Where);
  friend bool is_variable_initialized(const Session&, const Variable&, Where);
  friend std::vector<std::string> report_uninitialized_variables(const Session&, const std::vector<Variable>&, Where);
  friend void load_random_state(const Session&, const std::map<std::string, Tensor>&, Where);

  void run_flat(std::span<const Fetch> fetches, const Feeds& feeds, std::span<Tensor> results, Where where) const;
  std::shared_ptr<SessionData> data_;
};

}  // namespace twofold
