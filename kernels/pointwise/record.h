// What ops.def says of each op, as data.
#pragma once

#include <span>

#include <twofold/kernels/pointwise/dtype_class.h>
#include <twofold/lib/op/operand.h>

namespace twofold {

/// An op's record in ops.def, for tests and documentation.
struct PointwiseRecord {
  struct Range {
    double low, high;
  };
  const char* op;        ///< "Sigmoid"
  const char* function;  ///< "sigmoid"
  int arity;             ///< 1 or 2
  DTypeClass dtypes;
  bool makes_bool;  ///< the result is bool, whatever the operands are
  bool differentiable;
  Range samples[2];   ///< where tests draw each operand
  double example[3];  ///< operands, padded with 0, then the exact result
  const char* doc;
  Tensor (*unary)(Operand x);               ///< null unless arity is 1
  Tensor (*binary)(Operand a, Operand b);   ///< null unless arity is 2
  double (*reference)(double a, double b);  ///< the functor over C's double functions; b is ignored if arity is 1
};
std::span<const PointwiseRecord> pointwise_records();

}  // namespace twofold
