#include <twofold/kernels/tensor_array/tensor_array.h>

#include <fmt/format.h>

#include <utility>

#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/mode_interface.h>

namespace twofold {
namespace {

const char* const kStack = "TensorArray::stack()";

void check_dtype(DType array, DType values) {
  if (values != array)
    fail(Code::InvalidArgument,
         fmt::format("An array of {} cannot take elements of {}", name_of(array), name_of(values)),
         fmt::format("tf::cast(x, {})", spelling_of(array)));
}

}  // namespace

TensorArray::TensorArray(DType dtype, Operand size, TensorArrayOptions options)
    : dtype_(dtype), element_shape_(options.element_shape) {
  const SourceScope source_scope(size.where());
  if (static_cast<int>(dtype) >= kDTypeCount)
    fail(Code::InvalidArgument, fmt::format("An array cannot have elements of dtype {}", static_cast<int>(dtype)),
         "tf::TensorArray(tf::float32, size)");
  Tensor places = size.resolve();
  if (!executing_eagerly() && places.is_concrete()) places = mode().source(places, "", size.where());
  list_ = internal::list_reserve(places, options.dynamic_size, size.where());
}

Tensor TensorArray::size(Where where) const {
  const SourceScope source_scope(where);
  return internal::list_length(list_, where);
}

TensorArray TensorArray::write(Operand index, Operand value) const {
  const SourceScope source_scope(index.where());
  return internal::Wrapped<TensorArray>::with(*this, internal::list_set(list_, index.resolve(), value.resolve(dtype_),
                                                                        {dtype_, element_shape_}, index.where()));
}

Tensor TensorArray::read(Operand index) const {
  const SourceScope source_scope(index.where());
  return internal::list_get(list_, index.resolve(), {dtype_, element_shape_}, index.where());
}

Tensor TensorArray::stack(Where where) const {
  const SourceScope source_scope(where);
  return internal::list_stack(list_, {}, {.dtype = dtype_, .shape = element_shape_, .function = kStack}, where);
}

TensorArray TensorArray::unstack(Operand values) const {
  const SourceScope source_scope(values.where());
  const Tensor& x = values.resolve(dtype_);
  check_input("TensorListFromTensor", 0, x, values.where());
  check_dtype(dtype_, x.dtype());
  TensorArray made = internal::Wrapped<TensorArray>::with(
      *this, internal::list_from(x, list_, {.shape = element_shape_}, values.where()));
  if (x.shape().has_rank()) {
    Shape row;
    for (int i = 1; i < x.rank(); ++i) row.push_back(x.shape().extent(i));
    made.element_shape_ = element_shape_.merged_with(row);
  }
  return made;
}

TensorArray internal::Wrapped<TensorArray>::with(const TensorArray& array, Tensor list) {
  TensorArray made = array;
  made.list_ = std::move(list);
  return made;
}

// What `a` promises of its elements, `b` must keep.
std::string internal::Wrapped<TensorArray>::difference(const TensorArray& a, const TensorArray& b) {
  if (a.dtype_ != b.dtype_) return fmt::format("arrays of {} and {}", name_of(a.dtype_), name_of(b.dtype_));
  const Shape &x = a.element_shape_, &y = b.element_shape_;
  bool fits = !x.has_rank() || x.rank() == y.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = !x.knows(i) || x.extent(i) == y.extent(i);
  return fits ? "" : fmt::format("arrays of elements of shape {} and {}", x.str(), y.str());
}

void register_tensor_list();
void register_tensor_array();
void register_tensor_array() { register_tensor_list(); }

}  // namespace twofold
