// What list ops do, on the host: they hand tensors on, and add up gradients.
#include <twofold/kernels/tensor_array/tensor_list_run.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/tensor_array/tensor_list.h>
#include <twofold/kernels/tensor_array/tensor_list_ops.h>
#include <twofold/lib/core/error.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/runtime/thread_state.h>

namespace twofold::list_run {
namespace {

Tensor handle(Ref<TensorList> list, Device device) {
  return Tensor::adopt(Value::handle(std::move(list), DType::list, device).detach());
}

// A value of zeros that happens to have this dtype has no object: a list without elements.
Ref<TensorList> list_of(const Tensor& t) {
  RefCounted* object = t.value()->object();
  return object ? Ref<TensorList>(static_cast<TensorList*>(object)) : make_ref<TensorList>(0, true);
}

int64_t number_of(const Tensor& t) {
  const Value& v = t.value()->on_host();
  return v.dtype() == int32 ? *static_cast<const int32_t*>(v.data()) : *static_cast<const int64_t*>(v.data());
}

// The index where something is read or, with `grows`, written.
int64_t checked_index(const TensorList& list, const Tensor& index, bool grows) {
  const int64_t i = number_of(index);
  if (i < 0 || (i >= list.size() && !grows))
    fail(Code::OutOfRange,
         fmt::format("The index {} is out of range: the array has {} element{}", i, list.size(),
                     list.size() == 1 ? "" : "s"),
         i >= 0 ? "tf::TensorArray(dtype, size, {.dynamic_size = true}) grows when it is written to" : "");
  return i;
}

Tensor zeros(DType dtype, const Shape& shape, Device device) {
  auto made = Value::make(dtype, shape);
  if (made->bytes()) std::memset(made->data(), 0, made->bytes());
  return moved_to(Tensor::adopt(made.detach()), device);
}

// `rows` along a new first axis, those that are undefined being zeros.
Tensor stacked(const std::vector<Tensor>& rows, DType dtype, const Shape& row, Device device) {
  Shape shape{rows.size()};
  for (const int64_t extent : row) shape.push_back(extent);
  auto whole = Value::make(dtype, shape, device);
  const auto bytes = static_cast<int64_t>(size_of(dtype)) * row.num_elements();
  Ref<LateErrors> late;
  Tensor none;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].defined() && !none.defined()) none = zeros(dtype, row, device);
    const Tensor& from = rows[i].defined() ? rows[i] : none;
    const auto offset = static_cast<int64_t>(i) * bytes;
    if (device.is_cpu() && from.value()->device().is_cpu()) {
      if (bytes)
        std::memcpy(static_cast<std::byte*>(whole->data()) + offset, from.value()->data(), from.value()->bytes());
      continue;
    }
    copy_into(from, Tensor::adopt(Value::view(whole, row, offset).detach()));
    late = LateErrors::joined(late.get(), from.value()->late_errors());
  }
  if (late && !device.is_cpu()) whole->set_late_errors(late);
  return Tensor::adopt(whole.detach());
}

// The gradients at one index, added up in this order.
Tensor sum(const Tensor& a, const Tensor& b) {
  const OnDevice where_they_are(Device{-1});
  Outputs out;
  const Tensor* const inputs[] = {&a, &b};
  launch(add_op, inputs, {}, 0, out);
  return std::move(out[0]);
}

Shape row_of(const Shape& rows) {
  Shape row;
  for (int i = 1; i < rows.rank(); ++i) row.push_back(rows.extent(i));
  return row;
}
}  // namespace

void reserve(AttrsView attrs, Given in, Outputs& out) {
  const int64_t size = number_of(*in[0]);
  if (size < 0) fail(Code::InvalidArgument, fmt::format("An array cannot have {} elements", size));
  out.push_back(handle(make_ref<TensorList>(size, attrs.as<ListReserveAttrs>().dynamic), {}));
}
void set(AttrsView, Given in, Outputs& out) {
  const Ref<TensorList> list = list_of(*in[0]);
  const int64_t i = checked_index(*list, *in[1], list->is_dynamic());
  out.push_back(handle(list->with({{i, renamed(*in[2])}}, std::max(list->size(), i + 1)), in[2]->value()->device()));
}
void get(AttrsView attrs, Given in, Outputs& out) {
  const auto& a = attrs.as<ListElementAttrs>();
  const Ref<TensorList> list = list_of(*in[0]);
  const int64_t i = checked_index(*list, *in[1], false);
  const Tensor element = list->at(i);
  if (!element.defined()) {
    if (!a.shape.is_known())
      fail(Code::FailedPrecondition,
           fmt::format("Nothing was written at index {} of the array, whose elements' shape {} is not known in full", i,
                       a.shape.str()),
           "tf::TensorArray(dtype, size, {.element_shape = {2, 3}}) reads as zeros where nothing was written");
    return out.push_back(zeros(a.dtype, a.shape, in[0]->value()->device()));
  }
  out.push_back(renamed(element));
}
void stack(AttrsView attrs, Given in, Outputs& out) {
  const auto& a = attrs.as<ListStackAttrs>();
  const Ref<TensorList> list = list_of(*in[0]);
  const int64_t start = a.start, step = a.step;
  const int64_t rest = list->size() - start, count = rest > 0 ? (rest + step - 1) / step : 0;
  const std::vector<Tensor> rows = list->elements(start, step, count);
  const Tensor* first = nullptr;
  for (const Tensor& row : rows) {
    if (!row.defined()) continue;
    if (!first) first = &row;
    if (row.shape() != first->shape())
      fail(Code::InvalidArgument, fmt::format("{} needs elements of one shape, but has some of {} and of {}",
                                              a.function, first->shape().str(), row.shape().str()));
  }
  const Shape shape = first ? first->shape() : a.shape.is_known() || in.size() < 2 ? a.shape : in[1]->shape();
  if (!shape.is_known())
    fail(Code::FailedPrecondition,
         fmt::format("{} has no element that could tell the shape of elements, of which {} is known", a.function,
                     a.shape.str()),
         a.function == "TensorArray::stack()" ? "tf::TensorArray(dtype, size, {.element_shape = {2, 3}})" : "");
  out.push_back(stacked(rows, a.dtype, shape, first ? first->value()->device() : in[0]->value()->device()));
}
void from(AttrsView attrs, Given in, Outputs& out) {
  const auto& range = attrs.as<ListFromAttrs>();
  const Tensor values = retained(*in[0]);
  const int64_t count = values.shape()[0];
  bool dynamic = false;
  if (in.size() > 1) {
    const Ref<TensorList> sized = list_of(*in[1]);
    dynamic = sized->is_dynamic();
    if (!dynamic && sized->size() != count)
      fail(Code::InvalidArgument,
           fmt::format("An array of {} element{} cannot take the {} slice{} of a tensor of shape {}", sized->size(),
                       sized->size() == 1 ? "" : "s", count, count == 1 ? "" : "s", values.shape().str()));
  }
  const Shape row = row_of(values.shape());
  const auto bytes = static_cast<int64_t>(size_of(values.dtype())) * row.num_elements();
  TensorList::Elements elements;
  elements.reserve(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k)
    elements.emplace(range.start + k * range.step,
                     Tensor::adopt(Value::view(Ref<Value>(values.value()), row, k * bytes).detach()));
  const int64_t size = count ? range.start + (count - 1) * range.step + 1 : 0;
  out.push_back(handle(make_ref<TensorList>(size, dynamic, std::move(elements)), values.value()->device()));
}
void length(AttrsView, Given in, Outputs& out) {
  auto made = Value::make(int32, Shape{});
  *static_cast<int32_t*>(made->data()) = static_cast<int32_t>(list_of(*in[0])->size());
  out.push_back(Tensor::adopt(made.detach()));
}
void erase(AttrsView, Given in, Outputs& out) {
  const Ref<TensorList> list = list_of(*in[0]);
  out.push_back(handle(list->with({{number_of(*in[1]), Tensor()}}, list->size()), in[0]->value()->device()));
}
void item_like(AttrsView, Given in, Outputs& out) {
  const Tensor element = list_of(*in[0])->at(number_of(*in[1]));
  out.push_back(element.defined() ? renamed(element) : zeros(in[2]->dtype(), in[2]->shape(), in[2]->value()->device()));
}
void item(AttrsView, Given in, Outputs& out) {
  const int64_t i = number_of(*in[1]);
  out.push_back(
      handle(make_ref<TensorList>(i + 1, true, TensorList::Elements{{i, renamed(*in[0])}}), in[0]->value()->device()));
}
void stack_like(AttrsView attrs, Given in, Outputs& out) {
  const auto& range = attrs.as<ListRangeAttrs>();
  const Tensor& like = *in[1];
  const Shape row = row_of(like.shape());
  const auto rows = list_of(*in[0])->elements(range.start, range.step, like.shape()[0]);
  out.push_back(stacked(rows, like.dtype(), row, like.value()->device()));
}
// Of a long list and a short one, what the short one has changes in the long one.
void add(AttrsView, Given in, Outputs& out) {
  const Ref<TensorList> a = list_of(*in[0]), b = list_of(*in[1]);
  const bool a_is_longer = a->count() >= b->count();
  const TensorList &longer = a_is_longer ? *a : *b, &shorter = a_is_longer ? *b : *a;
  std::vector<TensorList::Change> changes;
  for (const auto& [i, element] : shorter.elements()) {
    const Tensor other = longer.at(i);
    changes.emplace_back(i, !other.defined() ? element : a_is_longer ? sum(other, element) : sum(element, other));
  }
  const Device device = (shorter.count() ? in[a_is_longer] : in[!a_is_longer])->value()->device();
  out.push_back(handle(longer.with(std::move(changes), std::max(a->size(), b->size())), device));
}
void if_arrived(AttrsView, Given in, Outputs& out) {
  const bool arrived = *static_cast<const bool*>(in[0]->value()->on_host().data());
  out.push_back(arrived ? renamed(*in[1]) : internal::empty_list());
}

}  // namespace twofold::list_run
