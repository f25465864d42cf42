// Pointwise ops in ONNX.
#include <twofold/kernels/pointwise/pointwise_attrs.h>
#include <twofold/lib/saved/onnx_rules.h>

namespace twofold::saved {
namespace {

void negative(OnnxOp& c) { c.set_narrow(0, c.add("Neg", {c.wide_in(0)})); }
void square(OnnxOp& c) { c.set_narrow(0, c.add("Mul", {c.wide_in(0), c.wide_in(0)})); }
void rsqrt(OnnxOp& c) { c.set(c.add("Reciprocal", {c.add("Sqrt", {c.in(0)})})); }
void silu(OnnxOp& c) { c.set(c.add("Mul", {c.in(0), c.add("Sigmoid", {c.in(0)})})); }
void relu(OnnxOp& c) {
  if (is_floating(c.dtype(0))) return onnx_same(c);
  c.set_narrow(0, c.add("Max", {c.wide_in(0), c.number(0, OnnxOp::wide(c.dtype(0)))}));
}

// x / 2 * (1 + erf(x / sqrt(2))).
void gelu(OnnxOp& c) {
  const DType t = c.dtype(0);
  const std::string e = c.add("Erf", {c.add("Mul", {c.in(0), c.number(0.70710678118654752, t)})});
  const std::string half = c.add("Mul", {c.in(0), c.number(0.5, t)});
  c.set(c.add("Mul", {half, c.add("Add", {e, c.number(1, t)})}));
}

// exp(-x^2).
void gaussian(OnnxOp& c) { c.set(c.add("Exp", {c.add("Neg", {c.add("Mul", {c.in(0), c.in(0)})})})); }

// tanh(x / 2) * (exp(x) + 1), which is exact for small x, too.
void expm1(OnnxOp& c) {
  const DType t = c.dtype(0);
  const std::string slope = c.add("Tanh", {c.add("Mul", {c.in(0), c.number(0.5, t)})});
  c.set(c.add("Mul", {slope, c.add("Add", {c.add("Exp", {c.in(0)}), c.number(1, t)})}));
}

// log(u) * x / (u - 1) with u = 1 + x, in which the rounding of u cancels; log(u) where u is exact, x where u is 1.
void log1p(OnnxOp& c) {
  const DType t = c.dtype(0);
  const std::string& x = c.in(0);
  const std::string u = c.add("Add", {x, c.number(1, t)}), d = c.add("Sub", {u, c.number(1, t)});
  const std::string log = c.add("Log", {u}), none = c.add("Equal", {d, c.number(0, t)});
  const std::string by = c.add("Where", {none, c.number(1, t), d});
  const std::string mended = c.add("Mul", {log, c.add("Div", {x, by})});
  c.set(c.add("Where", {none, x, c.add("Where", {c.add("Equal", {d, x}), log, mended})}));
}

// ONNX Runtime has no Softsign and no Softplus of float64.
void softsign(OnnxOp& c) {
  if (c.dtype(0) == float32) return onnx_same(c);
  c.set(c.add("Div", {c.in(0), c.add("Add", {c.add("Abs", {c.in(0)}), c.number(1, float64)})}));
}
// max(x, 0) + log(1 + exp(-|x|)).
void softplus(OnnxOp& c) {
  if (c.dtype(0) == float32) return onnx_same(c);
  const std::string e = c.add("Exp", {c.add("Neg", {c.add("Abs", {c.in(0)})})});
  const std::string rest = c.add("Log", {c.add("Add", {e, c.number(1, float64)})});
  c.set(c.add("Add", {c.add("Max", {c.in(0), c.number(0, float64)}), rest}));
}

std::string is_nan(OnnxOp& c) {
  if (is_floating(c.dtype(0))) return c.add("IsNaN", {c.in(0)});
  const std::string x = c.wide_in(0);
  return c.add("Not", {c.add("Equal", {x, x})});
}
std::string is_inf(OnnxOp& c) { return is_floating(c.dtype(0)) ? c.add("IsInf", {c.in(0)}) : is_nan(c); }
void nan(OnnxOp& c) { c.set(is_nan(c)); }
void inf(OnnxOp& c) { c.set(is_inf(c)); }
void finite(OnnxOp& c) { c.set(c.add("Not", {c.add("Or", {is_nan(c), is_inf(c)})})); }

void multiply_no_nan(OnnxOp& c) {
  const std::string zero = c.number(0, c.dtype(0));
  c.set(c.add("Where", {c.add("Equal", {c.in(1), zero}), zero, c.add("Mul", {c.in(0), c.in(1)})}));
}
void squared_difference(OnnxOp& c) {
  const std::string d = c.add("Sub", {c.wide_in(0), c.wide_in(1)});
  c.set_narrow(0, c.add("Mul", {d, d}));
}

struct Division {
  std::string a, b;      ///< in int32 where they are narrow; b is 1 where it was 0 or -1
  std::string no, back;  ///< where b was 0 and -1
};
// Of integers: what processors refuse (by 0, the least by -1) is put right afterwards.
Division division(OnnxOp& c) {
  const DType t = OnnxOp::wide(c.dtype(0));
  Division d{c.wide_in(0), c.wide_in(1), {}, {}};
  d.no = c.add("Equal", {d.b, c.number(0, t)});
  d.back = c.add("Equal", {d.b, c.number(-1, t)});
  d.b = c.add("Where", {c.add("Or", {d.no, d.back}), c.number(1, t), d.b});
  return d;
}
// Of floating numbers: C's remainder, of a's sign, and whether it is not of b's.
struct Remainder {
  std::string rest, moves;
};
Remainder remainder(OnnxOp& c) {
  const std::string zero = c.number(0, c.dtype(0)), rest = c.add("Mod", {c.in(0), c.in(1)}, {{"fmod", int64_t{1}}});
  const std::string other = c.add("Xor", {c.add("Less", {rest, zero}), c.add("Less", {c.in(1), zero})});
  return {rest, c.add("And", {other, c.add("Not", {c.add("Equal", {rest, zero})})})};
}

void floor_divide(OnnxOp& c) {
  const DType t = OnnxOp::wide(c.dtype(0));
  if (is_floating(t)) {
    const Remainder r = remainder(c);
    const std::string q = c.add("Round", {c.add("Div", {c.add("Sub", {c.in(0), r.rest}), c.in(1)})});
    return c.set(c.add("Where", {r.moves, c.add("Sub", {q, c.number(1, t)}), q}));
  }
  const Division d = division(c);
  // a less its remainder of b's sign is b times the quotient.
  const std::string rest = c.add("Mod", {d.a, d.b});
  const std::string quotient = c.add("Div", {c.add("Sub", {d.a, rest}), d.b});
  const std::string whole = c.add("Where", {d.back, c.add("Neg", {d.a}), quotient});
  c.set_narrow(0, c.add("Where", {d.no, c.number(0, t), whole}));
}
void mod(OnnxOp& c) {
  const DType t = OnnxOp::wide(c.dtype(0));
  if (is_floating(t)) {
    const Remainder r = remainder(c);
    return c.set(c.add("Where", {r.moves, c.add("Add", {r.rest, c.in(1)}), r.rest}));
  }
  const Division d = division(c);
  c.set_narrow(0, c.add("Where", {d.no, c.number(0, t), c.add("Mod", {d.a, d.b})}));
}

void compare(OnnxOp& c) { c.set(c.add(c.rule().onnx, {c.wide_in(0), c.wide_in(1)})); }
void not_equal(OnnxOp& c) { c.set(c.add("Not", {c.add("Equal", {c.wide_in(0), c.wide_in(1)})})); }

void select(OnnxOp& c) {
  if (c.dtype(1) != bool_) return onnx_same(c);
  c.set(c.cast(c.add("Where", {c.in(0), c.cast(c.in(1), uint8), c.cast(c.in(2), uint8)}), bool_));
}

void cast(OnnxOp& c) {
  const DType from = c.dtype(0), to = c.attrs<CastAttrs>().to;
  std::string x = c.in(0);
  // To uint8 ONNX leaves open what becomes of numbers that it does not hold.
  if (is_floating(from) && to == uint8) x = c.add("Clip", {x, c.number(0, from), c.number(255, from)});
  c.set(c.cast(x, to));
}

// clang-format off
constexpr OnnxRule kPointwise[] = {
    {"Neg", "Neg", kNumbers, negative},
    {"Abs", "Abs", kNumbers, onnx_same},
    {"Sign", "Sign", kNumbers, onnx_same},
    {"Square", "Mul", kNumbers, square},
    {"Sqrt", "Sqrt", kFloats, onnx_same},
    {"Rsqrt", "Sqrt, Reciprocal", kFloats, rsqrt},
    {"Reciprocal", "Reciprocal", kFloats, onnx_same},
    {"Exp", "Exp", kFloats, onnx_same},
    {"Log", "Log", kFloats, onnx_same},
    {"Tanh", "Tanh", kFloats, onnx_same},
    {"Sigmoid", "Sigmoid", kFloats, onnx_same},
    {"Silu", "Sigmoid, Mul", kFloats, silu},
    {"Softsign", "Softsign", kFloats, softsign},
    {"Relu", "Relu", kNumbers, relu},
    {"Softplus", "Softplus", kFloats, softplus},
    {"Gelu", "Erf, Mul, Add", kFloats, gelu},
    {"Gaussian", "Mul, Neg, Exp", kFloats, gaussian},
    {"Expm1", "Tanh, Exp, Mul, Add", kFloats, expm1},
    {"Log1p", "Log, Div, Where", kFloats, log1p},
    {"Sin", "Sin", kFloats, onnx_same},
    {"Cos", "Cos", kFloats, onnx_same},
    {"Erf", "Erf", kFloats, onnx_same},
    {"Floor", "Floor", kFloats, onnx_same},
    {"Ceil", "Ceil", kFloats, onnx_same},
    {"Round", "Round", kFloats, onnx_same},
    {"IsNan", "IsNaN", kAllDTypes, nan},
    {"IsInf", "IsInf", kAllDTypes, inf},
    {"IsFinite", "IsNaN, IsInf, Or, Not", kAllDTypes, finite},
    {"LogicalNot", "Not", dtypes({bool_}), onnx_same},
    {"Add", "Add", kNumbers, onnx_arithmetic},
    {"Sub", "Sub", kNumbers, onnx_arithmetic},
    {"Mul", "Mul", kNumbers, onnx_arithmetic},
    {"Div", "Div", kFloats, onnx_same},
    {"MulNoNan", "Mul, Where", kFloats, multiply_no_nan},
    {"Minimum", "Min", kNumbers, onnx_arithmetic},
    {"Maximum", "Max", kNumbers, onnx_arithmetic},
    {"Pow", "Pow", kFloats, onnx_same},
    {"SquaredDifference", "Sub, Mul", kNumbers, squared_difference},
    {"FloorDiv", "Mod, Sub, Div", kNumbers, floor_divide},
    {"FloorMod", "Mod", kNumbers, mod},
    {"Less", "Less", kAllDTypes, compare},
    {"LessEqual", "LessOrEqual", kAllDTypes, compare},
    {"Greater", "Greater", kAllDTypes, compare},
    {"GreaterEqual", "GreaterOrEqual", kAllDTypes, compare},
    {"Equal", "Equal", kAllDTypes, compare},
    {"NotEqual", "Equal, Not", kAllDTypes, not_equal},
    {"LogicalAnd", "And", dtypes({bool_}), onnx_same},
    {"LogicalOr", "Or", dtypes({bool_}), onnx_same},
    {"LogicalXor", "Xor", dtypes({bool_}), onnx_same},
    {"Select", "Where", kAllDTypes, select},
    {"Cast", "Cast", kAllDTypes, cast},
};
// clang-format on

}  // namespace

std::span<const OnnxRule> onnx_pointwise_rules() { return kPointwise; }

}  // namespace twofold::saved
