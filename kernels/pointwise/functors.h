// The formulas of the pointwise ops, one functor each. Freestanding: the same text is compiled with Eigen's packets
// (vec_cpu.h), with one number at a time (scalar.h), by nvcc and by NVRTC.
//
// The vocabulary, found by argument-dependent lookup on V: + - * / unary-, the comparisons, which give a mask, & and |
// of masks, select_(mask, a, b), abs_ sqrt_ exp_ expm1_ log_ log1p_ tanh_ sin_ cos_ erf_ pow_, floor_ ceil_ round_ (of
// halves to the even), floor_div_ and mod_ (the remainder to floor_div_), fma_(a, b, c) = a * b + c, in one rounding
// where the instruction set has that, and min_ max_, which give NaN if either operand is NaN. V(c) is the constant c. A
// functor that returns a mask makes a bool.
//
// Functions of floating numbers are within 4 units in the last place of the exact value everywhere (5 without an fma),
// tails and subnormal results included, have their limits at the infinities, and keep NaN: tests/tails_test.cc.
#pragma once

#if defined(__CUDACC__)
#define TWOFOLD_INLINE __host__ __device__ inline
#else
#define TWOFOLD_INLINE __attribute__((always_inline)) inline
#endif

namespace twofold::functor {

namespace internal {
/// Of V = Vec<float>: float.
template <class V>
struct ElementOf;
template <template <class> class V, class T>
struct ElementOf<V<T>> {
  using type = T;
};
template <class V>
inline constexpr bool kIsFloat = sizeof(typename ElementOf<V>::type) == 4;
}  // namespace internal

/// c + x (...), by Horner's rule.
template <class V>
TWOFOLD_INLINE V polynomial_(V, double c) {
  return V(c);
}
template <class V, class... More>
TWOFOLD_INLINE V polynomial_(V x, double c, More... more) {
  return fma_(polynomial_(x, more...), x, V(c));
}

/// x, but no further from 0 than `most`; NaN stays.
template <class V>
TWOFOLD_INLINE V bounded_(V x, double most) {
  return select_(x > V(most), V(most), select_(x < V(-most), V(-most), x));
}

/// exp(-c x^2) = power * (1 + more), c being 1 or 1/2.
template <class V>
struct Bell {
  V power, more;
  // In the tail the rounding error of x^2 is a large relative error of exp; so `power` has the square of x's upper
  // half, which is exact, and `more` the rest.
  TWOFOLD_INLINE Bell(V x, double c) {
    x = bounded_(x, internal::kIsFloat<V> ? 15 : 40);  // power is 0 from there on
    const V shifted = x * V(internal::kIsFloat<V> ? 4097 : 134217729), high = shifted - (shifted - x);
    const V rest = V(-c) * ((x - high) * (x + high));
    power = exp_(V(-c) * (high * high));
    more = rest * polynomial_(rest, 1, 1. / 2, 1. / 6, 1. / 24);
  }
  TWOFOLD_INLINE V value() const { return fma_(power, more, power); }
};

/// The normal distribution's share below -|x|, times `factor`; `bell` is exp(-x^2 / 2). The share is bell / h, and
/// h = sqrt(2 pi) |x| + g, where g goes from 2 at 0 to about sqrt(2 pi) / |x|: g is fitted, to 1.5e-9 and 2.3e-17 of h,
/// by a fraction without negative coefficients, so that nothing cancels.
template <class V>
TWOFOLD_INLINE V normal_tail_(V x, Bell<V> bell, V factor) {
  const V t = abs_(bounded_(x, internal::kIsFloat<V> ? 15 : 40));
  V g;
  if constexpr (internal::kIsFloat<V>)
    g = polynomial_(t, 2.00000000049, 1.25945843147, 0.41542399581, 0.0744726749575, 0.00620199728897) /
        polynomial_(t, 1, 1.08515881897, 0.565305220532, 0.17041526203, 0.0297220335614, 0.00247401302748);
  else
    g = polynomial_(t, 2, 2.5332150956285902, 1.6343019729619281, 0.68395380287978047, 0.20185716704221265,
                    0.043276935666900516, 0.0067261991959128332, 0.00073223076049326705, 5.0999168012258156e-05,
                    1.7560597380766989e-06) /
        polynomial_(t, 1, 1.7220371243269266, 1.4647978523847416, 0.7977988001538987, 0.30566518366176026,
                    0.085773997297855301, 0.017845032227309352, 0.0027240566792493689, 0.00029351894258239667,
                    2.0345724382742011e-05, 7.0056647644167152e-07);
  // sqrt(2 pi) is the sum of two constants.
  const V low = fma_(t, V(internal::kIsFloat<V> ? -2.866020366467347e-10 : -1.8328579980459167e-16), g),
          root(2.5066282746310002);
  const V h = fma_(t, root, low), reciprocal = V(1) / h, power = bell.power * factor, share = power * reciprocal;
  // The rounding errors of h, its reciprocal and the products, where there is an fma to compute them.
  const V h_rest = fma_(t, root, -h) + low, reciprocal_rest = fma_(-h, reciprocal, V(1));
  const V more = bell.more + (reciprocal_rest - h_rest * reciprocal);
  const V rest = fma_(power, reciprocal, -share) + fma_(bell.power, factor, -power) * reciprocal;
  return share + fma_(share, more, rest);
}

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
struct Sigmoid    { template <class V> TWOFOLD_INLINE V operator()(V x) const { const V e = exp_(-abs_(x)); return select_(x < V(0), e, V(1)) / (V(1) + e); } };
struct Softsign   { template <class V> TWOFOLD_INLINE V operator()(V x) const { x = bounded_(x, 1e30); return x / (V(1) + abs_(x)); } };
struct Silu {
  template <class V> TWOFOLD_INLINE V operator()(V x) const {
    const V b = select_(x < V(-800), V(-800), x);  // the result is -0 from there on
    const auto far = b < V(-40);                   // there exp(x) might be subnormal: it is exp(x + 64) / e^64
    const V e = exp_(select_(far, b + V(64), -abs_(b)));
    return select_(x < V(0), b * e, x) / select_(far, V(6.2351490808116168e27), V(1) + e);
  }
};
struct Relu       { template <class V> TWOFOLD_INLINE V operator()(V x) const { return select_(x < V(0), V(0), x); } };
struct Softplus   { template <class V> TWOFOLD_INLINE V operator()(V x) const { return max_(x, V(0)) + log1p_(exp_(-abs_(x))); } };
struct Gelu {
  template <class V> TWOFOLD_INLINE V operator()(V x) const {
    const auto below = x < V(0);
    const V tail = normal_tail_(x, Bell<V>(x, 0.5), select_(below, abs_(bounded_(x, 40)), V(1)));
    return select_(below, -tail, x * (V(1) - tail));
  }
};
struct Gaussian   { template <class V> TWOFOLD_INLINE V operator()(V x) const { return Bell<V>(x, 1).value(); } };
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
struct MulNoNan { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return select_(b == V(0), V(0), a * b); } };
struct Div     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return a / b; } };
struct Minimum { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return min_(a, b); } };
struct Maximum { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return max_(a, b); } };
struct Pow     { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return pow_(a, b); } };
struct FloorDiv { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return floor_div_(a, b); } };
struct FloorMod { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return mod_(a, b); } };
struct SquaredDifference { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return (a - b) * (a - b); } };
struct ReluGrad { template <class V> TWOFOLD_INLINE V operator()(V a, V b) const { return select_(b <= V(0), V(0), a); } };
struct TanhGrad {
  template <class V> TWOFOLD_INLINE V operator()(V a, V x) const {
    const V e = exp_(V(-2) * abs_(x)), r = V(1) / (V(1) + e);
    return a * (V(4) * e * r * r);
  }
};
struct SigmoidGrad {
  template <class V> TWOFOLD_INLINE V operator()(V a, V x) const {
    const V e = exp_(-abs_(x)), r = V(1) / (V(1) + e);
    return a * (e * r * r);
  }
};
struct SiluGrad {
  template <class V> TWOFOLD_INLINE V operator()(V a, V x) const {
    const V b = bounded_(x, 2000), one(1);  // exp is 0 at the bound
    const auto far = b < V(-40);  // as in Silu
    const V e = exp_(select_(far, b + V(64), -abs_(b)));
    const V r = one / select_(far, V(6.2351490808116168e27), one + e), near_r = select_(far, one, r);
    return a * near_r * (select_(b < V(0), e, one) + b * (e * near_r)) * select_(far, r, one);
  }
};
struct GeluGrad {
  template <class V> TWOFOLD_INLINE V operator()(V a, V x) const {
    const Bell<V> bell(x, 0.5);
    const V tail = normal_tail_(x, bell, V(1));
    return a * fma_(bell.value(), bounded_(x, 40) * V(0.39894228040143268), select_(x < V(0), tail, V(1) - tail));
  }
};

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
