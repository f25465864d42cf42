// A program's step: one text, eager or deferred.
#pragma once

#include <any>
#include <functional>
#include <initializer_list>
#include <memory>
#include <source_location>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/session/session.h>

namespace twofold {

/// Options of `tf::step`.
struct StepOptions {
  /// What is known of the arguments' shapes, `{{-1, 28, 28}}`, from the first on; of others it is their ranks. A call
  /// with an argument of another shape is InvalidArgument.
  std::vector<Shape> shapes = {};
};

namespace internal {

/// What is the same for all steps. This is the one place that asks for the mode on a step's behalf.
class StepRunner {
 public:
  /// The body, given its arguments: appends what it returns to `returned` and gives the nest it came in.
  using Body = std::function<std::any(std::span<const Tensor> arguments, std::vector<Fetch>& returned)>;
  struct Result {
    std::shared_ptr<const std::any> nest;
    std::vector<Tensor> values;
  };

  /// `session` may be null.
  StepRunner(const Session* session, StepOptions options, std::source_location where);
  ~StepRunner();
  StepRunner(StepRunner&&) noexcept;
  StepRunner& operator=(StepRunner&&) noexcept;
  Result call(std::initializer_list<Feed::Value> arguments, const Body& body);
  Tensor evaluate(const Fetch& fetch, std::source_location where);

 private:
  void check_not_moved() const;
  struct State;
  std::unique_ptr<State> state_;
};

template <size_t>
using ArgumentTensor = Tensor;

/// What can be the body of a step, as far as that shows before it is called.
template <class F>
concept StepBody = (std::is_class_v<F> || std::is_function_v<std::remove_pointer_t<F>>)&&!Fetchable<F>;

}  // namespace internal

/// What `tf::step` makes. A call takes values (tensors, literals, vectors), one for each parameter of the body, and
/// returns what the body returns, a Tensor or a nest of tuples, pairs, arrays, vectors and maps, as values.
template <class F>
class Step {
 public:
  Step(const Session* session, F body, StepOptions options, std::source_location where)
      : runner_(session, std::move(options), where), body_(std::move(body)) {}

  /// @{
  /// Runs the body on these values.
  template <class... A>
  auto operator()(const A&... arguments) {
    return call({Feed::Value(arguments, {})...}, std::index_sequence_for<A...>());
  }
  // Where some are lists in braces: step({1.f, 2.f}), step(x, {{1.f}}).
  auto operator()(const Feed::Value& a) { return call({a}, std::make_index_sequence<1>()); }
  auto operator()(const Feed::Value& a, const Feed::Value& b) { return call({a, b}, std::make_index_sequence<2>()); }
  auto operator()(const Feed::Value& a, const Feed::Value& b, const Feed::Value& c) {
    return call({a, b, c}, std::make_index_sequence<3>());
  }
  /// @}

  /// The value now of a variable, or of a tensor that needs no feeds. Throws as Session::run does.
  Tensor evaluate(const Fetch& fetch, std::source_location where = std::source_location::current()) {
    return runner_.evaluate(fetch, where);
  }

 private:
  template <size_t... I>
  auto call(std::initializer_list<Feed::Value> arguments, std::index_sequence<I...> indices) {
    if constexpr (!std::is_invocable_v<F&, internal::ArgumentTensor<I>...>) {
      static_assert(
          kNever<F>,
          "a step's body takes one Tensor for each argument of the call: tf::step([&](Tensor x, Tensor y) { ... }), "
          "then step(X, Y)");
      return Tensor();
    } else {
      using Returned = std::remove_cvref_t<std::invoke_result_t<F&, internal::ArgumentTensor<I>...>>;
      if constexpr (!std::is_void_v<Returned> && !internal::FetchNest<Returned>) {
        static_assert(
            kNever<F>,
            "a step's body returns tensors, in any nesting of tuples, pairs, arrays, vectors and maps, or nothing: "
            "for a number write return tf::constant(3.f)");
        return Tensor();
      } else {
        auto result = runner_.call(arguments, [&](std::span<const Tensor> tensors, std::vector<Fetch>& returned) {
          return invoke<Returned>(tensors, returned, indices);
        });
        if constexpr (!std::is_void_v<Returned>) {
          return internal::nest_like<internal::FetchLeaves>(*std::any_cast<Returned>(result.nest.get()),
                                                            std::move(result.values));
        }
      }
    }
  }
  template <class Returned, size_t... I>
  std::any invoke(std::span<const Tensor> tensors, std::vector<Fetch>& returned, std::index_sequence<I...>) {
    if constexpr (std::is_void_v<Returned>) {
      body_(tensors[I]...);
      return {};
    } else {
      Returned nest = body_(tensors[I]...);
      internal::append_fetches(nest, returned);
      return nest;
    }
  }

  internal::StepRunner runner_;
  F body_;
};

/// @{
/// One step of a program, written once and called many times:
///
///     auto step = tf::step([&](Tensor x, Tensor y) {
///       auto loss = nn::mse_loss(net(x), y);
///       opt.minimize(loss);
///       return loss;
///     });
///     for (...) std::cout << step(X, Y) << '\n';
///
/// Eager, each call runs the body under a tape, which watches trainable variables and floating arguments. Deferred, the
/// body adds its nodes to the graph that is current where the step is made, once for each combination of the arguments'
/// dtypes and ranks, and again where a module that it uses was set to train or to evaluate since, or an optimiser's
/// schedule was set; each call is then a prepared run. What the body does (assign, minimize, print, check) is done at
/// each call, returned or not, and its random ops draw the same numbers in both modes. Variables are made before the
/// body: in it they are FailedPrecondition. Tensors made in the body are for the body: one that a captured variable
/// still holds when it is built is warned of.
///
/// A call that throws leaves variables, optimisers' state and counts of random ops as they were, in both modes; other
/// C++ objects are not restored. What other threads have put into a variable meanwhile stays (eager they see, and build
/// on, what a call has assigned so far), and where they have drawn from a random op meanwhile it does not draw the
/// failed call's numbers again. Steps may call steps of the same graph and session, which are part of the outer one
/// then, in deferred mode as if their bodies stood there. A step that is called in its own body is FailedPrecondition.
///
/// Without a session, steps of one graph share one while any of them lives, in which variables are initialised on first
/// use. A session that is given must outlive the step, and its variables are the program's to initialise.
template <class F>
[[nodiscard("tf::step makes a function: auto step = tf::step(...), then step(x)")]] auto step(
    F&& body, StepOptions options = {}, std::source_location where = std::source_location::current()) {
  if constexpr (internal::StepBody<std::decay_t<F>>) {
    return Step<std::decay_t<F>>(nullptr, std::forward<F>(body), std::move(options), where);
  } else {
    static_assert(kNever<F>, "tf::step takes a function of tensors: tf::step([&](Tensor x) { return ...; })");
    return Tensor();
  }
}
template <class F>
[[nodiscard("tf::step makes a function: auto step = tf::step(...), then step(x)")]] auto step(
    const Session& session, F&& body, StepOptions options = {},
    std::source_location where = std::source_location::current()) {
  if constexpr (internal::StepBody<std::decay_t<F>>) {
    return Step<std::decay_t<F>>(&session, std::forward<F>(body), std::move(options), where);
  } else {
    static_assert(kNever<F>, "tf::step takes a function of tensors: tf::step(session, [&](Tensor x) { return ...; })");
    return Tensor();
  }
}
/// @}

}  // namespace twofold
