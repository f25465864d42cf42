// Shape rules of the pointwise ops: which dtypes they take, and how their operands broadcast.
#pragma once

#include <math.h>  // for scalar.h

#include <string>
#include <type_traits>

#include <twofold/kernels/pointwise/broadcast.h>
#include <twofold/kernels/pointwise/dtype_class.h>
#include <twofold/kernels/pointwise/scalar.h>
#include <twofold/lib/op/opdef.h>

namespace twofold::pointwise {

inline std::string dtypes_text(DTypeClass c) {
  switch (c) {
    case DTypeClass::numeric: return "numbers";
    case DTypeClass::floating:
    case DTypeClass::quotient: return "float32 or float64";
    case DTypeClass::any: return "any dtype";
    case DTypeClass::boolean: break;
  }
  return "bool";
}

/// The shape that all inputs broadcast to.
inline Shape broadcast_inputs(const InferContext& c) {
  Shape shape = c.shape(0);
  for (int i = 1; i < c.num_inputs(); ++i)
    if (Shape before = shape; !broadcast_shapes(before, c.shape(i), &shape))
      c.fail("Incompatible shapes: " + before.brackets() + " vs. " + c.shape(i).brackets());
  return shape;
}

inline void check_same_dtype(const InferContext& c, int i, int j) {
  if (c.dtype(i) != c.dtype(j))
    c.fail("Operands must have one dtype, not " + std::string(name_of(c.dtype(i))) + " and " +
               std::string(name_of(c.dtype(j))),
           "tf::cast(x, tf::" + std::string(name_of(promote(c.dtype(i), c.dtype(j)))) + ")");
}

/// Whether functor F makes bools, whatever its operands are.
template <class F, DTypeClass kClass, int kArity>
constexpr bool makes_bool() {
  using V = Scalar<std::conditional_t<kClass == DTypeClass::boolean, bool, double>>;
  if constexpr (kArity == 1)
    return !std::is_same_v<decltype(F()(V(0))), V>;
  else
    return !std::is_same_v<decltype(F()(V(0), V(0))), V>;
}

template <DTypeClass kClass, int kArity, bool kMakesBool>
void infer(InferContext& c) {
  const DType dtype = c.dtype(0);
  if (!supports(kClass, dtype))
    c.fail("Needs " + dtypes_text(kClass) + ", not " + std::string(name_of(dtype)),
           kClass == DTypeClass::boolean ? "tf::cast(x, tf::bool_)" : "tf::cast(x, tf::float32)");
  if constexpr (kArity == 2) check_same_dtype(c, 0, 1);
  c.output(kMakesBool ? bool_ : dtype, broadcast_inputs(c));
}

/// Of a choice between inputs 1 and 2 by input 0.
inline void infer_select(InferContext& c) {
  if (c.dtype(0) != bool_)
    c.fail("The condition must be bool, not " + std::string(name_of(c.dtype(0))), "tf::cast(condition, tf::bool_)");
  check_same_dtype(c, 1, 2);
  c.output(c.dtype(1), broadcast_inputs(c));
}

}  // namespace twofold::pointwise
