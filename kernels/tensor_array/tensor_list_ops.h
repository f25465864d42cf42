// The ops that lists are made by, and their gradients: TensorArray (tensor_array.h) and loops (graph/loops.h) call
// them.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>

#include <twofold/lib/op/attrs.h>
#include <twofold/lib/op/tensor.h>

namespace twofold {

struct OpDef;

/// Attributes of TensorListReserve.
struct ListReserveAttrs {
  bool dynamic = false;
  TWOFOLD_FIELDS(dynamic)
};
/// Attributes of TensorListSetItem and TensorListGetItem: what the element must be.
struct ListElementAttrs {
  DType dtype = float32;
  Shape shape = unknown_shape;
  TWOFOLD_FIELDS(dtype, shape)
};
/// Attributes of TensorListStackLike: which elements are meant, start, start + step, ...
struct ListRangeAttrs {
  int64_t start = 0;
  int64_t step = 1;
  TWOFOLD_FIELDS(start, step)
};
/// Attributes of TensorListFromTensor: where the slices come, and what each must be.
struct ListFromAttrs {
  int64_t start = 0;
  int64_t step = 1;
  Shape shape = unknown_shape;
  TWOFOLD_FIELDS(start, step, shape)
};
/// Attributes of TensorListStack: which elements are meant, and what each is.
struct ListStackAttrs {
  DType dtype = float32;
  Shape shape = unknown_shape;
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = -1;    ///< how many; -1: shows in the run
  std::string function;  ///< that the user has called, for errors
  TWOFOLD_FIELDS(dtype, shape, start, step, count, function)
};

extern OpDef list_add_op, list_if_arrived_op;

namespace internal {
/// A list without elements. A source. `size`: an integer scalar.
Tensor list_reserve(const Tensor& size, bool dynamic, std::source_location where);
Tensor list_set(const Tensor& list, const Tensor& index, const Tensor& value, const ListElementAttrs& attrs,
                std::source_location where);
Tensor list_get(const Tensor& list, const Tensor& index, const ListElementAttrs& attrs, std::source_location where);
/// `like`: undefined, or what tells an element's shape where there is none.
Tensor list_stack(const Tensor& list, const Tensor& like, const ListStackAttrs& attrs, std::source_location where);
/// The slices of `values` along the first axis. `sized`: undefined, or the list in whose place the new one comes.
Tensor list_from(const Tensor& values, const Tensor& sized, const ListFromAttrs& attrs, std::source_location where);
/// How many places it has: an int32 scalar.
Tensor list_length(const Tensor& list, std::source_location where);
/// No elements: what a zero gradient of a list is.
Tensor empty_list();
}  // namespace internal

}  // namespace twofold
