// Control flow that depends on tensors.
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <optional>
#include <source_location>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/graph/nest.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

namespace internal {

struct ControlFlowResult {
  std::vector<Tensor> outputs;
  Operation operation;  ///< the node; undefined if the work is done already
};
using BranchFunction = std::function<std::vector<Tensor>()>;
using TestFunction = std::function<Tensor(std::span<const Tensor>)>;
using BodyFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

ControlFlowResult cond(const Operand& p, const BranchFunction& then, const BranchFunction& otherwise);
ControlFlowResult while_loop(std::vector<Tensor> state, const TestFunction& test, const BodyFunction& body,
                             std::source_location where);
/// A value that a body returns for a loop variable: a literal takes the variable's dtype if it fits.
Tensor loop_value(const Operand& value, std::span<const Tensor> state, size_t i);

template <class R>
inline constexpr bool kNothing = std::is_void_v<R> || std::is_same_v<std::remove_cvref_t<R>, Operation>;

// A state whose parts are arguments of their own.
template <class S>
concept SpreadState = requires { std::tuple_size<S>::value; } && !requires(const S& s) { s.begin(); };

template <class F, class S>
struct TakesState : std::bool_constant<std::is_invocable_v<F&, const S&>> {};
template <class F, SpreadState S>
struct TakesState<F, S> {
  static constexpr bool value = []<size_t... I>(std::index_sequence<I...>) {
    return std::is_invocable_v<F&, std::tuple_element_t<I, const S>&...>;
  }(std::make_index_sequence<std::tuple_size_v<S>>());
};

template <class F, class S>
decltype(auto) call_with_state(F& f, const S& state) {
  if constexpr (SpreadState<S>) {
    return std::apply(f, state);
  } else {
    return f(state);
  }
}

}  // namespace internal

/// `then()` where the scalar bool p is true, `otherwise()` where it is false. The branches return alike: a tensor, a
/// tuple, pair, array or vector of such, or nothing (then the result is an Operation to run). Literals and variables
/// may stand for tensors.
///
/// Eager, or with a predicate that is a value, the chosen branch is called. (A value decides while a graph is built and
/// leaves no control flow there; its gradients are then summed op by op, where eager tapes sum those of a branch first,
/// so that last bits may differ.) On a symbol both are called once, to build the bodies of an If node; their effects
/// (assignments, prints) happen when the node runs and the branch is taken. Shapes of the branches' results may differ
/// and are then known only as far as they agree. InvalidArgument: p is no bool scalar; the branches return different
/// numbers of tensors, or dtypes; a tensor made in a branch is used outside without being returned. (TensorFlow: cond)
template <class Then, class Else>
auto cond(Operand p, Then&& then, Else&& otherwise) {
  if constexpr (!std::is_invocable_v<Then&> || !std::is_invocable_v<Else&>) {
    static_assert(
        kNever<Then>,
        "the branches of cond are functions without parameters: write cond(p, [&] { return a; }, [&] { return b; }), "
        "or tf::where(p, a, b) where both are computed already");
    return Tensor();
  } else if constexpr (internal::kNothing<std::invoke_result_t<Then&>> ||
                       internal::kNothing<std::invoke_result_t<Else&>>) {
    static_assert(internal::kNothing<std::invoke_result_t<Then&>> && internal::kNothing<std::invoke_result_t<Else&>>,
                  "both branches of cond return tensors, or neither does: add a return to the other one");
    return internal::cond(
               p, [&] { return then(), std::vector<Tensor>(); }, [&] { return otherwise(), std::vector<Tensor>(); })
        .operation;
  } else {
    using Nest = internal::TensorNest<std::invoke_result_t<Then&>>;
    using Other = internal::TensorNest<std::invoke_result_t<Else&>>;
    if constexpr (std::is_void_v<Nest> || std::is_void_v<Other>) {
      static_assert(
          kNever<Then>,
          "a branch of cond returns tensors, variables or numbers, in any nesting of tuples, pairs, arrays and "
          "vectors: return tf::constant(...) or std::tuple{a, b}");
      return Tensor();
    } else if constexpr (!std::is_same_v<Nest, Other>) {
      static_assert(kNever<Then>, "the branches of cond must return alike: both a tensor, or both a tuple of as many");
      return Tensor();
    } else {
      std::optional<Nest> nest;
      const auto branch = [&](auto& f) {
        return [&] {
          std::vector<Tensor> flat;
          nest.emplace(internal::map_nest(
              f(), [&](const auto& leaf) { return flat.emplace_back(Operand(leaf, p.where()).resolve()); }));
          return flat;
        };
      };
      const auto result = internal::cond(p, branch(then), branch(otherwise));
      return internal::nest_like(*nest, result.outputs);
    }
  }
}

/// While `test(state...)` is true, `state = body(state...)`; the last state. The state is a tuple (given to test and
/// body as arguments of their own), or one tensor, or an array or vector; literals in it become tensors. With an empty
/// tuple the result is an Operation to run.
///
/// Eager it is a loop. Deferred it adds a While node: test and body are called to build its bodies, the latter once
/// more for each time that a shape turns out to change from one time to the next (its extents are then unknown). Dtypes must stay:
/// InvalidArgument. Effects inside happen each time. (TensorFlow: while_loop)
template <class Test, class Body, class State>
auto while_loop(Test&& test, Body&& body, const State& state,
                std::source_location where = std::source_location::current()) {
  using Nest = internal::TensorNest<State>;
  if constexpr (std::is_void_v<Nest>) {
    static_assert(kNever<State>,
                  "the state of while_loop is tensors: one, std::tuple{i, x}, or an array or vector of them");
    return Tensor();
  } else if constexpr (!internal::TakesState<Test, Nest>::value || !internal::TakesState<Body, Nest>::value) {
    static_assert(
        kNever<State>,
        "test and body of while_loop are functions of the state: of a tuple's parts as parameters of their own, "
        "[&](Tensor i, Tensor x) { ... }, else of one, [&](Tensor x) { ... }");
    return Tensor();
  } else {
    using Truth = decltype(internal::call_with_state(test, std::declval<const Nest&>()));
    using Next = decltype(internal::call_with_state(body, std::declval<const Nest&>()));
    if constexpr (!std::convertible_to<Truth, Tensor> && !std::is_same_v<std::remove_cvref_t<Truth>, bool>) {
      static_assert(kNever<State>, "the test of while_loop returns a bool scalar: [&](Tensor i) { return i < 10; }");
      return Tensor();
    } else if constexpr (!internal::kNothing<Next> && !internal::NestOfTensors<Next>) {
      static_assert(
          kNever<State>,
          "the body of while_loop returns the next state, of as many tensors: return x or std::tuple{i + 1, x}");
      return Tensor();
    } else {
      std::vector<Tensor> flat;
      const Nest nest = internal::map_nest(
          state, [&](const auto& leaf) { return flat.emplace_back(Operand(leaf, where).resolve()); });
      const auto result = internal::while_loop(
          std::move(flat),
          [&](std::span<const Tensor> values) {
            const Nest now = internal::nest_like(nest, values);
            return Tensor(Operand(internal::call_with_state(test, now), where).resolve());
          },
          [&](std::span<const Tensor> values) {
            const Nest now = internal::nest_like(nest, values);
            std::vector<Tensor> next;
            if constexpr (internal::kNothing<Next>) {
              internal::call_with_state(body, now);
            } else {
              internal::map_nest(internal::call_with_state(body, now), [&](const auto& leaf) {
                return next.emplace_back(internal::loop_value(Operand(leaf, where), values, next.size()));
              });
            }
            return next;
          },
          where);
      if constexpr (std::is_same_v<Nest, std::tuple<>>) {
        return result.operation;
      } else {
        return internal::nest_like(nest, result.outputs);
      }
    }
  }
}
// (A list in braces has no type of its own.)
template <class Test, class Body>
Tensor while_loop(Test&&, Body&&, std::initializer_list<Operand>) {
  static_assert(
      kNever<Test>,
      "write the state of while_loop as a tuple, while_loop(test, body, std::tuple{i, x}), or one tensor as it is");
  return {};
}

}  // namespace twofold
