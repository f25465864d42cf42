#include <twofold/kernels/pointwise/operand_pair.h>

#include <fmt/format.h>

#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/value.h>
#include <twofold/lib/op/variable.h>

namespace twofold {
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
