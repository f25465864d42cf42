#include <twofold/kernels/tensor_array/tensor_list_ops.h>

#include <fmt/format.h>

#include <optional>
#include <utility>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/tensor_array/tensor_list.h>
#include <twofold/kernels/tensor_array/tensor_list_run.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/backward.h>
#include <twofold/lib/op/value.h>

namespace twofold {
namespace {

// ---- Shape rules ----

constexpr Shape kListShape{0};

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
    define("TensorListReserve", "A list of so many places. (TensorFlow: TensorListReserve)", 1, infer_reserve,
           list_run::reserve, nullptr, kFails, {}, &internal::kAttrsType<ListReserveAttrs>);
constinit OpDef set_op = define("TensorListSetItem", "A list with x at an index. (TensorFlow: TensorListSetItem)", 3,
                                infer_set, list_run::set, set_gradient, kFails, kIndex, kElement);
constinit OpDef get_op = define("TensorListGetItem", "A list's element at an index. (TensorFlow: TensorListGetItem)", 2,
                                infer_get, list_run::get, get_gradient, kFails, kIndex, kElement);
constinit OpDef stack_op =
    with(define("TensorListStack", "A list's elements along a new first axis. (TensorFlow: TensorListStack)", 1,
                infer_stack, list_run::stack, stack_gradient, kFails, {}, &internal::kAttrsType<ListStackAttrs>),
         2, 0b10);
constinit OpDef from_op =
    with(define("TensorListFromTensor", "The slices of x along its first axis. (TensorFlow: TensorListFromTensor)", 1,
                infer_from, list_run::from, from_gradient, kFails, {}, &internal::kAttrsType<ListFromAttrs>),
         2, 0);
constinit OpDef length_op = define("TensorListLength", "How many places a list has. (TensorFlow: TensorListLength)", 1,
                                   infer_length, list_run::length, nullptr, kSure);
constinit OpDef erase_op = define("TensorListErase", "A list without its element at an index.", 2, infer_erase,
                                  list_run::erase, erase_gradient, kSure, kIndex);
constinit OpDef item_like_op = with(define("TensorListItemLike", "A list's element at an index, or zeros like x.", 3,
                                           infer_item_like, list_run::item_like, item_like_gradient, kSure, kIndex),
                                    3, 0b100);
constinit OpDef item_op = define("TensorListItem", "A list of x at an index alone.", 2, infer_item, list_run::item,
                                 item_gradient, kSure, kIndex);
constinit OpDef stack_like_op =
    with(define("TensorListStackLike", "A list's elements along x's first axis, zeros where there are none.", 2,
                infer_stack_like, list_run::stack_like, stack_like_gradient, kSure, {}, kRange),
         2, 0b10);

}  // namespace

constinit OpDef list_add_op = define("TensorListAdd", "a + b at each index, where one has no element, the other's.", 2,
                                     infer_add, list_run::add, add_gradient, kSure);
constinit OpDef list_if_arrived_op =
    define("TensorListIfArrived", "A list if the scalar is true, else one without elements; then x gets no gradient.",
           2, infer_arrived, list_run::if_arrived, arrived_gradient, kSure, {.inputs = 1});

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
Tensor empty_list() { return Tensor::adopt(Value::handle(make_ref<TensorList>(0, true), DType::list).detach()); }

}  // namespace internal

void register_tensor_list() {
  for (OpDef* op : {&reserve_op, &set_op, &get_op, &stack_op, &from_op, &length_op, &erase_op, &item_like_op, &item_op,
                    &stack_like_op, &list_add_op, &list_if_arrived_op})
    register_op(*op);
}

}  // namespace twofold
