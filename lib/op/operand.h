// What an op takes: a tensor, a variable or a literal, and the user's line.
#pragma once

#include <concepts>
#include <initializer_list>
#include <source_location>
#include <type_traits>
#include <vector>

#include <twofold/lib/op/literal.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

class Variable;

/// An argument of an op function. Its converting constructors default to the caller's source location, so that the
/// user's line is known through `a + b` too. It refers to the tensor it is made from: an argument type, not one to
/// keep.
class Operand {
 public:
  using Where = std::source_location;

  Operand(const Tensor& t, Where where = Where::current()) : where_(where), tensor_(&t) {}
  Operand(const Variable& v, Where where = Where::current()) : where_(where), variable_(&v) {}
  Operand(const Literal& v, Where where = Where::current()) : where_(where), literal_(v) {}
  Operand(std::initializer_list<Literal> v, Where where = Where::current()) : where_(where), literal_(v, where) {}
  template <class T>
  requires(!std::same_as<T, Literal> && !std::derived_from<T, Variable> && !std::derived_from<T, Tensor> &&
           !std::same_as<T, Operand> && std::convertible_to<const T&, Literal>)
      Operand(const T& v, Where where = Where::current())
      : where_(where), literal_(v, where) {}

  /// The user's line.
  Where where() const { return where_; }
  /// Whether it is neither a tensor nor a variable.
  bool is_literal() const { return !tensor_ && !variable_; }
  /// The literal, where it was made from one.
  const Literal& literal() const { return literal_; }
  /// @{
  /// The tensor where it was made from one, else null.
  const Tensor* tensor() const { return tensor_; }
  const Variable* variable() const { return variable_; }
  /// @}
  /// The dtype it has by itself.
  DType dtype() const;

  /// @{
  /// As a tensor: a variable is read, a literal becomes a constant (a source: a node while a graph is built) of `dtype`
  /// if given and it fits, else of its default dtype. The reference is good while this operand lives.
  const Tensor& resolve() const;
  const Tensor& resolve(DType dtype) const;
  /// @}

 private:
  Where where_;
  const Tensor* tensor_ = nullptr;
  const Variable* variable_ = nullptr;
  Literal literal_ = 0;
  mutable Tensor made_;
};

/// The operands of `op` as tensors: literals among them take the dtype that the others promote to, where it fits them.
std::vector<Tensor> resolve_all(std::initializer_list<Operand> operands, const char* op);

}  // namespace twofold
