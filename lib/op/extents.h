// Extents that may be tensors.
#pragma once

#include <concepts>
#include <initializer_list>
#include <optional>
#include <source_location>
#include <vector>

#include <twofold/lib/core/shape.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

/// A number of elements, a place or a count along an axis: an integer, or a scalar int32 or int64 tensor, such as
/// `tf::shape(x)[0]`, that the run knows.
class Extent {
 public:
  using Where = std::source_location;

  template <std::integral I>
  Extent(I v, Where where = Where::current()) : number_(internal::extent_of(v)), where_(where) {}
  /// InvalidArgument where it is no scalar, or of another dtype.
  Extent(const Tensor& t, Where where = Where::current());

  /// The user's line.
  Where where() const { return where_; }
  /// The number, if it is one or a value; of a symbol a run gives it.
  std::optional<int64_t> known() const { return symbol_.defined() ? std::nullopt : std::optional(number_); }
  /// The tensor, where a run gives the number; else undefined.
  const Tensor& symbol() const { return symbol_; }
  /// A tensor's, be it a value or a symbol.
  std::optional<DType> dtype() const { return dtype_; }

 private:
  int64_t number_ = -1;
  Tensor symbol_;  ///< undefined for a number
  std::optional<DType> dtype_ = {};
  Where where_;
};

/// A list of them, wherever extents are asked for: `{2, -1}`, `{tf::shape(x)[0], 2}`, a Shape, Axes, one number, or an
/// integer vector as a whole, such as `tf::shape(x)`. So `tf::ones({tf::shape(x)[0], 2})` is one text for both modes;
/// what is known of the result's shape stays known. Tensors are read on the host: no kernel runs for them.
class Extents {
 public:
  using Where = std::source_location;

  Extents(Where where = Where::current()) : where_(where) {}
  Extents(std::initializer_list<Extent> list, Where where = Where::current());
  Extents(const Shape& shape, Where where = Where::current());
  Extents(const Axes& axes, Where where = Where::current()) : numbers_(axes), where_(where) {}
  template <std::integral I>
  Extents(I one, Where where = Where::current()) : numbers_(one), where_(where) {}
  Extents(const Tensor& all, Where where = Where::current());

  /// Adds an axis behind the others.
  void push_back(const Extent& e);
  /// The user's line.
  Where where() const { return where_; }
  /// The numbers, if each is one or a value.
  const Axes* known() const { return operand_.defined() || !symbols_.empty() || !has_rank_ ? nullptr : &numbers_; }
  /// As a shape, with -1 where the program left an extent open; nothing where a run gives some. InvalidArgument: a
  /// number below -1.
  std::optional<Shape> shape() const;
  /// One by one. InvalidArgument: they are a vector of which a graph does not even know the length.
  std::vector<Extent> list() const;
  /// As an int32 or int64 vector that a run computes, to be an op's shape operand.
  Tensor tensor() const;

 private:
  Axes numbers_;  ///< -1 where a symbol is
  bool has_rank_ = true;
  std::vector<std::pair<int, Tensor>> symbols_;  ///< by place
  Tensor operand_;                               ///< a symbol that has all of them
  Where where_;
};

}  // namespace twofold
