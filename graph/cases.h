// One of several functions, by predicates or by a number.
#pragma once

#include <functional>
#include <initializer_list>
#include <source_location>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/graph/control_flow.h>
#include <twofold/kernels/pointwise/pointwise.h>

namespace twofold {

namespace internal {

/// What the branches of case_of give: R as a nest of tensors, or nothing.
template <class R>
struct BranchResult {
  using type = Nest<R, OperandLeaves>;
};
template <class R>
requires kNothing<R>
struct BranchResult<R> {
  using type = void;
};

template <class F>
using BranchOf = typename BranchResult<std::invoke_result_t<F&>>::type;

/// What a branch gives, its literals and variables being tensors.
template <class Made, class F>
Made branch_result(F& f, std::source_location where) {
  if constexpr (std::is_void_v<Made>) {
    f();
  } else {
    return map_nest<OperandLeaves>(f(), [&](const auto& leaf) { return Tensor(Operand(leaf, where).resolve()); });
  }
}

/// What cond makes of such branches.
template <class Made>
using Chosen = std::conditional_t<std::is_void_v<Made>, Operation, Made>;

/// A predicate and what is done where it is true. `Made` is what `otherwise` gives.
template <class Made>
class CaseOf {
 public:
  using Where = std::source_location;
  template <class F>
  requires std::is_invocable_v<F&> CaseOf(Operand predicate, F f, Where where = Where::current())
      : predicate_(std::move(predicate)) {
    if constexpr (std::is_same_v<Made, BranchOf<F>>) {
      branch_ = [f = std::move(f), where]() mutable { return branch_result<Made>(f, where); };
    } else {
      static_assert(kNever<F>, "the functions of case_of must return alike: all a tensor, or all a tuple of as many");
    }
  }
  const Operand& predicate() const { return predicate_; }
  const std::function<Made()>& branch() const { return branch_; }

 private:
  Operand predicate_;
  std::function<Made()> branch_;
};

/// Throws InvalidArgument: case_of was given no case.
[[noreturn]] void fail_no_case();

template <class Made, class Else>
Chosen<Made> first_true(std::span<const CaseOf<Made>> cases, Else& otherwise) {
  const auto rest = [&] {
    if constexpr (std::is_void_v<Made>) {
      cases.size() == 1 ? void(otherwise()) : void(first_true(cases.subspan(1), otherwise));
    } else {
      return cases.size() == 1 ? branch_result<Made>(otherwise, cases[0].predicate().where())
                               : first_true(cases.subspan(1), otherwise);
    }
  };
  return cond(cases[0].predicate(), cases[0].branch(), rest);
}

// The functions from `begin` to before `end`, of which `index` picks one, in as many conds as its number has digits.
template <class Made>
Chosen<Made> picked(const Tensor& index, std::span<const std::function<Made()>> branches, int32_t begin,
                    std::source_location where) {
  const auto middle = static_cast<int32_t>(branches.size() / 2);
  const auto half = [&](std::span<const std::function<Made()>> of, int32_t from) {
    return [&index, of, from, where] {
      if constexpr (std::is_void_v<Made>) {
        of.size() == 1 ? of[0]() : void(picked(index, of, from, where));
      } else {
        return of.size() == 1 ? of[0]() : picked(index, of, from, where);
      }
    };
  };
  const Tensor is_in_first = less(Operand(index, where), Operand(begin + middle, where));
  return cond(Operand(is_in_first, where), half(branches.first(static_cast<size_t>(middle)), begin),
              half(branches.subspan(static_cast<size_t>(middle)), begin + middle));
}

/// `index`, a number of 0..count-1, or the last where it is another.
Tensor branch_number(const Operand& index, size_t count);

}  // namespace internal

/// The function of the first predicate that is true, else `otherwise()`: `case_of({{p, f}, {q, g}}, h)` is
/// `cond(p, f, [&] { return cond(q, g, h); })`. All return alike, as the branches of cond. Later predicates are values
/// that are there already; write cond within cond where one must not be computed. (TensorFlow: case)
template <class Else>
auto case_of(std::initializer_list<internal::CaseOf<internal::BranchOf<Else>>> cases, Else&& otherwise) {
  using Made = internal::BranchOf<Else>;
  static_assert(internal::kNothing<std::invoke_result_t<Else&>> || !std::is_void_v<Made>,
                "the functions of case_of return tensors, in any nesting of tuples, pairs, arrays, vectors and maps");
  if (cases.size() == 0) internal::fail_no_case();
  return internal::first_true(std::span<const internal::CaseOf<Made>>(cases.begin(), cases.size()), otherwise);
}

/// The function number `index`, an integer scalar, counted from 0; the last one where there is none of that number. All
/// return alike, as the branches of cond, of which it takes as many as the number has binary digits. (TensorFlow:
/// switch_case; JAX: lax.switch, which takes the first where the index is negative)
template <class First, class... Rest>
auto switch_case(Operand index, First&& first, Rest&&... rest) {
  using Made = internal::BranchOf<First>;
  if constexpr (!(std::is_same_v<Made, internal::BranchOf<Rest>> && ...)) {
    static_assert(kNever<First>,
                  "the functions of switch_case must return alike: all a tensor, or all a tuple of as many");
    return Tensor();
  } else {
    const Tensor number = internal::branch_number(index, 1 + sizeof...(rest));
    const auto branch = [&](auto& f) -> std::function<Made()> {
      return [&f, where = index.where()] { return internal::branch_result<Made>(f, where); };
    };
    const std::vector<std::function<Made()>> branches{branch(first), branch(rest)...};
    if constexpr (sizeof...(rest) > 0) {
      return internal::picked(number, std::span<const std::function<Made()>>(branches), 0, index.where());
    } else if constexpr (std::is_void_v<Made>) {
      branches[0]();
      return Operation();
    } else {
      return branches[0]();
    }
  }
}

}  // namespace twofold
