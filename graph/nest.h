// Nests of tensors as control flow takes and returns them: a tensor, tuples, pairs, arrays and vectors of nests.
#pragma once

#include <array>
#include <tuple>
#include <utility>
#include <vector>

#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>

namespace twofold::internal {

/// What stands for one tensor: a Tensor, a Variable (read), a literal.
template <class T>
concept NestLeaf = std::derived_from<T, Tensor> || std::derived_from<T, Variable> || std::same_as<T, Literal> ||
                   Number<T> || NumberRange<T>;

// The same nest with a Tensor at each leaf; void if T is none.
template <class T>
struct TensorNestOf {
  using type = void;
};
template <class T>
using TensorNest = typename TensorNestOf<std::remove_cvref_t<T>>::type;
template <class T>
concept NestOfTensors = !std::is_void_v<TensorNest<T>>;
template <NestLeaf T>
struct TensorNestOf<T> {
  using type = Tensor;
};
template <NestOfTensors... T>
struct TensorNestOf<std::tuple<T...>> {
  using type = std::tuple<TensorNest<T>...>;
};
template <NestOfTensors A, NestOfTensors B>
struct TensorNestOf<std::pair<A, B>> {
  using type = std::pair<TensorNest<A>, TensorNest<B>>;
};
template <NestOfTensors T, size_t N>
  requires(!NestLeaf<std::array<T, N>>)
struct TensorNestOf<std::array<T, N>> {
  using type = std::array<TensorNest<T>, N>;
};
template <NestOfTensors T, class... Rest>
  requires(!NestLeaf<std::vector<T, Rest...>>)
struct TensorNestOf<std::vector<T, Rest...>> {
  using type = std::vector<TensorNest<T>>;
};

/// Calls `f(leaf)` for each leaf in order and gives the nest of what it returns, a Tensor each.
template <class T, class F>
TensorNest<T> map_nest(const T& nest, F&& f) {
  if constexpr (NestLeaf<T>) {
    return f(nest);
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    return std::apply([&](const auto&... each) { return TensorNest<T>{map_nest(each, f)...}; }, nest);
  } else {
    TensorNest<T> made;
    for (const auto& each : nest) made.push_back(map_nest(each, f));
    return made;
  }
}

/// A nest like `like` with the tensors of `flat` as its leaves.
template <class T>
TensorNest<T> nest_like(const T& like, std::span<const Tensor> flat) {
  size_t next = 0;
  return map_nest(like, [&](const auto&) { return flat[next++]; });
}

}  // namespace twofold::internal
