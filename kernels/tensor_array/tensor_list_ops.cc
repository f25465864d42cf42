#include <twofold/kernels/tensor_array/tensor_list_ops.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/tensor_array/tensor_list.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/late_errors.h>
#include <twofold/lib/op/launch.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

// ---- Lists as values ----

constexpr Shape kListShape{0};

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

// ---- Shape rules ----

void give_list(InferContext& c) { c.output(DType::list, kListShape); }
void expect_list(InferContext& c, int i) {
  if (c.dtype(i) != DType::list)
    c.fail(fmt::format("Expected the list of a TensorArray, got a tensor of {}", name_of(c.dtype(i))));
}
void expect_index(InferContext& c, int i) {
  if (c.dtype(i) != int32 && c.dtype(i) != int64)
    c.fail(fmt::format("An array's index and size are int32 or int64, not {}", name_of(c.dtype(i))),
           "tf::cast(i, tf::int32)");
  if (c.shape(i).has_rank() && c.shape(i).rank() != 0)
    c.fail(fmt::format("An array's index and size are scalars, not of shape {}", c.shape(i).str()));
}
void expect_shape(InferContext& c, const Shape& shape, const Shape& element) {
  if (!shape.compatible_with(element))
    c.fail(fmt::format("An element of an array of elements of shape {} cannot be of shape {}", element.str(),
                       shape.str()));
}
Shape row_of(const Shape& rows) {
  Shape row;
  for (int i = 1; i < rows.rank(); ++i) row.push_back(rows.extent(i));
  return row;
}
Shape with_rows(std::optional<int64_t> rows, const Shape& row) {
  if (!row.has_rank()) return unknown_shape;
  Shape shape;
  shape.push_back(rows);
  for (int i = 0; i < row.rank(); ++i) shape.push_back(row.extent(i));
  return shape;
}

void infer_reserve(InferContext& c) {
  expect_index(c, 0);
  give_list(c);
}
void infer_set(InferContext& c) {
  expect_list(c, 0);
  expect_index(c, 1);
  const auto& a = c.attrs<ListElementAttrs>();
  if (c.dtype(2) != a.dtype)
    c.fail(fmt::format("An element of an array of {} cannot be {}", name_of(a.dtype), name_of(c.dtype(2))),
           fmt::format("tf::cast(x, {})", spelling_of(a.dtype)));
  expect_shape(c, c.shape(2), a.shape);
  give_list(c);
}
void infer_get(InferContext& c) {
  expect_list(c, 0);
  expect_index(c, 1);
  c.output(c.attrs<ListElementAttrs>().dtype, c.attrs<ListElementAttrs>().shape);
}
void infer_stack(InferContext& c) {
  expect_list(c, 0);
  const auto& a = c.attrs<ListStackAttrs>();
  c.output(a.dtype, with_rows(a.count < 0 ? std::nullopt : std::optional(a.count), a.shape));
}
void infer_from(InferContext& c) {
  if (c.shape(0).has_rank() && c.shape(0).rank() == 0) c.fail("A scalar has no slices to make an array of");
  if (c.num_inputs() > 1) expect_list(c, 1);
  if (c.shape(0).has_rank()) expect_shape(c, row_of(c.shape(0)), c.attrs<ListFromAttrs>().shape);
  give_list(c);
}
void infer_length(InferContext& c) {
  expect_list(c, 0);
  c.output(int32, {});
}
void infer_erase(InferContext& c) {
  expect_list(c, 0);
  expect_index(c, 1);
  give_list(c);
}
void infer_item_like(InferContext& c) {
  expect_list(c, 0);
  expect_index(c, 1);
  c.output(c.dtype(2), c.shape(2));
}
void infer_item(InferContext& c) {
  expect_index(c, 1);
  give_list(c);
}
void infer_stack_like(InferContext& c) {
  expect_list(c, 0);
  c.output(c.dtype(1), c.shape(1));
}
void infer_add(InferContext& c) {
  expect_list(c, 0);
  expect_list(c, 1);
  give_list(c);
}
void infer_arrived(InferContext& c) {
  expect_list(c, 1);
  give_list(c);
}

// ---- What they do ----

using Given = std::span<const Tensor* const>;

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
void add_lists(AttrsView, Given in, Outputs& out) {
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
void if_list_arrived(AttrsView, Given in, Outputs& out) {
  const bool arrived = *static_cast<const bool*>(in[0]->value()->on_host().data());
  out.push_back(arrived ? renamed(*in[1]) : internal::empty_list());
}

// ---- Gradients ----

extern OpDef reserve_op, set_op, get_op, stack_op, from_op, length_op, erase_op, item_like_op, item_op, stack_like_op;

Tensor made(const OpDef& op, std::initializer_list<const Tensor*> inputs, AttrsView attrs = {}) {
  return apply(op, Inputs(inputs.begin(), inputs.size()), attrs, std::source_location::current());
}

template <class A>
ListFromAttrs from_attrs(const A& range) {
  return {range.start, range.step};
}

void set_gradient(Backward& b) {
  if (b.needs(2)) b.dx(2, made(item_like_op, {&b.dy(), &b.input(1), &b.input(2)}));
  if (b.needs(0)) b.dx(0, made(erase_op, {&b.dy(), &b.input(1)}));
}
void get_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, made(item_op, {&b.dy(), &b.input(1)}));
}
void stack_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, made(from_op, {&b.dy()}, from_attrs(b.attrs<ListStackAttrs>())));
}
void from_gradient(Backward& b) {
  if (b.needs(0))
    b.dx(0, made(stack_like_op, {&b.dy(), &b.input(0)},
                 ListRangeAttrs{b.attrs<ListFromAttrs>().start, b.attrs<ListFromAttrs>().step}));
}
void erase_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, made(erase_op, {&b.dy(), &b.input(1)}));
}
void item_like_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, made(item_op, {&b.dy(), &b.input(1)}));
}
void item_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, made(item_like_op, {&b.dy(), &b.input(1), &b.input(0)}));
}
void stack_like_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, made(from_op, {&b.dy()}, from_attrs(b.attrs<ListRangeAttrs>())));
}
void add_gradient(Backward& b) {
  if (b.needs(0)) b.dx(0, b.dy());
  if (b.needs(1)) b.dx(1, b.dy());
}
// As IfArrived's.
void arrived_gradient(Backward& b) {
  const Tensor& arrived = b.input(0);
  if (arrived.is_concrete())
    b.dx_conditional(1, b.dy());
  else
    b.dx(1, b.dy(), b.arrived().defined() ? logical_and(arrived, b.arrived()) : arrived);
}

// ---- Ops ----

constexpr OpFlags kFails{.can_fail = true, .lists = true, .on_host = true};
constexpr OpFlags kSure{.lists = true, .on_host = true};

constexpr OpDef define(const char* name, const char* doc, int8_t inputs, InferFn infer, RunFn run, GradientFn gradient,
                       OpFlags flags, Reads reads = {}, const AttrsType* attrs = &internal::kAttrsType<NoAttrs>) {
  return {.key = OpKey::without_kernels(name),
          .doc = doc,
          .min_inputs = inputs,
          .max_inputs = inputs,
          .infer = infer,
          .differentiable = gradient ? Differentiability::rule : Differentiability::none,
          .gradient = gradient,
          .reads = reads,
          .flags = flags,
          .attrs = attrs,
          .run = run};
}
constexpr OpDef with(OpDef op, int8_t most_inputs, uint32_t shape_inputs) {
  op.max_inputs = most_inputs;
  op.shape_inputs = shape_inputs;
  return op;
}

constexpr auto* kRange = &internal::kAttrsType<ListRangeAttrs>;
constexpr auto* kElement = &internal::kAttrsType<ListElementAttrs>;
constexpr Reads kIndex{.inputs = 0b10};

constinit OpDef reserve_op =
    define("TensorListReserve", "A list of so many places. (TensorFlow: TensorListReserve)", 1, infer_reserve, reserve,
           nullptr, kFails, {}, &internal::kAttrsType<ListReserveAttrs>);
constinit OpDef set_op = define("TensorListSetItem", "A list with x at an index. (TensorFlow: TensorListSetItem)", 3,
                                infer_set, set, set_gradient, kFails, kIndex, kElement);
constinit OpDef get_op = define("TensorListGetItem", "A list's element at an index. (TensorFlow: TensorListGetItem)", 2,
                                infer_get, get, get_gradient, kFails, kIndex, kElement);
constinit OpDef stack_op =
    with(define("TensorListStack", "A list's elements along a new first axis. (TensorFlow: TensorListStack)", 1,
                infer_stack, stack, stack_gradient, kFails, {}, &internal::kAttrsType<ListStackAttrs>),
         2, 0b10);
constinit OpDef from_op =
    with(define("TensorListFromTensor", "The slices of x along its first axis. (TensorFlow: TensorListFromTensor)", 1,
                infer_from, from, from_gradient, kFails, {}, &internal::kAttrsType<ListFromAttrs>),
         2, 0);
constinit OpDef length_op = define("TensorListLength", "How many places a list has. (TensorFlow: TensorListLength)", 1,
                                   infer_length, length, nullptr, kSure);
constinit OpDef erase_op = define("TensorListErase", "A list without its element at an index.", 2, infer_erase, erase,
                                  erase_gradient, kSure, kIndex);
constinit OpDef item_like_op = with(define("TensorListItemLike", "A list's element at an index, or zeros like x.", 3,
                                           infer_item_like, item_like, item_like_gradient, kSure, kIndex),
                                    3, 0b100);
constinit OpDef item_op =
    define("TensorListItem", "A list of x at an index alone.", 2, infer_item, item, item_gradient, kSure, kIndex);
constinit OpDef stack_like_op =
    with(define("TensorListStackLike", "A list's elements along x's first axis, zeros where there are none.", 2,
                infer_stack_like, stack_like, stack_like_gradient, kSure, {}, kRange),
         2, 0b10);

}  // namespace

constinit OpDef list_add_op = define("TensorListAdd", "a + b at each index, where one has no element, the other's.", 2,
                                     infer_add, add_lists, add_gradient, kSure);
constinit OpDef list_if_arrived_op =
    define("TensorListIfArrived", "A list if the scalar is true, else one without elements; then x gets no gradient.",
           2, infer_arrived, if_list_arrived, arrived_gradient, kSure, {.inputs = 1});

namespace internal {

Tensor list_reserve(const Tensor& size, bool dynamic, std::source_location where) {
  return apply(reserve_op, {&size}, ListReserveAttrs{dynamic}, where);
}
Tensor list_set(const Tensor& list, const Tensor& index, const Tensor& value, const ListElementAttrs& attrs,
                std::source_location where) {
  return apply(set_op, {&list, &index, &value}, attrs, where);
}
Tensor list_get(const Tensor& list, const Tensor& index, const ListElementAttrs& attrs, std::source_location where) {
  return apply(get_op, {&list, &index}, attrs, where);
}
Tensor list_stack(const Tensor& list, const Tensor& like, const ListStackAttrs& attrs, std::source_location where) {
  return like.defined() ? apply(stack_op, {&list, &like}, attrs, where) : apply(stack_op, {&list}, attrs, where);
}
Tensor list_from(const Tensor& values, const Tensor& sized, const ListFromAttrs& attrs, std::source_location where) {
  return sized.defined() ? apply(from_op, {&values, &sized}, attrs, where) : apply(from_op, {&values}, attrs, where);
}
Tensor list_length(const Tensor& list, std::source_location where) { return apply(length_op, {&list}, where); }
Tensor empty_list() { return handle(make_ref<TensorList>(0, true), {}); }

}  // namespace internal

void register_tensor_list() {
  for (OpDef* op : {&reserve_op, &set_op, &get_op, &stack_op, &from_op, &length_op, &erase_op, &item_like_op, &item_op,
                    &stack_like_op, &list_add_op, &list_if_arrived_op})
    register_op(*op);
}

}  // namespace twofold
