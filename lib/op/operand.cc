#include <twofold/lib/op/operand.h>

#include <fmt/format.h>

#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>
#include <twofold/lib/op/mode_interface.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
namespace {

Tensor source(const Tensor& value, const std::string& name, std::source_location where) {
  return mode().source(value, name, where);
}

Tensor source(const Literal& value, const Shape* shape, const ConstantOptions& o, std::source_location where) {
  SourceScope source_scope(where);
  return source(shape ? tensor(value, *shape, o) : tensor(value, o), o.name, where);
}

}  // namespace

Tensor tensor(const Literal& value, ConstantOptions o, std::source_location where) {
  const SourceScope source_scope(where);
  return value.to_tensor(o.dtype.value_or(value.default_dtype()));
}
Tensor tensor(const Literal& value, const Shape& shape, ConstantOptions o, std::source_location where) {
  const SourceScope source_scope(where);
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
  const SourceScope source_scope(where);
  if (!value.is_concrete())
    fail(Code::InvalidArgument, fmt::format("A constant is made from a value, and {} is none", to_string(value)),
         value.defined() ? "use the symbol itself" : "");
  const Tensor host = moved_to(value, {});
  const Tensor copy = dispatch(value.dtype(), [&](auto zero) {
    return Literal(host.data<decltype(zero)>())
        .to_tensor(o.dtype.value_or(value.dtype()), shape ? *shape : value.shape());
  });
  return moved_to(copy, value.value()->device());
}
Tensor constant(const Tensor& value, const Shape* shape, const ConstantOptions& o, std::source_location where) {
  const SourceScope source_scope(where);
  return source(tensor(value, shape, o, where), o.name, where);
}

}  // namespace internal

DType Operand::dtype() const {
  return tensor_ ? tensor_->dtype() : variable_ ? variable_->dtype() : literal_.default_dtype();
}

const Tensor& Operand::resolve() const {
  if (tensor_) return *tensor_;
  if (!made_.defined()) {
    const SourceScope source_scope(where_);
    made_ = variable_ ? variable_->read(where_) : source(literal_.to_tensor(literal_.default_dtype()), "", where_);
  }
  return made_;
}

const Tensor& Operand::resolve(DType dtype) const {
  if (!is_literal() || !literal_.fits(dtype)) return resolve();
  if (!made_.defined()) {
    const SourceScope source_scope(where_);
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

}  // namespace twofold
