// What functions and steps have in common, whatever their bodies take and return.
#pragma once

#include <any>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <twofold/lib/op/nest.h>
#include <twofold/lib/op/operand.h>
#include <twofold/lib/op/variable.h>
#include <twofold/session/session.h>

namespace twofold {

/// Options of `tf::function`.
struct FunctionOptions {
  /// In errors, in graphs that call it, and where it is saved.
  std::string name = {};
  /// What is known of the arguments' shapes, `{{-1, 28, 28}}`, from the first on; of others it is their ranks. A call
  /// with an argument of another shape is InvalidArgument.
  std::vector<Shape> shapes = {};
  /// @{
  /// What arguments and results are called in a saved program, leaf by leaf; "x", "x0", "y", "y0" where none is given.
  std::vector<std::string> arguments = {};
  std::vector<std::string> results = {};
  /// @}
  /// Traces the body twice, and again at each call, and throws FailedPrecondition where two traces differ: what
  /// differs, with its line, is something that the body took from C++ (a counter, a captured Tensor put anew) and that
  /// a graph would not see change. For finding out; calls are slow.
  bool check = false;
};

/// One trace of a function: the graph that its body became for arguments of one kind.
struct TraceInfo {
  std::string signature;             ///< "float32 (?, ?), int64 ()"
  std::string reason;                ///< why no earlier trace would do
  std::source_location called_from;  ///< the call that it was made for, as far as that is known
  int64_t nodes = 0;                 ///< of the graph
  /// A value that the body captured.
  struct Constant {
    Tensor value;                ///< as it was then, and is for the graph
    std::source_location where;  ///< where the body used it
  };
  /// The values that the body captured, which are constants of the graph. Numbers that stand in its text are not
  /// listed.
  std::vector<Constant> constants;
  std::vector<std::string> variables;  ///< names of those that it reads or writes
  /// Of a function that `tf::trace` made: what it holds for, such as "the bool read at net.cc:12 was true".
  std::vector<std::string> guards;
};
/// "float32 (?, ?), int64 (): 12 nodes, traced at train.cc:40: the first call", and what it holds for.
std::ostream& operator<<(std::ostream&, const TraceInfo&);

namespace internal {

struct FunctionParts;

/// The arguments of one call: leaves of their nests, in order.
struct Arguments {
  std::span<const Feed::Value> values;
  std::string_view structure;  ///< of the nests; empty if each is one tensor
  std::source_location where;  ///< of the call, as far as it is known
};

class FunctionRunner {
 public:
  enum class Kind : uint8_t {
    function,
    step,
    trace,  ///< a function whose body may read values on the host
  };
  /// The body, given its arguments' leaves: appends what it returns to `returned` and gives the nest it came in.
  using Body = std::function<std::any(std::span<const Tensor> arguments, std::vector<Fetch>& returned)>;
  struct Result {
    std::shared_ptr<const std::any> nest;
    std::vector<Tensor> values;
  };

  /// `session` may be null.
  FunctionRunner(Kind kind, const Session* session, FunctionOptions options, std::source_location where);
  ~FunctionRunner();
  FunctionRunner(FunctionRunner&&) noexcept;
  FunctionRunner& operator=(FunctionRunner&&) noexcept;
  Result call(const Arguments& arguments, const Body& body);
  /// Traces a body for these values, and does nothing of what it does.
  void trace_examples(const Arguments& arguments, const Body& body);
  /// Throws InvalidArgument: the body does not take as many.
  [[noreturn]] static void fail_examples(size_t given, std::source_location where);
  Tensor evaluate(const Fetch& fetch, std::source_location where);
  std::vector<TraceInfo> traces() const;

  struct State;

 private:
  friend struct FunctionParts;
  FunctionRunner(Kind kind, std::shared_ptr<State> state);
  void check_not_moved() const;
  Kind kind_;
  std::shared_ptr<State> state_;
};

/// What a nest is made of, in words that differ where nests do: "{'a': ., 'b': [2 .]}".
template <class Leaves, class T>
void append_structure(const T& nest, std::string& out) {
  if constexpr (LeafOf<T, Leaves>) {
    out += '.';
  } else if constexpr (MapLike<T>) {
    out += '{';
    for (const auto& [key, value] : nest) append_structure<Leaves>(value, out += key_text(key) + ": "), out += ", ";
    out += '}';
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    out += '(';
    std::apply([&](const auto&... each) { (append_structure<Leaves>(each, out), ...); }, nest);
    out += ')';
  } else {
    out += '[';
    for (const auto& each : nest) append_structure<Leaves>(each, out);
    out += ']';
  }
}

/// What can be the body of a function, as far as that shows before it is called.
template <class F>
concept FunctionBody = (std::is_class_v<F> || std::is_function_v<std::remove_pointer_t<F>>)&&!Fetchable<F>;

/// What stands for one tensor in what a function is called with.
struct ArgumentLeaves {
  template <class T>
  static constexpr bool is_leaf =
      std::derived_from<T, Tensor> || std::derived_from<T, Variable> || std::convertible_to<const T&, Literal>;
};

/// A body and what calls it.
template <class F>
class CalledBody {
 public:
  CalledBody(FunctionRunner::Kind kind, const Session* session, F body, FunctionOptions options,
             std::source_location where)
      : runner_(kind, session, std::move(options), where), body_(std::move(body)) {}

  CalledBody(FunctionRunner runner, F body) : runner_(std::move(runner)), body_(std::move(body)) {}

  FunctionRunner& runner() { return runner_; }
  const FunctionRunner& runner() const { return runner_; }

  /// The body for `n` arguments that are a tensor each; null if it does not take them.
  FunctionRunner::Body body_of(size_t n) const { return body_of(n, std::make_index_sequence<9>()); }

  /// Where some arguments are lists in braces.
  template <size_t N>
  auto call_values(const Feed::Value (&values)[N], std::source_location where) {
    using Given = decltype(std::tuple_cat(std::declval<std::array<Tensor, N>>()));
    if constexpr (!IsInvocable<Given>::value) {
      static_assert(kNever<F>,
                    "a body takes what the call gives, one Tensor for each argument or a nest of them: "
                    "[&](Tensor x, Tensor y) { ... }, then step(X, Y)");
      return Tensor();
    } else {
      return call<Doing::call>(Arguments{values, {}, where}, [&](std::span<const Tensor> flat) {
        return [&]<size_t... I>(std::index_sequence<I...>) { return std::tuple{flat[I]...}; }
        (std::make_index_sequence<N>());
      });
    }
  }
  enum class Doing : uint8_t { call, trace };
  template <Doing doing = Doing::call, class... A>
  auto call_nests(std::source_location where, const A&... arguments) {
    if constexpr (!(... && NestWith<A, ArgumentLeaves>)) {
      static_assert(kNever<F>,
                    "a function or step is called with numbers, lists or vectors of numbers, or a concrete Tensor, a "
                    "function also with symbols, and either with tuples, pairs, arrays, vectors and maps of them");
      return Tensor();
    } else if constexpr (!std::is_invocable_v<F&, Nest<A, ArgumentLeaves>...>) {
      static_assert(kNever<F>,
                    "a body takes what the call gives, one Tensor for each argument or a nest of them: "
                    "[&](Tensor x, Tensor y) { ... }, then step(X, Y)");
      return Tensor();
    } else if constexpr (!IsReturned<std::invoke_result_t<F&, Nest<A, ArgumentLeaves>...>>::value) {
      static_assert(
          kNever<F>,
          "a body returns tensors, in any nesting of tuples, pairs, arrays, vectors and maps, or nothing: for a "
          "number write return tf::constant(3.f)");
      return Tensor();
    } else {
      const auto nests = [&]([[maybe_unused]] std::span<const Tensor> tensors) {
        [[maybe_unused]] size_t next = 0;
        [[maybe_unused]] const auto take = [&](const auto&) { return tensors[next++]; };
        return std::tuple<Nest<A, ArgumentLeaves>...>{map_nest<ArgumentLeaves>(arguments, take)...};
      };
      if constexpr ((... && LeafOf<A, ArgumentLeaves>)) {
        const std::array<Feed::Value, sizeof...(A)> values{value_of(arguments, where)...};
        return call<doing>(Arguments{values, {}, where}, nests);
      } else {
        std::vector<Feed::Value> values;
        const auto append = [&](const auto& leaf) { values.push_back(value_of(leaf, where)); };
        (for_each_leaf<ArgumentLeaves>(arguments, append), ...);
        std::string structure;
        (append_structure<ArgumentLeaves>(arguments, structure), ...);
        return call<doing>(Arguments{values, structure, where}, nests);
      }
    }
  }

  /// Traces the body for these values, as tf::trace does, and does nothing of what it does.
  template <class... A>
  void trace_nests(std::source_location where, const A&... arguments) {
    call_nests<Doing::trace>(where, arguments...);
  }
  void trace_values(std::span<const Feed::Value> values, std::source_location where) {
    const auto body = body_of(values.size());
    if (!body) FunctionRunner::fail_examples(values.size(), where);
    runner_.trace_examples({values, {}, where}, body);
  }

 private:
  template <class T>
  static Feed::Value value_of(const T& leaf, std::source_location where) {
    if constexpr (std::derived_from<T, Variable>) {
      return Feed::Value(leaf.read(where), where);
    } else {
      return Feed::Value(leaf, where);
    }
  }
  template <size_t... N>
  FunctionRunner::Body body_of(size_t n, std::index_sequence<N...>) const {
    FunctionRunner::Body found;
    (void)((N == n && (found = body_taking(std::make_index_sequence<N>()), true)) || ...);
    return found;
  }
  template <size_t... I>
  FunctionRunner::Body body_taking(std::index_sequence<I...>) const {
    using Given = decltype(std::tuple{(void(I), Tensor())...});
    if constexpr (!IsInvocable<Given>::value) {
      return nullptr;
    } else {
      using Returned = std::remove_cvref_t<decltype(std::apply(std::declval<F&>(), std::declval<Given>()))>;
      return [this](std::span<const Tensor> tensors, std::vector<Fetch>& returned) {
        return const_cast<CalledBody*>(this)->template invoke<Returned>(Given{tensors[I]...}, returned);
      };
    }
  }
  // `nests` makes the tuple of what the body takes from the leaves.
  template <Doing doing, class Nests>
  auto call(const Arguments& arguments, const Nests& nests) {
    using Given = decltype(nests(std::span<const Tensor>()));
    using Returned = std::remove_cvref_t<decltype(std::apply(std::declval<F&>(), std::declval<Given>()))>;
    const auto body = [&](std::span<const Tensor> tensors, std::vector<Fetch>& returned) {
      return invoke<Returned>(nests(tensors), returned);
    };
    if constexpr (doing == Doing::trace) {
      runner_.trace_examples(arguments, body);
    } else {
      auto result = runner_.call(arguments, body);
      if constexpr (!std::is_void_v<Returned>)
        return nest_like<FetchLeaves>(*std::any_cast<Returned>(result.nest.get()), std::move(result.values));
    }
  }
  template <class Returned>
  std::any invoke(auto given, std::vector<Fetch>& returned) {
    if constexpr (std::is_void_v<Returned>) {
      std::apply(body_, std::move(given));
      return {};
    } else {
      Returned nest = std::apply(body_, std::move(given));
      append_fetches(nest, returned);
      return nest;
    }
  }
  template <class R>
  struct IsReturned : std::bool_constant<std::is_void_v<R> || FetchNest<std::remove_cvref_t<R>>> {};
  template <class Given>
  struct IsInvocable;
  template <class... T>
  struct IsInvocable<std::tuple<T...>> : std::is_invocable<F&, T...> {};

  FunctionRunner runner_;
  F body_;
};

}  // namespace internal
}  // namespace twofold
