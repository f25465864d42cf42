// Lists of tensors that a program writes to and reads from by index, as loops do.
#pragma once

#include <source_location>
#include <string>

#include <twofold/lib/op/nest.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// Options of TensorArray.
struct TensorArrayOptions {
  bool dynamic_size = false;            ///< it grows when something is written behind its end
  Shape element_shape = unknown_shape;  ///< what each element's shape must be, as far as this says
};

/// A list of tensors of one dtype, which a program writes to and reads from by index: what a loop collects or walks. It
/// is a value, as tensors are: `write` gives another array and leaves this one as it was, so write
/// `a = a.write(i, x)`. Each costs the same however long the array is: a loop is linear in its passes, its gradients
/// are, too. An array is state of while_loop, is returned by branches of cond and captured by bodies, in any nest,
/// where it keeps its dtype and element_shape; a session that fetches it gives an array of values. Elements stay on the
/// device where they were computed. Differentiable, of every order. (TensorFlow: TensorArray)
class TensorArray {
 public:
  using Where = std::source_location;

  /// Of `size` elements, an integer scalar, none of them written. A source: made in a graph when deferred.
  /// InvalidArgument: a negative size.
  explicit TensorArray(DType dtype, Operand size = 0, TensorArrayOptions options = {});

  /// The dtype of its elements.
  DType dtype() const { return dtype_; }
  /// What is known of each element's shape.
  const Shape& element_shape() const { return element_shape_; }
  /// How many elements it has: an int32 scalar.
  Tensor size(Where where = Where::current()) const;

  /// The array with `value` at `index`, an integer scalar, in place of what was there. InvalidArgument: another dtype,
  /// or a shape that element_shape excludes. OutOfRange: a negative index; one behind the end, unless the size is
  /// dynamic.
  [[nodiscard("write gives another array: write a = a.write(i, x)")]] TensorArray write(Operand index,
                                                                                        Operand value) const;
  /// The element at `index`: of element_shape as far as a graph knows. Where nothing was written it is zeros if
  /// element_shape is known in full, else FailedPrecondition. OutOfRange: there is no such index.
  Tensor read(Operand index) const;
  /// The elements along a new first axis. Those that were not written are zeros, of the others' shape or element_shape.
  /// InvalidArgument: their shapes differ. FailedPrecondition: the shape of elements is not known, since none was
  /// written.
  Tensor stack(Where where = Where::current()) const;
  /// The array of the slices of `values` along the first axis, in place of all elements. InvalidArgument: as `write`;
  /// a scalar; as many as the array's size they are not, unless that is dynamic.
  [[nodiscard("unstack gives another array: write a = a.unstack(x)")]] TensorArray unstack(Operand values) const;

 private:
  friend struct internal::Wrapped<TensorArray>;

  Tensor list_;  // of DType::list
  DType dtype_;
  Shape element_shape_;
};

namespace internal {

/// Nests (lib/op/nest.h) have an array as one tensor, and give it back as an array.
template <>
struct Wrapped<TensorArray> {
  static constexpr bool value = true;
  static const Tensor& tensor(const TensorArray& array) { return array.list_; }
  static TensorArray with(const TensorArray& array, Tensor list);
  static std::string difference(const TensorArray& a, const TensorArray& b);
};

}  // namespace internal

}  // namespace twofold
