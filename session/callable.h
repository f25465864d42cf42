// Runs that are prepared once.
#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <twofold/graph/fetch.h>
#include <twofold/lib/op/nest.h>
#include <twofold/session/feed.h>

namespace twofold {

namespace internal {

/// What can be fetched: tensors, variables, operations and their names.
template <class T>
concept Fetchable = std::convertible_to<const T&, Fetch>;
struct FetchLeaves {
  template <class T>
  static constexpr bool is_leaf = Fetchable<T>;
};
/// A nest of what can be fetched, and what fetching it gives.
template <class T>
concept FetchNest = NestWith<T, FetchLeaves>;
template <FetchNest T>
using Fetched = Nest<T, FetchLeaves>;

template <FetchNest T>
void append_fetches(const T& nest, std::vector<Fetch>& out) {
  for_each_leaf<FetchLeaves>(nest, [&](const auto& leaf) { out.emplace_back(leaf); });
}

/// What is the same for all Callables.
class PreparedRun {
 public:
  struct State;
  explicit PreparedRun(std::shared_ptr<State> state) : state_(std::move(state)) {}
  size_t num_fetches() const;
  /// A result for each fetch.
  void call(std::span<const FeedValue> values, std::span<Tensor> results) const;
  /// The first.
  Tensor call(std::span<const FeedValue> values) const;
  /// It will not be called any more: the session need not keep plans for these fetches.
  void forget_plans() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace internal

/// A run prepared once: fetches and feed keys are fixed, values come with each call. A call gives what `Session::run`
/// gives for these fetches: `Results` is a Tensor, for a list in braces a std::array, else the nest that was fetched;
/// an Operation's place holds an undefined Tensor. Safe from several threads. Keeps the session alive.
template <class Results = Tensor>
class Callable {
 public:
  /// (Sessions make them.)
  explicit Callable(internal::PreparedRun run, std::shared_ptr<const Results> like = nullptr)
      : run_(std::move(run)), like_(std::move(like)) {}
  // Moving one copies it, so that every Callable can be called.
  Callable(const Callable&) = default;
  Callable& operator=(const Callable&) = default;

  /// @{
  /// One value for each feed key, in order. Throws InvalidArgument on another number of values.
  template <class... V>
  Results operator()(const V&... values) const {
    const std::array<Feed::Value, sizeof...(V)> list = {Feed::Value(values, {})...};  // a call knows no line of its own
    return call(list);
  }
  // Where some are lists in braces: call({1.f, 2.f}).
  Results operator()(const Feed::Value& a) const { return call(std::array{a}); }
  Results operator()(const Feed::Value& a, const Feed::Value& b) const { return call(std::array{a, b}); }
  Results operator()(const Feed::Value& a, const Feed::Value& b, const Feed::Value& c) const {
    return call(std::array{a, b, c});
  }
  /// @}
  /// All results in a row.
  [[deprecated("a call gives all that was fetched: write call(x, y)")]] std::vector<Tensor> call_all(
      std::initializer_list<Feed::Value> values) const {
    std::vector<Tensor> flat(run_.num_fetches());
    run_.call({values.begin(), values.size()}, flat);
    return flat;
  }

 private:
  Results call(std::span<const Feed::Value> values) const {
    if constexpr (std::same_as<Results, Tensor>) {
      return run_.call(values);
    } else if constexpr (std::convertible_to<Results&, std::span<Tensor>>) {
      Results results;
      if constexpr (requires { results.resize(1); }) results.resize(run_.num_fetches());
      run_.call(values, results);
      return results;
    } else {
      std::vector<Tensor> flat(run_.num_fetches());
      run_.call(values, flat);
      return internal::nest_like<internal::FetchLeaves>(*like_, std::move(flat));
    }
  }

  internal::PreparedRun run_;
  // The nest, of undefined tensors, where the results are one. Not copied: the copy of a hash map may have another
  // order.
  std::shared_ptr<const Results> like_;
};

}  // namespace twofold
