// Control flow that depends on tensors.
#pragma once

#include <functional>
#include <optional>
#include <source_location>
#include <span>
#include <type_traits>
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

template <class F, class S>
decltype(auto) call_with_state(F& f, const S& state) {
  if constexpr (requires { std::tuple_size<S>::value; } && !requires { state.begin(); }) {
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
/// so that last bits may differ.) On a symbol both are called once, to build the subgraphs of an If node; their effects
/// (assignments, prints) happen when the node runs and the branch is taken. Shapes of the branches' results may differ
/// and are then known only as far as they agree. InvalidArgument: p is no bool scalar; the branches return different
/// numbers of tensors, or dtypes; a tensor made in a branch is used outside without being returned. (TensorFlow: cond)
template <class Then, class Else>
auto cond(Operand p, Then&& then, Else&& otherwise) {
  using R = std::invoke_result_t<Then&>;
  using E = std::invoke_result_t<Else&>;
  if constexpr (internal::kNothing<R> || internal::kNothing<E>) {
    static_assert(internal::kNothing<R> && internal::kNothing<E>,
                  "both branches of cond return tensors, or neither does");
    return internal::cond(
               p, [&] { return then(), std::vector<Tensor>(); }, [&] { return otherwise(), std::vector<Tensor>(); })
        .operation;
  } else {
    using Nest = internal::TensorNest<R>;
    static_assert(std::is_same_v<Nest, internal::TensorNest<E>>, "the branches of cond must return alike");
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

/// While `test(state...)` is true, `state = body(state...)`; the last state. The state is a tuple (given to test and
/// body as arguments of their own), or one tensor, or an array or vector; literals in it become tensors. With an empty
/// tuple the result is an Operation to run.
///
/// Eager it is a loop. Deferred it adds a While node: test and body are called to build its subgraphs, the body once
/// more for each time that a shape turns out to change between passes (its extents are then unknown). Dtypes must stay:
/// InvalidArgument. Effects inside happen at every pass. (TensorFlow: while_loop)
template <class Test, class Body, class State>
auto while_loop(Test&& test, Body&& body, const State& state,
                std::source_location where = std::source_location::current()) {
  using Nest = internal::TensorNest<State>;
  std::vector<Tensor> flat;
  const Nest nest =
      internal::map_nest(state, [&](const auto& leaf) { return flat.emplace_back(Operand(leaf, where).resolve()); });
  const auto result = internal::while_loop(
      std::move(flat),
      [&](std::span<const Tensor> values) {
        const Nest now = internal::nest_like(nest, values);
        return Tensor(Operand(internal::call_with_state(test, now), where).resolve());
      },
      [&](std::span<const Tensor> values) {
        const Nest now = internal::nest_like(nest, values);
        std::vector<Tensor> next;
        using R = decltype(internal::call_with_state(body, now));
        if constexpr (internal::kNothing<R>) {
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

}  // namespace twofold
