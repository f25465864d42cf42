// A C++ function of tensors, with `if` on values, as graphs.
#pragma once

#include <concepts>
#include <initializer_list>
#include <source_location>
#include <tuple>
#include <utility>

#include <twofold/session/function.h>

namespace twofold {

namespace internal {
template <class F, class Examples>
auto make_traced(const Session* session, F&& body, const Examples& examples, FunctionOptions options,
                 std::source_location where) {
  using Body = std::decay_t<F>;
  if constexpr (FunctionBody<Body>) {
    CalledBody<Body> called(FunctionRunner::Kind::trace, session, std::forward<F>(body), std::move(options), where);
    if constexpr (std::same_as<Examples, std::initializer_list<Feed::Value>>)
      called.trace_values({examples.begin(), examples.size()}, where);
    else if constexpr (requires { std::tuple_size<Examples>::value; })
      std::apply([&](const auto&... each) { called.trace_nests(where, each...); }, examples);
    else
      called.trace_nests(where, examples);
    return Function<Body>(std::move(called));
  } else {
    static_assert(kNever<F>, "tf::trace takes a function of tensors: tf::trace([&](Tensor x) { return ...; }, X)");
    return Tensor();
  }
}
}  // namespace internal

/// @{
/// `f` as graphs, where its C++ code reads values: an `if` on a tensor, a loop until something holds, an extent. The
/// body runs for the examples, values of its arguments, and what it does is recorded:
///
///     auto f = tf::trace([&](Tensor x) { return tf::sum(x) > 0 ? net(x) : -x; }, X);
///     f(Y);                                                // traced again where the sum is not positive
///     tf::trace([&](Tensor x, Tensor y) { ... }, {X, Y});  // a list of examples, or std::tuple{X, Y} of nests
///
/// What the host reads and what depends on arguments, variables or random numbers is a guard of the trace: a bool, an
/// integer, or an extent (`dim(i)`, `num_elements()`, a loop over slices; `shape()[i]` and shapes that are compared
/// bind the trace to the shapes of all arguments). A call for which a guard does not hold takes another trace for which
/// all hold, or makes one; `traces` lists what each holds for, with the lines. What the body does (assign, minimize,
/// print, draw) counts only once all guards have held. Tracing does none of it.
///
/// Reading a float (`item<float>()`, `data<float>()`) throws FailedPrecondition, for a graph would go on with that
/// number: write `if (x > c)`, or tf::print(x). So does a ninth trace of arguments of one kind, which lists the lines:
/// write tf::cond or tf::while_loop, or `tf::shape(x)[i]` for an extent, whose graphs are for all values.
///
/// The rest is as tf::function says. Called with symbols it is the trace called last: there, and in a saved program,
/// which has all traces, a guard that does not hold is FailedPrecondition, and names its line. (PyTorch:
/// torch.jit.trace, which warns and goes on with the branch that it saw)
template <class F, class Examples>
[[nodiscard("tf::trace makes a function: auto f = tf::trace(...), then f(x)")]] auto trace(
    F&& body, const Examples& examples, FunctionOptions options = {},
    std::source_location where = std::source_location::current()) {
  return internal::make_traced(nullptr, std::forward<F>(body), examples, std::move(options), where);
}
template <class F>
[[nodiscard("tf::trace makes a function: auto f = tf::trace(...), then f(x)")]] auto trace(
    F&& body, std::initializer_list<Feed::Value> examples, FunctionOptions options = {},
    std::source_location where = std::source_location::current()) {
  return internal::make_traced(nullptr, std::forward<F>(body), examples, std::move(options), where);
}
template <class F, class Examples>
[[nodiscard("tf::trace makes a function: auto f = tf::trace(...), then f(x)")]] auto trace(
    const Session& session, F&& body, const Examples& examples, FunctionOptions options = {},
    std::source_location where = std::source_location::current()) {
  return internal::make_traced(&session, std::forward<F>(body), examples, std::move(options), where);
}
template <class F>
[[nodiscard("tf::trace makes a function: auto f = tf::trace(...), then f(x)")]] auto trace(
    const Session& session, F&& body, std::initializer_list<Feed::Value> examples, FunctionOptions options = {},
    std::source_location where = std::source_location::current()) {
  return internal::make_traced(&session, std::forward<F>(body), examples, std::move(options), where);
}
/// @}

}  // namespace twofold
