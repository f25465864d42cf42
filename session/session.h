// Sessions: running graphs.
#pragma once

#include <array>
#include <concepts>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <twofold/graph/fetch.h>
#include <twofold/graph/graph.h>
#include <twofold/lib/op/nest.h>
#include <twofold/session/callable.h>
#include <twofold/session/feed.h>
#include <twofold/session/program/options.h>

namespace twofold {

class Session;
class SessionData;

namespace internal {
struct SessionParts;
}

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
      internal::append_fetches(nest, flat);
      std::vector<Tensor> results(flat.size());
      run_flat(flat, feeds, results, where);
      return internal::nest_like<internal::FetchLeaves>(nest, std::move(results));
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
    return Callable<>(prepare({&one, 1}, feed_keys, where));
  }
  template <size_t N>
  Callable<std::array<Tensor, N>> make_callable(const Fetch (&fetches)[N], const std::vector<Fetch>& feed_keys = {},
                                                Where where = Where::current()) const {
    return Callable<std::array<Tensor, N>>(prepare(fetches, feed_keys, where));
  }
  template <class Nest>
  requires(!internal::Fetchable<Nest>) auto make_callable(const Nest& nest, const std::vector<Fetch>& feed_keys = {},
                                                          Where where = Where::current()) const {
    if constexpr (internal::FetchNest<Nest>) {
      using Results = internal::Fetched<Nest>;
      auto like = std::make_shared<const Results>(
          internal::map_nest<internal::FetchLeaves>(nest, [](const auto&) { return Tensor(); }));
      std::vector<Fetch> flat;
      internal::for_each_leaf_like<internal::FetchLeaves>(*like, nest,
                                                          [&](const auto& leaf) { flat.emplace_back(leaf); });
      return Callable<Results>(prepare(flat, feed_keys, where), std::move(like));
    } else {
      static_assert(kNever<Nest>,
                    "make_callable takes what to fetch and the keys to feed, not their values: "
                    "session.make_callable(y, {x}), then call(3.f)");
      return Callable<>(prepare({}, feed_keys, where));
    }
  }
  /// @}

  /// Sets variables to values, which are converted and checked as those of feeds are. All at once: a run sees all of
  /// them or none. Of two values for one variable the last counts.
  void set(const std::vector<std::pair<Variable, Tensor>>& values, Where where = Where::current()) const;

  /// From now on run throws: "Attempted to use a closed Session." Values of variables are released.
  /// Throws FailedPrecondition in an observer that a run of this session calls.
  void close(Where where = Where::current());
  /// The graph that it runs.
  Graph graph() const;
  /// Plans held now.
  int64_t num_plans() const;

 private:
  friend struct internal::SessionParts;
  internal::PreparedRun prepare(std::span<const Fetch> fetches, const std::vector<Fetch>& feed_keys, Where where) const;
  void run_flat(std::span<const Fetch> fetches, const internal::FeedList& feeds, std::span<Tensor> results,
                Where where) const;
  std::shared_ptr<SessionData> data_;
};

}  // namespace twofold
