// The formulas of the pointwise ops, one functor each. Freestanding: the same text is compiled with Eigen's packets
// (vec_cpu.h), with one number at a time (scalar.h), by nvcc and by NVRTC.
//
// The vocabulary, found by argument-dependent lookup on V: + - * / unary-, the comparisons, which give a mask, & and |
// of masks, select_(mask, a, b), abs_ sqrt_ exp_ expm1_ log_ log1p_ tanh_ sin_ cos_ erf_ pow_, floor_ ceil_ round_ (of
// halves to the even), floor_div_ and mod_ (the remainder to floor_div_), and min_ max_, which give NaN if either
// operand is NaN. V(c) is the constant c. A functor that returns a mask makes a bool.
#pragma once

#if defined(__CUDACC__)
#define TWOFOLD_INLINE __host__ __device__ inline
#else
#define TWOFOLD_INLINE __attribute__((always_inline)) inline
#endif

namespace twofold::functor {

// clang-format off
struct Neg        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return -x; } };
struct Abs        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return abs_(x); } };
struct Sign       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return select_(x > V(0), V(1), select_(x < V(0), V(-1), x)); } };
struct Square     { template <class V> TWOFOLD_INLINE V operator()(V x) const { return x * x; } };
struct Sqrt       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return sqrt_(x); } };
struct Rsqrt      { template <class V> TWOFOLD_INLINE V operator()(V x) const { return V(1) / sqrt_(x); } };
struct Reciprocal { template <class V> TWOFOLD_INLINE V operator()(V x) const { return V(1) / x; } };
struct Exp        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return exp_(x); } };
struct Log        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return log_(x); } };
struct Tanh       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return tanh_(x); } };
struct Sigmoid    { template <class V> TWOFOLD_INLINE V operator()(V x) const { return V(1) / (V(1) + exp_(-x)); } };
struct Silu       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return x / (V(1) + exp_(-x)); } };
struct Softsign   { template <class V> TWOFOLD_INLINE V operator()(V x) const { return x / (V(1) + abs_(x)); } };
struct Relu       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return select_(x < V(0), V(0), x); } };
struct Softplus   { template <class V> TWOFOLD_INLINE V operator()(V x) const { return max_(x, V(0)) + log1p_(exp_(-abs_(x))); } };
struct Gelu       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return V(0.5) * x * (V(1) + erf_(x * V(0.70710678118654752))); } };
struct Expm1      { template <class V> TWOFOLD_INLINE V operator()(V x) const { return expm1_(x); } };
struct Log1p      { template <class V> TWOFOLD_INLINE V operator()(V x) const { return log1p_(x); } };
struct Sin        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return sin_(x); } };
struct Cos        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return cos_(x); } };
struct Erf        { template <class V> TWOFOLD_INLINE V operator()(V x) const { return erf_(x); } };
struct Floor      { template <class V> TWOFOLD_INLINE V operator()(V x) const { return floor_(x); } };
struct Ceil       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return ceil_(x); } };
struct Round      { template <class V> TWOFOLD_INLINE V operator()(V x) const { return round_(x); } };
struct IsNan      { template <class V> TWOFOLD_INLINE auto operator()(V x) const { return x != x; } };
struct IsInf      { template <class V> TWOFOLD_INLINE auto operator()(V x) const { return select_(x == x, x - x, V(0)) != V(0); } };
struct IsFinite   { template <class V> TWOFOLD_INLINE auto operator()(V x) const { return x - x == V(0); } };
struct LogicalNot { template <class V> TWOFOLD_INLINE auto operator()(V x) const { return x == V(0); } };

struct Add     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return a + b; } };
struct Sub     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return a - b; } };
struct Mul     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return a * b; } };
struct Div     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return a / b; } };
struct Minimum { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return min_(a, b); } };
struct Maximum { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return max_(a, b); } };
struct Pow     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return pow_(a, b); } };
struct FloorDiv { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return floor_div_(a, b); } };
struct FloorMod { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return mod_(a, b); } };
struct SquaredDifference { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return (a - b) * (a - b); } };
struct ReluGrad { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return select_(b <= V(0), V(0), a); } };

struct Less         { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a < b; } };
struct LessEqual    { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a <= b; } };
struct Greater      { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a > b; } };
struct GreaterEqual { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a >= b; } };
struct Equal        { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a == b; } };
struct NotEqual     { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a != b; } };
struct LogicalAnd { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return min_(a, b); } };
struct LogicalOr  { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return max_(a, b); } };
struct LogicalXor { template <class V> TWOFOLD_INLINE auto operator()(V a, V b) const { return a != b; } };
// clang-format on

}  // namespace twofold::functor
