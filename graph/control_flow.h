// Control flow that depends on tensors.
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/lib/op/nest.h>
#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/tensor_function.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

namespace internal {

struct ControlFlowResult {
  std::vector<Tensor> outputs;
  Operation operation;  ///< the node; undefined if the work is done already
};
using BranchFunction = std::function<std::vector<Tensor>()>;
using TestFunction = std::function<Tensor(std::span<const Tensor>)>;

ControlFlowResult cond(const Operand& p, const BranchFunction& then, const BranchFunction& otherwise);
ControlFlowResult while_loop(std::vector<Tensor> state, const TestFunction& test, const TensorFunction& body,
                             std::source_location where);
/// A value that a body returns for a loop variable: a literal takes the variable's dtype if it fits.
Tensor loop_value(const Operand& value, std::span<const Tensor> state, size_t i);

/// What stands for one tensor in what cond and while_loop take and return: a Tensor, a Variable (read), a literal.
struct OperandLeaves {
  template <class T>
  static constexpr bool is_leaf = std::derived_from<T, Tensor> || std::derived_from<T, Variable> ||
                                  std::same_as<T, Literal> || Number<T> || NumberRange<T>;
};
/// Throws InvalidArgument: `what` ("The branches of cond") must return nests of the same structure.
[[noreturn]] void fail_structure(const char* what, const std::string& difference, std::source_location where);

/// The leaves of `made` after `leaf(each)`, in the order of `like`. Throws where their structures differ but have as
/// many leaves (other numbers are told by who counts them).
template <class Like, class Made, class F>
std::vector<Tensor> leaves_like(const Like& like, const Made& made, const char* what, std::source_location where,
                                F&& leaf) {
  std::vector<Tensor> flat;
  const auto append = [&](const auto& each) { flat.push_back(leaf(each, flat.size())); };
  const std::string difference = for_each_leaf_like<OperandLeaves>(like, made, append);
  if (difference.empty()) return flat;
  size_t expected = 0;
  for_each_leaf<OperandLeaves>(like, [&](const auto&) { ++expected; });
  flat.clear();
  for_each_leaf<OperandLeaves>(made, append);
  if (flat.size() == expected) fail_structure(what, difference, where);
  return flat;
}

// Where the next state is another nest than the state, its leaves are taken in order, and maps would lose their keys.
template <class Next, class State, class NextNest = Nest<Next, OperandLeaves>>
struct MapsDiffer
    : std::bool_constant<!std::is_same_v<NextNest, State> && (HasMap<NextNest>::value || HasMap<State>::value)> {};
template <class Next, class State>
struct MapsDiffer<Next, State, void> : std::false_type {};

template <class R>
inline constexpr bool kNothing = std::is_void_v<R> || std::is_same_v<std::remove_cvref_t<R>, Operation>;

// A state whose parts are arguments of their own.
template <class S>
concept SpreadState = requires {
  std::tuple_size<S>::value;
}
&&!requires(const S& s) { s.begin(); };

template <class F, class S>
struct TakesState : std::bool_constant<std::is_invocable_v<F&, const S&>> {};
template <class F, SpreadState S>
struct TakesState<F, S> {
  static constexpr bool value = []<size_t... I>(std::index_sequence<I...>) {
    return std::is_invocable_v<F&, std::tuple_element_t<I, const S>&...>;
  }
  (std::make_index_sequence<std::tuple_size_v<S>>());
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
/// tuple, pair, array, vector or map of such (vectors as long, maps of the same keys), or nothing (then the result is
/// an Operation to run). Literals and variables may stand for tensors.
///
/// Eager, or with a predicate that is a value, the chosen branch is called. (A value decides while a graph is built and
/// leaves no control flow there; its gradients are then summed op by op, where eager tapes sum those of a branch first,
/// so that last bits may differ.) On a symbol both are called once, to build the bodies of an If node; their effects
/// (assignments, prints) happen when the node runs and the branch is taken. Shapes of the branches' results may differ
/// and are then known only as far as they agree. InvalidArgument: p is no bool scalar; the branches return different
/// numbers of tensors, nests or dtypes; a tensor made in a branch is used outside without being returned. (TensorFlow:
/// cond)
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
    using Nest = internal::Nest<std::invoke_result_t<Then&>, internal::OperandLeaves>;
    using Other = internal::Nest<std::invoke_result_t<Else&>, internal::OperandLeaves>;
    if constexpr (std::is_void_v<Nest> || std::is_void_v<Other>) {
      static_assert(
          kNever<Then>,
          "a branch of cond returns tensors, variables or numbers, in any nesting of tuples, pairs, arrays, vectors "
          "and maps: return tf::constant(...) or std::tuple{a, b}");
      return Tensor();
    } else if constexpr (!std::is_same_v<Nest, Other>) {
      static_assert(kNever<Then>, "the branches of cond must return alike: both a tensor, or both a tuple of as many");
      return Tensor();
    } else {
      std::optional<Nest> nest;
      const auto branch = [&](auto& f) {
        return [&] {
          const Nest made = internal::map_nest<internal::OperandLeaves>(
              f(), [&](const auto& leaf) { return Operand(leaf, p.where()).resolve(); });
          if (!nest) nest.emplace(made);
          return internal::leaves_like(*nest, made, "The branches of cond", p.where(),
                                       [](const Tensor& t, size_t) { return t; });
        };
      };
      const auto result = internal::cond(p, branch(then), branch(otherwise));
      return internal::nest_like<internal::OperandLeaves>(*nest, result.outputs);
    }
  }
}

/// While `test(state...)` is true, `state = body(state...)`; the last state. The state is a tuple (given to test and
/// body as arguments of their own), or one tensor, or an array, vector or map; literals in it become tensors. With an
/// empty tuple the result is an Operation to run.
///
/// Eager it is a loop. Deferred it adds a While node: test and body are called to build its bodies, the latter once
/// more for each time that a shape turns out to change from one time to the next (its extents are then unknown). Dtypes
/// must stay: InvalidArgument. Effects inside happen each time. (TensorFlow: while_loop)
template <class Test, class Body, class State>
auto while_loop(Test&& test, Body&& body, const State& state,
                std::source_location where = std::source_location::current()) {
  using Nest = internal::Nest<State, internal::OperandLeaves>;
  if constexpr (std::is_void_v<Nest>) {
    static_assert(kNever<State>,
                  "the state of while_loop is tensors: one, std::tuple{i, x}, or an array, vector or map of them");
    return Tensor();
  } else if constexpr (!internal::TakesState<Test, Nest>::value || !internal::TakesState<Body, Nest>::value) {
    static_assert(
        kNever<State>,
        "test and body of while_loop are functions of the state: of a tuple's parts as parameters of their own, "
        "[&](Tensor i, Tensor x) { ... }, else of one, [&](Tensor x) { ... }, by value or const&");
    return Tensor();
  } else {
    using Truth = decltype(internal::call_with_state(test, std::declval<const Nest&>()));
    using Next = decltype(internal::call_with_state(body, std::declval<const Nest&>()));
    if constexpr (!std::convertible_to<Truth, Tensor> && !std::is_same_v<std::remove_cvref_t<Truth>, bool>) {
      static_assert(kNever<State>, "the test of while_loop returns a bool scalar: [&](Tensor i) { return i < 10; }");
      return Tensor();
    } else if constexpr (!internal::kNothing<Next> && !internal::NestWith<Next, internal::OperandLeaves>) {
      static_assert(
          kNever<State>,
          "the body of while_loop returns the next state, of as many tensors: return x or std::tuple{i + 1, x}");
      return Tensor();
    } else if constexpr (internal::MapsDiffer<Next, Nest>::value) {
      static_assert(
          kNever<State>,
          "where there are maps, the body of while_loop returns the type of its state: by another map's order "
          "a value could come to another key");
      return Tensor();
    } else {
      const Nest nest = internal::map_nest<internal::OperandLeaves>(
          state, [&](const auto& leaf) { return Operand(leaf, where).resolve(); });
      std::vector<Tensor> flat;
      internal::for_each_leaf<internal::OperandLeaves>(nest, [&](const Tensor& leaf) { flat.push_back(leaf); });
      const auto result = internal::while_loop(
          std::move(flat),
          [&](std::span<const Tensor> values) {
            const Nest now = internal::nest_like<internal::OperandLeaves>(nest, values);
            return Tensor(Operand(internal::call_with_state(test, now), where).resolve());
          },
          [&](std::span<const Tensor> values) {
            const Nest now = internal::nest_like<internal::OperandLeaves>(nest, values);
            const auto leaf = [&](const auto& each, size_t i) {
              return internal::loop_value(Operand(each, where), values, i);
            };
            if constexpr (internal::kNothing<Next>) {
              internal::call_with_state(body, now);
              return std::vector<Tensor>();
            } else {
              const auto& next = internal::call_with_state(body, now);
              if constexpr (std::is_same_v<Nest, internal::Nest<Next, internal::OperandLeaves>>) {
                return internal::leaves_like(nest, next, "The body of while_loop and its state", where, leaf);
              } else {
                std::vector<Tensor> flat;
                internal::for_each_leaf<internal::OperandLeaves>(
                    next, [&](const auto& each) { flat.push_back(leaf(each, flat.size())); });
                return flat;
              }
            }
          },
          where);
      if constexpr (std::is_same_v<Nest, std::tuple<>>) {
        return result.operation;
      } else {
        return internal::nest_like<internal::OperandLeaves>(nest, result.outputs);
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
