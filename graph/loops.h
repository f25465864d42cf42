// Loops over the slices of tensors along their first axis.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <source_location>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/graph/control_flow.h>
#include <twofold/lib/op/nest.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `scan` and `fold`.
struct ScanOptions {
  bool reverse = false;  ///< from the last slice to the first; what is collected keeps the order of the slices
};

namespace internal {

/// What a function of slices gives at one pass.
struct SlicePass {
  std::vector<Tensor> carry;      ///< to the next pass
  std::vector<Tensor> collected;  ///< along a new first axis
};
using SliceFunction = std::function<SlicePass(std::span<const Tensor> carry, std::span<const Tensor> slices)>;
/// A loop over slices. Its `function`, "scan", is for errors.
struct SliceLoop {
  const char* function;
  std::source_location where;
  enum class Collects : uint8_t { nothing, carry, results } collects;
  bool reverse = false;
};
/// The last pass's carry, and what was collected.
SlicePass over_slices(const SliceLoop& loop, std::vector<Tensor> elems, std::vector<Tensor> carry,
                      const SliceFunction& f);
/// The slices to begin with, and the tensors without them. InvalidArgument: there are none.
std::pair<std::vector<Tensor>, std::vector<Tensor>> begun(const SliceLoop& loop, std::vector<Tensor> elems);
/// `collected` with the slices `first` before it, or behind where the loop is reversed.
std::vector<Tensor> joined(const SliceLoop& loop, std::vector<Tensor> first, std::vector<Tensor> collected);

/// `f(whole)`, or f of a tuple's parts where it takes these.
template <class F, class S>
decltype(auto) call_with_slices(F& f, const S& slices) {
  if constexpr (std::is_invocable_v<F&, const S&>) {
    return f(slices);
  } else {
    return call_with_state(f, slices);
  }
}
template <class F, class S>
struct TakesSlices : std::bool_constant<std::is_invocable_v<F&, const S&> || TakesState<F, S>::value> {};

template <class T>
std::pair<Nest<T, OperandLeaves>, std::vector<Tensor>> flattened(const T& nest, std::source_location where) {
  Nest<T, OperandLeaves> made =
      map_nest<OperandLeaves>(nest, [&](const auto& leaf) { return Tensor(Operand(leaf, where).resolve()); });
  std::vector<Tensor> flat;
  for_each_leaf<OperandLeaves>(made, [&](const Tensor& leaf) { flat.push_back(leaf); });
  return {std::move(made), std::move(flat)};
}

// A pass of scan and fold: the next accumulator, in the form of `initial`.
template <bool kCollects, class F, class Elems, class Carry>
SliceFunction accumulating(F& f, const Elems& elems, const Carry& initial, const SliceLoop& loop) {
  return [&f, &elems, &initial, loop](std::span<const Tensor> carry, std::span<const Tensor> slices) {
    using Next = std::invoke_result_t<F&, const Carry&, const Elems&>;
    const auto& next = f(nest_like<OperandLeaves>(initial, carry), nest_like<OperandLeaves>(elems, slices));
    const auto leaf = [&](const auto& each, size_t i) { return loop_value(Operand(each, loop.where), carry, i); };
    SlicePass pass;
    if constexpr (std::is_same_v<Carry, Nest<Next, OperandLeaves>>) {
      pass.carry = leaves_like(initial, next, "A function of slices and its initial value", loop.where, leaf);
    } else {
      for_each_leaf<OperandLeaves>(next,
                                   [&](const auto& each) { pass.carry.push_back(leaf(each, pass.carry.size())); });
    }
    if constexpr (kCollects) pass.collected = pass.carry;
    return pass;
  };
}

// Whether scan and fold can be called so; the words of what is wrong otherwise.
template <class F, class Elems, class Carry>
constexpr bool accumulates() {
  if constexpr (std::is_void_v<Elems> || std::is_void_v<Carry>) {
    static_assert(
        kNever<F>,
        "scan and fold go over tensors with an initial value that are tensors, in any nesting of tuples, pairs, "
        "arrays, vectors and maps");
  } else if constexpr (!std::is_invocable_v<F&, const Carry&, const Elems&>) {
    static_assert(
        kNever<F>,
        "the function of scan and fold takes what is carried on and a slice, each as one parameter, by value or "
        "const&: [&](Tensor sum, Tensor x) { return sum + x; }");
  } else if constexpr (!NestWith<std::invoke_result_t<F&, const Carry&, const Elems&>, OperandLeaves> ||
                       MapsDiffer<std::invoke_result_t<F&, const Carry&, const Elems&>, Carry>::value) {
    static_assert(kNever<F>, "the function of scan and fold returns the next of what it carries on, of the same type");
  } else {
    return true;
  }
  return false;
}

}  // namespace internal

/// @{
/// acc = f(acc, slice) over the slices of `elems` along the first axis, from `init` on: every acc, along a new first
/// axis. `elems` and `init` are tensors or nests of them, of tensors as long; f takes the accumulator and a slice as
/// one parameter each and returns the next accumulator, of init's form and dtypes, whose shape stays. Without slices it
/// is empty, its slices shaped as init.
///
/// Without `init` the first slice is where it begins, which is then the first acc.
///
/// It is a while_loop with arrays: effects of f happen at each pass, and it is linear in the number of slices, as its
/// gradients are, of every order. InvalidArgument: tensors of different lengths, or scalars; another dtype or form.
/// (TensorFlow: scan; JAX: lax.scan)
template <class F, class Elems, class Init>
requires(!std::same_as<Init, ScanOptions>) auto scan(F&& f, const Elems& elems, const Init& init,
                                                     ScanOptions options = {},
                                                     std::source_location where = std::source_location::current()) {
  using Slices = internal::Nest<Elems, internal::OperandLeaves>;
  using Carry = internal::Nest<Init, internal::OperandLeaves>;
  if constexpr (internal::accumulates<std::remove_reference_t<F>, Slices, Carry>()) {
    const internal::SliceLoop loop{"scan", where, internal::SliceLoop::Collects::carry, options.reverse};
    const auto [form, flat] = internal::flattened(elems, where);
    const auto [initial, first] = internal::flattened(init, where);
    const auto made = internal::over_slices(loop, flat, first, internal::accumulating<true>(f, form, initial, loop));
    return internal::nest_like<internal::OperandLeaves>(initial, made.collected);
  } else {
    return Tensor();
  }
}
template <class F, class Elems>
auto scan(F&& f, const Elems& elems, ScanOptions options = {},
          std::source_location where = std::source_location::current()) {
  using Slices = internal::Nest<Elems, internal::OperandLeaves>;
  if constexpr (internal::accumulates<std::remove_reference_t<F>, Slices, Slices>()) {
    const internal::SliceLoop loop{"scan", where, internal::SliceLoop::Collects::carry, options.reverse};
    const auto [form, flat] = internal::flattened(elems, where);
    const auto [first, rest] = internal::begun(loop, flat);
    const auto made = internal::over_slices(loop, rest, first, internal::accumulating<true>(f, form, form, loop));
    return internal::nest_like<internal::OperandLeaves>(form, internal::joined(loop, first, made.collected));
  } else {
    return Tensor();
  }
}
/// @}

/// @{
/// The last acc of `scan`: f(...f(f(init, x0), x1)..., xn); reversed, f(...f(f(init, xn), xn-1)..., x0). Without slices
/// it is `init`. (TensorFlow: foldl, foldr)
template <class F, class Elems, class Init>
requires(!std::same_as<Init, ScanOptions>) auto fold(F&& f, const Elems& elems, const Init& init,
                                                     ScanOptions options = {},
                                                     std::source_location where = std::source_location::current()) {
  using Slices = internal::Nest<Elems, internal::OperandLeaves>;
  using Carry = internal::Nest<Init, internal::OperandLeaves>;
  if constexpr (internal::accumulates<std::remove_reference_t<F>, Slices, Carry>()) {
    const internal::SliceLoop loop{"fold", where, internal::SliceLoop::Collects::nothing, options.reverse};
    const auto [form, flat] = internal::flattened(elems, where);
    const auto [initial, first] = internal::flattened(init, where);
    const auto made = internal::over_slices(loop, flat, first, internal::accumulating<false>(f, form, initial, loop));
    return internal::nest_like<internal::OperandLeaves>(initial, made.carry);
  } else {
    return Tensor();
  }
}
template <class F, class Elems>
auto fold(F&& f, const Elems& elems, ScanOptions options = {},
          std::source_location where = std::source_location::current()) {
  using Slices = internal::Nest<Elems, internal::OperandLeaves>;
  if constexpr (internal::accumulates<std::remove_reference_t<F>, Slices, Slices>()) {
    const internal::SliceLoop loop{"fold", where, internal::SliceLoop::Collects::nothing, options.reverse};
    const auto [form, flat] = internal::flattened(elems, where);
    const auto [first, rest] = internal::begun(loop, flat);
    const auto made = internal::over_slices(loop, rest, first, internal::accumulating<false>(f, form, form, loop));
    return internal::nest_like<internal::OperandLeaves>(form, made.carry);
  } else {
    return Tensor();
  }
}
/// @}

// (A list in braces has no type of its own.)
template <class F, class Elems>
Tensor scan(F&&, const Elems&, std::initializer_list<Operand>, ScanOptions = {}) {
  static_assert(kNever<F>, "write the initial value of scan as a tensor, tf::constant({0.f, 1.f}), or a vector");
  return {};
}
template <class F, class Elems>
Tensor fold(F&&, const Elems&, std::initializer_list<Operand>, ScanOptions = {}) {
  static_assert(kNever<F>, "write the initial value of fold as a tensor, tf::constant({0.f, 1.f}), or a vector");
  return {};
}

/// f of each slice of `elems` along the first axis, in order; its results along a new first axis, in f's nest. `elems`
/// is a tensor or a nest of tensors as long; a tuple's slices are one parameter each, or the tuple is, whichever f
/// takes.
///
/// As `scan`, it is a while_loop with arrays. Without slices the results are empty, of the dtypes and shapes that f
/// gives: eager, f is called once, with zeros, to know these, and what it assigns or draws is undone; a graph must know
/// them. InvalidArgument: tensors of different lengths, or scalars; results that are not alike at all passes.
/// (TensorFlow: map_fn; JAX: lax.map)
template <class F, class Elems>
auto map_fn(F&& f, const Elems& elems, std::source_location where = std::source_location::current()) {
  using Slices = internal::Nest<Elems, internal::OperandLeaves>;
  if constexpr (std::is_void_v<Slices>) {
    static_assert(kNever<F>,
                  "map_fn goes over tensors: one, or any nesting of tuples, pairs, arrays, vectors and maps of them");
    return Tensor();
  } else if constexpr (!internal::TakesSlices<F, Slices>::value) {
    static_assert(
        kNever<F>,
        "the function of map_fn takes a slice, [&](Tensor x) { ... }, by value or const&, of a tuple's tensors "
        "one each");
    return Tensor();
  } else {
    using Made = decltype(internal::call_with_slices(f, std::declval<const Slices&>()));
    if constexpr (!internal::NestWith<Made, internal::OperandLeaves>) {
      static_assert(kNever<F>, "the function of map_fn returns tensors: return x or std::tuple{a, b}");
      return Tensor();
    } else {
      const internal::SliceLoop loop{"map_fn", where, internal::SliceLoop::Collects::results};
      const auto [form, flat] = internal::flattened(elems, where);
      std::optional<internal::Nest<Made, internal::OperandLeaves>> like;
      const auto pass = [&, &form = form](std::span<const Tensor>, std::span<const Tensor> slices) {
        const auto made =
            internal::flattened(
                internal::call_with_slices(f, internal::nest_like<internal::OperandLeaves>(form, slices)), where)
                .first;
        if (!like) like.emplace(made);
        return internal::SlicePass{{},
                                   internal::leaves_like(*like, made, "The results of map_fn's function", where,
                                                         [](const Tensor& t, size_t) { return t; })};
      };
      const auto made = internal::over_slices(loop, flat, {}, pass);
      return internal::nest_like<internal::OperandLeaves>(*like, made.collected);
    }
  }
}

}  // namespace twofold
