// Nests: leaves that each stand for one tensor, in any nesting of std::tuple, pair, array, vector and maps. Whatever
// takes or gives several tensors goes through here: runs, callables, steps, cond, while_loop and named.
#pragma once

#include <array>
#include <concepts>
#include <map>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <twofold/lib/op/tensor.h>

namespace twofold::internal {

// In all that follows `Leaves` tells which types are leaves: `Leaves::is_leaf<T>`. They differ: a name can be fetched,
// but a branch cannot return one.
template <class T, class Leaves>
concept LeafOf = Leaves::template is_leaf<T>;

/// A class around one tensor that nests give back as that class, such as TensorArray. A specialisation has `value`
/// true, `tensor(w)`, `with(w, t)`, which is w around another tensor, and `difference(a, b)`: in words, how two differ
/// that must not stand for each other, else nothing.
template <class T>
struct Wrapped {
  static constexpr bool value = false;
};
template <class T>
concept WrapsTensor = Wrapped<T>::value;

/// A map of one value a key: not a multimap, of whose equal keys none could be told from the others.
template <class T>
concept MapLike = requires(const T& map) {
  typename T::mapped_type;
  map.at(map.begin()->first);
};

template <class T, class Leaves>
struct NestOf {
  using type = void;
};
/// The same nest with a Tensor at each leaf; void if T is no nest of these leaves.
template <class T, class Leaves>
using Nest = typename NestOf<std::remove_cvref_t<T>, Leaves>::type;
template <class T, class Leaves>
concept NestWith = !std::is_void_v<Nest<T, Leaves>>;

template <class T, class Leaves>
requires LeafOf<T, Leaves>
struct NestOf<T, Leaves> {
  using type = Tensor;
};
template <WrapsTensor T, class Leaves>
struct NestOf<T, Leaves> {
  using type = T;
};
template <class Leaves, NestWith<Leaves>... T>
struct NestOf<std::tuple<T...>, Leaves> {
  using type = std::tuple<Nest<T, Leaves>...>;
};
template <class Leaves, NestWith<Leaves> A, NestWith<Leaves> B>
struct NestOf<std::pair<A, B>, Leaves> {
  using type = std::pair<Nest<A, Leaves>, Nest<B, Leaves>>;
};
template <class Leaves, NestWith<Leaves> T, size_t N>
requires(!LeafOf<std::array<T, N>, Leaves>) struct NestOf<std::array<T, N>, Leaves> {
  using type = std::array<Nest<T, Leaves>, N>;
};
template <class Leaves, NestWith<Leaves> T, class Allocator>
requires(!LeafOf<std::vector<T, Allocator>, Leaves>) struct NestOf<std::vector<T, Allocator>, Leaves> {
  using type = std::vector<Nest<T, Leaves>>;
};
template <class Leaves, class Key, NestWith<Leaves> T, class Compare, class Allocator>
struct NestOf<std::map<Key, T, Compare, Allocator>, Leaves> {
  using type = std::map<Key, Nest<T, Leaves>, Compare>;
};
template <class Leaves, class Key, NestWith<Leaves> T, class Hash, class Equal, class Allocator>
struct NestOf<std::unordered_map<Key, T, Hash, Equal, Allocator>, Leaves> {
  using type = std::unordered_map<Key, Nest<T, Leaves>, Hash, Equal>;
};
// Maps of other libraries.
template <class Leaves, template <class...> class Map, class Key, NestWith<Leaves> T, class... Rest>
requires MapLike<Map<Key, T, Rest...>>
struct NestOf<Map<Key, T, Rest...>, Leaves> {
  using type = Map<Key, Nest<T, Leaves>>;
};

/// Whether there is a map in a nest.
template <class T>
struct HasMap : std::bool_constant<MapLike<T>> {};
template <class... T>
struct HasMap<std::tuple<T...>> : std::disjunction<HasMap<T>...> {};
template <class A, class B>
struct HasMap<std::pair<A, B>> : std::disjunction<HasMap<A>, HasMap<B>> {};
template <class T, size_t N>
struct HasMap<std::array<T, N>> : HasMap<T> {};
template <class T, class Allocator>
struct HasMap<std::vector<T, Allocator>> : HasMap<T> {};

// An empty map that orders, or hashes, its keys as `map` does.
template <class Made, class Map>
Made empty_map(const Map& map) {
  if constexpr (requires { Made(map.key_comp()); }) {
    return Made(map.key_comp());
  } else if constexpr (requires { Made(0, map.hash_function(), map.key_eq()); }) {
    return Made(0, map.hash_function(), map.key_eq());
  } else {
    return Made();
  }
}

/// Calls `f(leaf)` for each leaf in order and gives the nest of the tensors that it returns.
template <class Leaves, class T, class F>
Nest<T, Leaves> map_nest(const T& nest, F&& f) {
  using Made = Nest<T, Leaves>;
  if constexpr (LeafOf<T, Leaves>) {
    return f(nest);
  } else if constexpr (WrapsTensor<T>) {
    return Wrapped<T>::with(nest, f(Wrapped<T>::tensor(nest)));
  } else if constexpr (MapLike<T>) {
    auto made = empty_map<Made>(nest);
    for (const auto& [key, value] : nest) made.emplace(key, map_nest<Leaves>(value, f));
    return made;
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    return std::apply([&](const auto&... each) { return Made{map_nest<Leaves>(each, f)...}; }, nest);
  } else {
    Made made;
    made.reserve(nest.size());
    for (const auto& each : nest) made.push_back(map_nest<Leaves>(each, f));
    return made;
  }
}

/// Calls `f(leaf)` for each leaf in order; `f` may change the leaves of a nest that is not const.
template <class Leaves, class T, class F>
void for_each_leaf(T& nest, F&& f) {
  if constexpr (LeafOf<std::remove_const_t<T>, Leaves>) {
    f(nest);
  } else if constexpr (WrapsTensor<std::remove_const_t<T>>) {
    using Wrap = Wrapped<std::remove_const_t<T>>;
    if constexpr (std::is_const_v<T>) {
      f(Wrap::tensor(nest));
    } else {
      Tensor changed = Wrap::tensor(nest);
      f(changed);
      nest = Wrap::with(nest, std::move(changed));
    }
  } else if constexpr (MapLike<T>) {
    for (auto& [key, value] : nest) for_each_leaf<Leaves>(value, f);
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    std::apply([&](auto&... each) { (for_each_leaf<Leaves>(each, f), ...); }, nest);
  } else {
    for (auto& each : nest) for_each_leaf<Leaves>(each, f);
  }
}

/// A nest like `like` with the tensors of `flat` as its leaves, in the order of `for_each_leaf`.
template <class Leaves, class T, class Flat>
Nest<T, Leaves> nest_like(const T& like, Flat&& flat) {
  size_t next = 0;
  return map_nest<Leaves>(like, [&](const auto&) -> Tensor {
    if constexpr (std::is_rvalue_reference_v<Flat&&>) {
      return std::move(flat[next++]);
    } else {
      return flat[next++];
    }
  });
}

template <class Key>
std::string key_text(const Key& key) {
  if constexpr (std::convertible_to<const Key&, std::string_view>) {
    return "'" + std::string(std::string_view(key)) + "'";
  } else if constexpr (std::is_arithmetic_v<Key>) {
    return std::to_string(key);
  } else {
    return "one of the keys";
  }
}

/// Calls `f(leaf)` for each leaf of `nest` in the order of `like`, a nest of the same type: a hash map need not have
/// the order of another one with the same keys. Returns in words where the two differ, and stops there; else nothing.
template <class Leaves, class Like, class T, class F>
std::string for_each_leaf_like(const Like& like, const T& nest, F&& f) {
  const auto sizes = [](size_t a, size_t b) { return std::to_string(a) + " and " + std::to_string(b); };
  std::string difference;
  if constexpr (LeafOf<T, Leaves>) {
    f(nest);
  } else if constexpr (WrapsTensor<T>) {
    difference = Wrapped<T>::difference(like, nest);
    if (difference.empty()) f(Wrapped<T>::tensor(nest));
  } else if constexpr (MapLike<T>) {
    if (like.size() != nest.size()) return "maps of " + sizes(like.size(), nest.size()) + " keys";
    for (const auto& [key, value] : like) {
      const auto found = nest.find(key);
      if (found == nest.end()) return "only one has the key " + key_text(key);
      difference = for_each_leaf_like<Leaves>(value, found->second, f);
      if (!difference.empty()) break;
    }
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      ((difference.empty() ? void(difference = for_each_leaf_like<Leaves>(std::get<I>(like), std::get<I>(nest), f))
                           : void()),
       ...);
    }
    (std::make_index_sequence<std::tuple_size_v<T>>());
  } else {
    if (like.size() != nest.size()) return "vectors of " + sizes(like.size(), nest.size()) + " elements";
    for (size_t i = 0; i < like.size() && difference.empty(); ++i)
      difference = for_each_leaf_like<Leaves>(like[i], nest[i], f);
  }
  return difference;
}

}  // namespace twofold::internal
