// An ordinary C++ function of tensors as a graph.
#pragma once

#include <twofold/session/function_runner.h>

namespace twofold {

/// What `tf::function` makes. A call takes one argument for each parameter of the body: tensors, variables, literals,
/// vectors of numbers, or nests of them; it returns what the body returns, a Tensor or a nest of tuples, pairs, arrays,
/// vectors and maps.
template <class F>
class Function {
 public:
  using Where = std::source_location;
  /// For tf::function and tf::trace, which make them.
  explicit Function(internal::CalledBody<F> called) : called_(std::move(called)) {}

  /// @{
  /// Calls it with values, or with symbols: see tf::function.
  auto operator()(Where where = Where::current()) { return called_.call_nests(where); }
  template <class A>
  auto operator()(const A& a, Where where = Where::current()) {
    return called_.call_nests(where, a);
  }
  template <class A, class B>
  auto operator()(const A& a, const B& b, Where where = Where::current()) {
    return called_.call_nests(where, a, b);
  }
  template <class A, class B, class C>
  auto operator()(const A& a, const B& b, const C& c, Where where = Where::current()) {
    return called_.call_nests(where, a, b, c);
  }
  template <class A, class B, class C, class D>
  auto operator()(const A& a, const B& b, const C& c, const D& d, Where where = Where::current()) {
    return called_.call_nests(where, a, b, c, d);
  }
  template <class... A>
  requires(sizeof...(A) > 4) auto operator()(const A&... arguments) { return called_.call_nests({}, arguments...); }
  // Where some are lists in braces: f({1.f, 2.f}), f(x, {{1.f}}).
  auto operator()(const Feed::Value& a, Where where = Where::current()) { return called_.call_values({a}, where); }
  auto operator()(const Feed::Value& a, const Feed::Value& b, Where where = Where::current()) {
    return called_.call_values({a, b}, where);
  }
  auto operator()(const Feed::Value& a, const Feed::Value& b, const Feed::Value& c, Where where = Where::current()) {
    return called_.call_values({a, b, c}, where);
  }
  /// @}

  /// The graphs that exist of it, in the order in which they were made.
  std::vector<TraceInfo> traces() const { return called_.runner().traces(); }

  /// For the library's own sources, which have FunctionParts. Programs cannot use it.
  const internal::FunctionRunner& runner() const { return called_.runner(); }

 private:
  internal::CalledBody<F> called_;
};

/// @{
/// `f`, an ordinary C++ function of tensors, as a graph: the body is run once for each signature (dtypes and ranks of
/// the arguments, how they are nested, the device guard around the call) in deferred mode, whatever the mode is, and
/// what it does is traced.
///
///     auto predict = tf::function([&](Tensor x) { return tf::softmax(net(x)); });
///     std::cout << predict(X) << '\n';        // values in, values out: a prepared run, in either mode
///     Tensor y = predict(x);                  // symbols in, symbols out: one Call node in their graph
///     tf::gradients(y, {x});                  // through the call; a GradientTape sees through calls with values, too
///
/// Variables that the body uses are read and written where they are: eager ones in themselves, a graph's in its session
/// (the one given, else that which steps of its graph share). Concrete tensors that it uses become constants, which
/// `traces` lists. What the body does (assign, minimize, print, check) is done at each call, returned or not, and its
/// random ops draw at each call. It is traced again where a module that it uses was set to train or to evaluate since,
/// or an optimiser's schedule was set.
///
/// The body is C++ and runs while it is traced: reading a symbol's number on the host (`item`, `bool`, an extent that
/// is not known) is an error that says what to write. A C++ value that it reads, such as a counter, is what it was
/// then:
/// {.check = true} finds such. Variables are made before the body.
///
/// A call that throws leaves variables as they were. Safe from several threads. (TensorFlow: tf.function; JAX: jit)
template <class F>
[[nodiscard("tf::function makes a function: auto f = tf::function(...), then f(x)")]] auto function(
    F&& body, FunctionOptions options = {}, std::source_location where = std::source_location::current()) {
  if constexpr (internal::FunctionBody<std::decay_t<F>>) {
    return Function(internal::CalledBody<std::decay_t<F>>(internal::FunctionRunner::Kind::function, nullptr,
                                                          std::forward<F>(body), std::move(options), where));
  } else {
    static_assert(kNever<F>, "tf::function takes a function of tensors: tf::function([&](Tensor x) { return ...; })");
    return Tensor();
  }
}
template <class F>
[[nodiscard("tf::function makes a function: auto f = tf::function(...), then f(x)")]] auto function(
    const Session& session, F&& body, FunctionOptions options = {},
    std::source_location where = std::source_location::current()) {
  if constexpr (internal::FunctionBody<std::decay_t<F>>) {
    return Function(internal::CalledBody<std::decay_t<F>>(internal::FunctionRunner::Kind::function, &session,
                                                          std::forward<F>(body), std::move(options), where));
  } else {
    static_assert(kNever<F>,
                  "tf::function takes a function of tensors: tf::function(session, [&](Tensor x) { return ...; })");
    return Tensor();
  }
}
/// @}

}  // namespace twofold
