// A program's step: one text, eager or deferred.
#pragma once

#include <twofold/session/function.h>

namespace twofold {

/// Options of `tf::step`.
using StepOptions = FunctionOptions;

/// What `tf::step` makes. A call takes values (tensors, literals, vectors), one for each parameter of the body, and
/// returns what the body returns, a Tensor or a nest of tuples, pairs, arrays, vectors and maps, as values.
template <class F>
class Step {
 public:
  Step(const Session* session, F body, StepOptions options, std::source_location where)
      : called_(internal::FunctionRunner::Kind::step, session, std::move(body), std::move(options), where) {}

  /// @{
  /// Runs the body on these values.
  template <class... A>
  auto operator()(const A&... arguments) {
    return called_.call_nests({}, arguments...);
  }
  // Where some are lists in braces: step({1.f, 2.f}), step(x, {{1.f}}).
  auto operator()(const Feed::Value& a) { return called_.call_values({a}, {}); }
  auto operator()(const Feed::Value& a, const Feed::Value& b) { return called_.call_values({a, b}, {}); }
  auto operator()(const Feed::Value& a, const Feed::Value& b, const Feed::Value& c) {
    return called_.call_values({a, b, c}, {});
  }
  /// @}

  /// The value now of a variable, or of a tensor that needs no feeds. Throws as Session::run does.
  Tensor evaluate(const Fetch& fetch, std::source_location where = std::source_location::current()) {
    return called_.runner().evaluate(fetch, where);
  }

  /// The graphs that exist of it, in the order in which they were made. None in eager mode.
  std::vector<TraceInfo> traces() const { return called_.runner().traces(); }

  /// The body, to be traced for a file: see `save`.
  internal::FunctionRunner::Body body_of(size_t arguments) const { return called_.body_of(arguments); }
  /// For the library's own sources, which have FunctionParts. Programs cannot use it.
  const internal::FunctionRunner& runner() const { return called_.runner(); }

 private:
  internal::CalledBody<F> called_;
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
  if constexpr (internal::FunctionBody<std::decay_t<F>>) {
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
  if constexpr (internal::FunctionBody<std::decay_t<F>>) {
    return Step<std::decay_t<F>>(&session, std::forward<F>(body), std::move(options), where);
  } else {
    static_assert(kNever<F>, "tf::step takes a function of tensors: tf::step(session, [&](Tensor x) { return ...; })");
    return Tensor();
  }
}
/// @}

}  // namespace twofold
