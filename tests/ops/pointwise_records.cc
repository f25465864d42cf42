// A record for each pointwise op, from the op's own; and where, cast, the fused group.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include <twofold/kernels/pointwise/fused.h>
#include <twofold/kernels/pointwise/if_arrived.h>
#include <twofold/kernels/pointwise/ops.h>
#include <twofold/kernels/pointwise/pointwise.h>
#include <twofold/kernels/pointwise/record.h>
#include <twofold/lib/op/apply.h>
#include <twofold/lib/op/constant.h>

#include "record.h"

namespace op_test {
namespace {

using namespace twofold;

constexpr DType kAll[] = {float32, float64, int32, int64, uint8, bool_};

const std::vector<std::vector<Shape>> kUnaryShapes = {{Shape{}}, {{1}},       {{0}},       {{3}},         {{17}},
                                                      {{2, 3}},  {{3, 0, 2}}, {{3, 5, 7}}, {{4, 33, 65}}, {{70001}}};
const std::vector<std::vector<Shape>> kBinaryShapes = {{Shape{}, Shape{}},
                                                       {{1}, {1}},
                                                       {{0}, {1}},
                                                       {{3, 5}, {3, 5}},
                                                       {Shape{}, {3, 5}},
                                                       {{3, 5}, {}},
                                                       {{5}, {3, 5}},
                                                       {{3, 1}, {1, 5}},
                                                       {{2, 1, 4}, {3, 1}},
                                                       {{0, 3}, {1, 3}},
                                                       {{7, 1, 3, 1}, {1, 2, 1, 5}},
                                                       {{257, 129}, {129}},
                                                       {{257, 1}, {257, 129}},
                                                       {{70001}, {70001}},
                                                       {{70001}, {1}}};

std::vector<DType> dtypes_of(const PointwiseRecord& p) {
  std::vector<DType> dtypes;
  for (DType t : kAll)
    if (supports(p.dtypes, t)) dtypes.push_back(t);
  return dtypes;
}

using Function = double (*)(double a, double b);

double nan_or(double a, double b, double r) { return std::isnan(a) || std::isnan(b) ? std::nan("") : r; }

/// References that share no text with the ops' functors. An op that is not here is held to its functor over C's
/// functions in double precision, to its record's example and to central differences.
const std::map<std::string, Function> kIndependent = {
    {"Neg", [](double a, double) { return 0 - a; }},
    {"Abs", [](double a, double) { return std::fabs(a); }},
    {"Sign", [](double a, double) { return std::isnan(a) ? a : double(a > 0) - double(a < 0); }},
    {"Square", [](double a, double) { return std::pow(a, 2); }},
    {"Sqrt", [](double a, double) { return std::sqrt(a); }},
    {"Rsqrt", [](double a, double) { return 1 / std::sqrt(a); }},
    {"Reciprocal", [](double a, double) { return std::pow(a, -1); }},
    {"Exp", [](double a, double) { return std::exp(a); }},
    {"Log", [](double a, double) { return std::log2(a) * std::log(2.0); }},
    {"Tanh", [](double a, double) { return std::tanh(a); }},
    {"Sigmoid", [](double a, double) { return 0.5 + 0.5 * std::tanh(a / 2); }},
    {"Silu", [](double a, double) { return a < -700 ? 0 : a / (1 + std::exp(-a)); }},
    {"Relu", [](double a, double) { return nan_or(a, 0, std::fmax(a, 0)); }},
    {"Softsign", [](double a, double) { return std::isnan(a) ? a : std::copysign(1 - 1 / (1 + std::fabs(a)), a); }},
    {"Softplus", [](double a, double) { return a > 40 ? a : std::log(1 + std::exp(a)); }},
    {"Gelu", [](double a, double) { return a < -40 ? 0 : a * 0.5 * std::erfc(-a * std::sqrt(0.5)); }},
    {"Gaussian", [](double a, double) { return std::exp(-a * a); }},
    {"Expm1", [](double a, double) { return std::expm1(a); }},
    {"Log1p", [](double a, double) { return std::log1p(a); }},
    {"Sin", [](double a, double) { return std::sin(a); }},
    {"Cos", [](double a, double) { return std::cos(a); }},
    {"Erf", [](double a, double) { return std::isnan(a) ? a : std::copysign(1 - std::erfc(std::fabs(a)), a); }},
    {"Floor", [](double a, double) { return std::floor(a); }},
    {"Ceil", [](double a, double) { return std::ceil(a); }},
    {"Round", [](double a, double) { return std::nearbyint(a); }},
    {"IsNan", [](double a, double) { return double(std::isnan(a)); }},
    {"IsInf", [](double a, double) { return double(std::isinf(a)); }},
    {"IsFinite", [](double a, double) { return double(std::isfinite(a)); }},
    {"LogicalNot", [](double a, double) { return 1 - a; }},
    {"Add", [](double a, double b) { return a + b; }},
    {"Sub", [](double a, double b) { return a - b; }},
    {"Mul", [](double a, double b) { return a * b; }},
    {"MulNoNan", [](double a, double b) { return b == 0 ? 0 : a * b; }},
    {"Div", [](double a, double b) { return a / b; }},
    {"Minimum", [](double a, double b) { return nan_or(a, b, std::fmin(a, b)); }},
    {"Maximum", [](double a, double b) { return nan_or(a, b, std::fmax(a, b)); }},
    {"Pow", [](double a, double b) { return std::pow(a, b); }},
    {"SquaredDifference", [](double a, double b) { return std::pow(a - b, 2); }},
    {"FloorDiv",
     [](double a, double b) {
       if (std::isinf(a) && b != 0) return std::nan("");
       return std::isinf(b) && std::isfinite(a) && a != 0 && std::signbit(a) != std::signbit(b) ? -1
                                                                                                : std::floor(a / b);
     }},
    {"FloorMod",
     [](double a, double b) {
       const double rest = std::fmod(a, b);
       return rest == 0 ? std::copysign(0, b) : std::signbit(rest) == std::signbit(b) ? rest : rest + b;
     }},
    {"ReluGrad", [](double a, double b) { return b > 0 || std::isnan(b) ? a : 0; }},
    {"SiluGrad",
     [](double a, double b) {
       const double share = 1 / (1 + std::exp(-b)), rest = 1 / (1 + std::exp(b));
       return a * (std::isinf(b) ? share : share + b * share * rest);
     }},
    {"GeluGrad",
     [](double a, double b) {
       const double density = std::exp(-b * b / 2) / std::sqrt(2 * M_PI);
       return a * (0.5 * std::erfc(-b * std::sqrt(0.5)) + (std::isinf(b) ? 0 : b * density));
     }},
    {"Less", [](double a, double b) { return double(std::isless(a, b)); }},
    {"LessEqual", [](double a, double b) { return double(std::islessequal(a, b)); }},
    {"Greater", [](double a, double b) { return double(std::isgreater(a, b)); }},
    {"GreaterEqual", [](double a, double b) { return double(std::isgreaterequal(a, b)); }},
    {"Equal", [](double a, double b) { return double(a - b == 0 || a == b); }},
    {"NotEqual", [](double a, double b) { return double(!(a == b)); }},
    {"LogicalAnd", [](double a, double b) { return a * b; }},
    {"LogicalXor", [](double a, double b) { return double(a != b); }},
    {"LogicalOr", [](double a, double b) { return std::fmax(a, b); }},
};

/// Of ops that multiply a by a slope at b: the slope, which is as large as the dtype holds it.
const std::map<std::string, Function> kSlopes = {
    {"TanhGrad", [](double b, double) { return 1 / std::pow(std::cosh(b), 2); }},
    {"SigmoidGrad", [](double b, double) { return 0.5 / (1 + std::cosh(b)); }},
};

Record record_of(const PointwiseRecord& p) {
  const auto independent = kIndependent.find(p.op);
  const auto slope = kSlopes.find(p.op);
  const Function f = slope != kSlopes.end()              ? slope->second
                     : independent != kIndependent.end() ? independent->second
                                                         : p.reference;
  const bool times_slope = slope != kSlopes.end();
  Record r;
  r.op = p.op;
  r.label = p.function;
  r.dtypes = dtypes_of(p);
  r.samples = {{p.samples[0].low, p.samples[0].high}, {p.samples[1].low, p.samples[1].high}};
  r.shapes = p.arity == 1 ? kUnaryShapes : kBinaryShapes;
  r.tolerance32 = 4e-6;
  r.tolerance64 = 2e-14;
  if (p.differentiable) r.gradient_of = p.arity == 1 || r.op == "ReluGrad" ? std::vector{0} : std::vector{0, 1};
  if (p.arity == 1)
    r.call = [p](auto in) { return Tensors{p.unary(in[0])}; };
  else
    r.call = [p](auto in) { return Tensors{p.binary(in[0], in[1])}; };
  r.reference = [p, f, times_slope](std::span<const Array> in) -> Arrays {
    const Shape shape = p.arity == 1 ? in[0].shape : broadcast(in[0].shape, in[1].shape);
    const DType dtype = p.makes_bool ? bool_ : in[0].dtype;
    return {generate(dtype, shape, [&](const Index& i) {
      if (times_slope) return at(in[0], i) * stored(f(at(in[1], i), 0), dtype);
      return f(at(in[0], i), p.arity == 1 ? 0.0 : at(in[1], i));
    })};
  };
  return r;
}

double cast_value(double v, DType from, DType to) {
  if (!is_floating(from) || is_floating(to) || to == bool_) return stored(v, to);
  const double low = to == uint8 ? 0 : to == int32 ? -2147483648.0 : -9223372036854775808.0;
  const double high = to == uint8 ? 255 : to == int32 ? 2147483647.0 : 9223372036854774784.0;
  return std::isnan(v) ? 0 : std::clamp(std::trunc(v), low, high);
}

// relu(a * b + a), and the product again as a second result.
Tensors fused_group(std::span<const Tensor> in) {
  const DType t = in[0].dtype();
  const FusedAttrs attrs{
      {{op_name::Mul, t, t, {0, 1, -1}}, {op_name::Add, t, t, {2, 0, -1}}, {op_name::Relu, t, t, {3, -1, -1}}}, {2, 0}};
  const Tensor* inputs[] = {&in[0], &in[1]};
  const Outputs out = apply_all(*find_op("Fused"), inputs, attrs, std::source_location::current());
  return {out.begin(), out.end()};
}

}  // namespace

void add_pointwise_records(std::vector<Record>& all) {
  for (const PointwiseRecord& p : pointwise_records()) all.push_back(record_of(p));

  Record where_record{.op = "Select", .label = "where"};
  where_record.call = [](auto in) { return Tensors{where(in[0], in[1], in[2])}; };
  where_record.reference = [](std::span<const Array> in) -> Arrays {
    const Shape shape = broadcast(in[0].shape, broadcast(in[1].shape, in[2].shape));
    return {
        generate(in[1].dtype, shape, [&](const Index& i) { return at(in[0], i) != 0 ? at(in[1], i) : at(in[2], i); })};
  };
  where_record.shapes = {{Shape{}, Shape{}, Shape{}}, {{3, 5}, {3, 5}, {3, 5}},   {{3, 1}, {5}, {}},
                         {{}, {3, 5}, {5}},           {{0, 2}, {1, 2}, {}},       {{70001}, {70001}, {1}},
                         {{7, 1}, {1}, {7, 9}},       {{513, 67}, {67}, {513, 1}}};
  where_record.dtypes = {std::begin(kAll), std::end(kAll)};
  where_record.fixed = {bool_, {}, {}};
  where_record.gradient_of = {1, 2};
  where_record.exact = true;
  all.push_back(where_record);

  for (const bool arrived : {false, true}) {
    Record r{.op = "IfArrived", .label = arrived ? "a gradient that arrives" : "one that does not"};
    r.call = [arrived](auto in) { return Tensors{if_arrived(constant(arrived), in[0], 7)}; };
    r.reference = [arrived](std::span<const Array> in) -> Arrays {
      return {generate(in[0].dtype, in[0].shape, [&](const Index& i) { return arrived ? at(in[0], i) : 7; })};
    };
    r.shapes = kUnaryShapes;
    r.dtypes = {float32, float64};
    if (arrived) r.gradient_of = {0};
    r.exact = true;
    all.push_back(r);
  }

  for (DType to : kAll) {
    Record r{.op = "Cast", .label = "cast to " + std::string(name_of(to))};
    r.call = [to](auto in) { return Tensors{cast(in[0], to)}; };
    r.reference = [to](std::span<const Array> in) -> Arrays {
      return {generate(to, in[0].shape, [&](const Index& i) { return cast_value(at(in[0], i), in[0].dtype, to); })};
    };
    r.shapes = kUnaryShapes;
    for (DType from : kAll)
      if (from != to) r.dtypes.push_back(from);
    r.samples = {{-300, 300}};
    r.exact = true;
    if (to == float32) r.gradient_of = {0};
    all.push_back(r);
  }

  Record fused{.op = "Fused", .label = "relu(a * b + a), a * b"};
  fused.call = fused_group;
  fused.reference = [](std::span<const Array> in) -> Arrays {
    const Shape shape = broadcast(in[0].shape, in[1].shape);
    const DType t = in[0].dtype;
    const auto product = [&](const Index& i) { return stored(at(in[0], i) * at(in[1], i), t); };
    return {generate(t, shape, [&](const Index& i) { return std::max(0.0, product(i) + at(in[0], i)); }),
            generate(t, shape, product)};
  };
  fused.shapes = kBinaryShapes;
  fused.dtypes = {float32, float64, int32, int64};
  all.push_back(fused);
}

}  // namespace op_test
