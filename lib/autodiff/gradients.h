// Gradients, in both modes.
#pragma once

#include <concepts>
#include <initializer_list>
#include <iterator>
#include <ranges>
#include <span>
#include <utility>
#include <vector>

#include <twofold/lib/op/tensor.h>
#include <twofold/lib/op/variable.h>

namespace twofold {

/// What one can differentiate, and by what.
class Differentiable {
 public:
  Differentiable(Tensor t) : tensor_(std::move(t)) {}
  Differentiable(const Variable& v);
  /// Undefined for a variable.
  const Tensor& tensor() const { return tensor_; }
  /// Null for a tensor.
  const Ref<internal::VariableState>& variable() const { return variable_; }

 private:
  Tensor tensor_;
  Ref<internal::VariableState> variable_;
};

namespace internal {
template <class T>
concept GradientArgument =
    std::derived_from<T, Tensor> || std::derived_from<T, Variable> || std::same_as<T, Differentiable>;
template <class R>
concept GradientRange = !GradientArgument<R> && std::ranges::input_range<const R&> &&
                        std::convertible_to<std::ranges::range_reference_t<const R&>, Differentiable>;
}  // namespace internal

/// One tensor or variable, or any range of them: a list in braces, a vector, a span, net.parameters(). An argument
/// type.
class Differentiables {
 public:
  Differentiables() = default;
  Differentiables(const Tensor& one) : items_{one} {}
  Differentiables(const Variable& one) : items_{one} {}
  Differentiables(const Differentiable& one) : items_{one} {}
  Differentiables(std::initializer_list<Differentiable> list) : items_(list) {}
  template <std::input_iterator I>
  Differentiables(I first, I last) : items_(first, last) {}
  template <class R>
  requires(!internal::GradientArgument<R>) Differentiables(const R& range) {
    if constexpr (internal::GradientRange<R>) {
      for (auto&& each : range) items_.emplace_back(each);
    } else if constexpr (requires { range.parameters(); }) {
      static_assert(kNever<R>, "gradients by the parameters of a net: write net.parameters()");
    } else {
      static_assert(kNever<R>,
                    "gradients are of and by tensors and variables, one or a range: write {x, w}, net.parameters() or "
                    "tf::trainable_variables()");
    }
  }

  /// All of them.
  std::span<const Differentiable> items() const { return items_; }
  /// As tensors: variables are read, at the line of the call under way.
  std::vector<Tensor> read() const;

 private:
  std::vector<Differentiable> items_;
};

/// d(sum of all elements of all ys)/dx for each x, or, with dys, sum over ys of <dy, dy/dx>. Deferred, it adds nodes;
/// eager, it goes over the innermost live GradientTape and throws FailedPrecondition if there is none. An x that no y
/// depends on has an undefined gradient, which prints `None`. Throws InvalidArgument for an op that has no gradient
/// rule. (TensorFlow: gradients)
std::vector<Tensor> gradients(const Differentiables& ys, const Differentiables& xs, const Differentiables& dys = {},
                              std::source_location where = std::source_location::current());

}  // namespace twofold
