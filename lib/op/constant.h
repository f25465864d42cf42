// Constants.
#pragma once

#include <optional>
#include <string>

#include <twofold/lib/op/operand.h>

namespace twofold {

struct ConstantOptions {
  std::optional<DType> dtype = {};  ///< of literals: in place of the default
  std::string name = {};            ///< "Const" if empty
};

/// A value from a literal, a vector, a nested list. A source: a node of the current graph when deferred, a value when eager.
/// With a shape, the elements are laid out so; a single element fills it. (TensorFlow: Const)
Tensor constant(const Literal& value, ConstantOptions options = {},
                std::source_location where = std::source_location::current());
Tensor constant(const Literal& value, const Shape& shape, ConstantOptions options = {},
                std::source_location where = std::source_location::current());

/// The same, but concrete in every mode: to feed, to compare, to compute with at once.
Tensor tensor(const Literal& value, ConstantOptions options = {},
              std::source_location where = std::source_location::current());
Tensor tensor(const Literal& value, const Shape& shape, ConstantOptions options = {},
              std::source_location where = std::source_location::current());

/// Sources filled with one number. Shapes must be fully known: InvalidArgument.
Tensor zeros(const Shape& shape, DType dtype = float32, std::source_location where = std::source_location::current());
Tensor ones(const Shape& shape, DType dtype = float32, std::source_location where = std::source_location::current());
Tensor full(const Shape& shape, const Literal& value, ConstantOptions options = {},
            std::source_location where = std::source_location::current());

}  // namespace twofold
