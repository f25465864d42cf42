// Constants.
#pragma once

#include <optional>
#include <string>

#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of `constant`.
struct ConstantOptions {
  std::optional<DType> dtype = {};  ///< of literals: in place of the default
  std::string name = {};            ///< "Const" if empty
};

namespace internal {
// `shape` may be null.
Tensor constant(const Tensor& value, const Shape* shape, const ConstantOptions& options, std::source_location where);
Tensor tensor(const Tensor& value, const Shape* shape, const ConstantOptions& options, std::source_location where);
}  // namespace internal

/// @{
/// A value from a literal, a vector, a nested list. A source: a node of the current graph when deferred, a value when
/// eager. With a shape, the elements are laid out so; a single element fills it. (TensorFlow: Const)
Tensor constant(const Literal& value, ConstantOptions options = {},
                std::source_location where = std::source_location::current());
Tensor constant(const Literal& value, const Shape& shape, ConstantOptions options = {},
                std::source_location where = std::source_location::current());

/// From a value: a copy of it. InvalidArgument for a symbol, and where `options.dtype` is another than the value's.
template <std::same_as<Tensor> T>
Tensor constant(const T& value, ConstantOptions options = {},
                std::source_location where = std::source_location::current()) {
  return internal::constant(value, nullptr, options, where);
}
template <std::same_as<Tensor> T>
Tensor constant(const T& value, const Shape& shape, ConstantOptions options = {},
                std::source_location where = std::source_location::current()) {
  return internal::constant(value, &shape, options, where);
}
/// @}

/// @{
/// The same, but concrete in every mode: to feed, to compare, to compute with at once.
Tensor tensor(const Literal& value, ConstantOptions options = {},
              std::source_location where = std::source_location::current());
Tensor tensor(const Literal& value, const Shape& shape, ConstantOptions options = {},
              std::source_location where = std::source_location::current());

template <std::same_as<Tensor> T>
Tensor tensor(const T& value, ConstantOptions options = {},
              std::source_location where = std::source_location::current()) {
  return internal::tensor(value, nullptr, options, where);
}
template <std::same_as<Tensor> T>
Tensor tensor(const T& value, const Shape& shape, ConstantOptions options = {},
              std::source_location where = std::source_location::current()) {
  return internal::tensor(value, &shape, options, where);
}
/// @}

}  // namespace twofold
