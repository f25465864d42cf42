#include <twofold/lib/op/operand.h>

#include <fmt/format.h>

#include <twofold/kernels/layout/layout.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
namespace {

Tensor source(Tensor value, const std::string& name, std::source_location where) {
  if (!executing_eagerly()) return graph_constant(value, name, where);
  return t_state.device < 0 ? value : moved_to(value, {t_state.device});
}

Tensor source(const Literal& value, const Shape* shape, const ConstantOptions& o, std::source_location where) {
  SourceFrame frame(where);
  return source(shape ? tensor(value, *shape, o) : tensor(value, o), o.name, where);
}

}  // namespace

Tensor tensor(const Literal& value, ConstantOptions o, std::source_location where) {
  const SourceFrame frame(where);
  return value.to_tensor(o.dtype.value_or(value.default_dtype()));
}
Tensor tensor(const Literal& value, const Shape& shape, ConstantOptions o, std::source_location where) {
  const SourceFrame frame(where);
  return value.to_tensor(o.dtype.value_or(value.default_dtype()), shape);
}
Tensor constant(const Literal& value, ConstantOptions o, std::source_location where) {
  return source(value, nullptr, o, where);
}
Tensor constant(const Literal& value, const Shape& shape, ConstantOptions o, std::source_location where) {
  return source(value, &shape, o, where);
}

namespace internal {

Tensor tensor(const Tensor& value, const Shape* shape, const ConstantOptions& o, std::source_location where) {
  const SourceFrame frame(where);
  if (!value.is_concrete())
    fail(Code::InvalidArgument, fmt::format("A constant is made from a value, and {} is none", to_string(value)),
         value.defined() ? "use the symbol itself" : "");
  const Tensor host = value.to("/cpu:0");
  const Tensor copy = dispatch(value.dtype(), [&](auto zero) {
    return Literal(host.data<decltype(zero)>())
        .to_tensor(o.dtype.value_or(value.dtype()), shape ? *shape : value.shape());
  });
  return copy.to(value.device());
}
Tensor constant(const Tensor& value, const Shape* shape, const ConstantOptions& o, std::source_location where) {
  const SourceFrame frame(where);
  return source(tensor(value, shape, o, where), o.name, where);
}

}  // namespace internal

namespace {

// A source of `shape` filled with one number.
Tensor filled(const char* function, const Extents& extents, const Literal& value, const ConstantOptions& o,
              std::source_location where) {
  const auto shape = extents.shape();
  if (!shape) {
    const SourceFrame frame(where);
    return broadcast_to(tensor(value, o), extents);
  }
  if (!shape->is_known())
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("The shape of {} must be fully known, but is {}", function, shape->str()), "tf::shape(x)[0]");
  return constant(value, *shape, o, where);
}

}  // namespace

Tensor zeros(const Extents& shape, DType dtype, std::source_location where) {
  return filled("zeros", shape, dtype == bool_ ? Literal(false) : Literal(0), {.dtype = dtype, .name = "zeros"}, where);
}
Tensor ones(const Extents& shape, DType dtype, std::source_location where) {
  return filled("ones", shape, dtype == bool_ ? Literal(true) : Literal(1), {.dtype = dtype, .name = "ones"}, where);
}
Tensor full(const Extents& shape, const Literal& value, ConstantOptions o, std::source_location where) {
  if (value.shape().saturated_elements() != 1)
    fail_at(where, "", Code::InvalidArgument,
            fmt::format("full is filled with one number, not with a list of shape {}", value.shape().str()),
            "tf::constant(value, shape)");
  return filled("full", shape, value, o, where);
}

DType Operand::dtype() const {
  return tensor_ ? tensor_->dtype() : variable_ ? variable_->dtype() : literal_.default_dtype();
}

const Tensor& Operand::resolve() const {
  if (tensor_) return *tensor_;
  if (!made_.defined()) {
    const SourceFrame frame(where_);
    made_ = variable_ ? variable_->read(where_) : source(literal_.to_tensor(literal_.default_dtype()), "", where_);
  }
  return made_;
}

const Tensor& Operand::resolve(DType dtype) const {
  if (!is_literal() || !literal_.fits(dtype)) return resolve();
  if (!made_.defined()) {
    const SourceFrame frame(where_);
    made_ = source(literal_.to_tensor(dtype), "", where_);
  }
  return made_;
}

std::vector<Tensor> resolve_all(std::initializer_list<Operand> operands, const char* op) {
  const Operand* decider = nullptr;
  DType dtype = int32;
  for (const Operand& o : operands) {
    if (o.is_literal()) continue;
    if (o.tensor()) check_input(op, static_cast<size_t>(&o - operands.begin()), *o.tensor(), o.where());
    dtype = decider ? promote(dtype, o.dtype()) : o.dtype();
    decider = &o;
  }
  std::vector<Tensor> tensors;
  for (const Operand& o : operands) tensors.push_back(decider ? o.resolve(dtype) : o.resolve());
  return tensors;
}

namespace {

// A literal beside the tensor `beside`, as a value of its dtype: a node beside a symbol, a plain value beside a value.
Tensor literal_beside(const Operand& o, const Tensor& beside, const char* op) {
  const CurrentOp current(op, o.where());
  const Literal& v = o.literal();
  DType dtype = beside.dtype();
  if (!v.fits(dtype)) {
    if (v.kind() == Literal::Kind::floating)
      fail(Code::InvalidArgument,
           fmt::format("'{}' has a floating literal beside a tensor of dtype {}", op, name_of(dtype)),
           "cast the tensor: tf::cast(t, tf::float32)");
    if (v.kind() != Literal::Kind::typed)
      fail(Code::InvalidArgument,
           fmt::format("'{}' has {} literal beside a tensor of dtype {}", op,
                       v.kind() == Literal::Kind::boolean ? "a bool" : "an integer", name_of(dtype)),
           "cast one of them: tf::cast(t, dtype)");
    dtype = v.default_dtype();
  }
  Tensor value = v.to_tensor(dtype);
  if (beside.is_symbolic()) return value;  // becomes a constant of the op's graph
  const Device device = beside.value()->device();
  return device.is_cpu() ? value : copied_operand(value, device);
}

}  // namespace

OperandPair::OperandPair(const Operand& x, const Operand& y, const char* op, size_t first) {
  if (x.tensor() && !x.tensor()->defined()) check_input(op, first, *x.tensor(), x.where());
  if (y.tensor() && !y.tensor()->defined()) check_input(op, first + 1, *y.tensor(), x.where());
  if (x.is_literal() && !y.is_literal()) {
    b = &y.resolve();
    a = &(made_[0] = literal_beside(x, *b, op));
  } else if (y.is_literal() && !x.is_literal()) {
    a = &x.resolve();
    b = &(made_[1] = literal_beside(y, *a, op));
  } else {
    const DType common = promote(x.dtype(), y.dtype());
    a = &x.resolve(common);
    b = &y.resolve(common);
  }
  const DType common = promote(a->dtype(), b->dtype());
  if (a->dtype() != common) a = &(made_[0] = cast(*a, common));
  if (b->dtype() != common) b = &(made_[1] = cast(*b, common));
}

}  // namespace twofold
