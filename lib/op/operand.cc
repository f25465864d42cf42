#include <twofold/lib/op/operand.h>

#include <fmt/format.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/high.h>
#include <twofold/lib/op/mode.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
namespace {

Tensor source(Tensor value, const std::string& name, std::source_location where) {
  return executing_eagerly() ? value : graph_constant(value, name, where);
}

Tensor source(const Literal& value, const Shape* shape, const ConstantOptions& o, std::source_location where) {
  SourceFrame frame(where);
  return source(shape ? tensor(value, *shape, o) : tensor(value, o), o.name, where);
}

}  // namespace

Tensor tensor(const Literal& value, ConstantOptions o) { return value.to_tensor(o.dtype.value_or(value.default_dtype())); }
Tensor tensor(const Literal& value, const Shape& shape, ConstantOptions o) {
  return value.to_tensor(o.dtype.value_or(value.default_dtype()), shape);
}
Tensor constant(const Literal& value, ConstantOptions o, std::source_location where) { return source(value, nullptr, o, where); }
Tensor constant(const Literal& value, const Shape& shape, ConstantOptions o, std::source_location where) {
  return source(value, &shape, o, where);
}
Tensor zeros(const Shape& shape, DType dtype, std::source_location where) {
  return constant(dtype == bool_ ? Literal(false) : Literal(0), shape, {.dtype = dtype, .name = "zeros"}, where);
}
Tensor ones(const Shape& shape, DType dtype, std::source_location where) {
  return constant(dtype == bool_ ? Literal(true) : Literal(1), shape, {.dtype = dtype, .name = "ones"}, where);
}
Tensor full(const Shape& shape, const Literal& value, ConstantOptions o, std::source_location where) {
  return constant(value, shape, std::move(o), where);
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

namespace {

// A literal beside the tensor `beside`, as a value of its dtype: a node beside a symbol, a plain value beside a value.
Tensor literal_beside(const Operand& o, const Tensor& beside, const char* op) {
  const SourceFrame frame(o.where());
  const Literal& v = o.literal();
  DType dtype = beside.dtype();
  if (!v.fits(dtype)) {
    if (v.kind() == Literal::Kind::floating) {
      fail_at(o.where(), op, Code::InvalidArgument, fmt::format("'{}' has a floating literal beside a tensor of dtype {}", op, name_of(dtype)),
           "cast the tensor: tf::cast(t, tf::float32)");
    }
    if (v.kind() != Literal::Kind::typed)
      fail_at(o.where(), op, Code::InvalidArgument, fmt::format("'{}' has a {} literal beside a tensor of dtype {}", op,
                                              v.kind() == Literal::Kind::boolean ? "bool" : "integer", name_of(dtype)),
           "cast one of them: tf::cast(t, dtype)");
    dtype = v.default_dtype();
  }
  const Tensor value = v.to_tensor(dtype);
  if (beside.is_symbolic()) return value;  // becomes a constant of the op's graph
  const Device device = beside.value()->device();
  return device.is_cpu() ? value : copy_to(value, device);
}

}  // namespace

OperandPair::OperandPair(const Operand& x, const Operand& y, const char* op) {
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
